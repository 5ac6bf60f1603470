"""Heads on backbones, and the preprocessing inside them."""

import importlib

import keras
import numpy as np
import pytest

from keras_strategies import training
from keras_strategies.training._fine_tune import families
from tests.markers import slow_on_jax
from tests.training.fine_tune.models import X, backbone, values

L = keras.layers
IMAGES = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")

# Network, module of its preprocess_input, smallest side.
FAMILIES = {
    "VGG16": ("vgg16", 32),
    "ResNet50": ("resnet", 32),
    "ResNet50V2": ("resnet_v2", 32),
    "DenseNet121": ("densenet", 32),
    "MobileNet": ("mobilenet", 32),
    "MobileNetV2": ("mobilenet_v2", 32),
    "MobileNetV3Small": ("mobilenet_v3", 32),
    "EfficientNetB0": ("efficientnet", 32),
    "EfficientNetV2B0": ("efficientnet_v2", 32),
    "ConvNeXtTiny": ("convnext", 32),
    "InceptionV3": ("inception_v3", 75),
    "InceptionResNetV2": ("inception_resnet_v2", 75),
    "Xception": ("xception", 71),
    "NASNetMobile": ("nasnet", 32),
}
FAST = ("VGG16", "MobileNetV2", "MobileNetV3Small")
if keras.backend.backend() == "torch":
    del FAMILIES["NASNetMobile"]  # Keras has none there


def network(which, side, **arguments):
    return getattr(keras.applications, which)(
        weights=None, include_top=False, input_shape=(side, side, 3), **arguments
    )


@slow_on_jax
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in FAST else [pytest.mark.slow])
        for name in FAMILIES
    ],
)
def test_the_preprocessing_of_each_family(name):
    module, side = FAMILIES[name]
    body = network(name, side)
    images = np.random.default_rng(0).uniform(0, 255, (2, side, side, 3))
    images = images.astype("float32")
    model = training.attach_head(body, classes=4)
    assert model.output_shape == (None, 4)
    original = importlib.import_module(f"keras.applications.{module}")
    expected = original.preprocess_input(images.copy())
    parts = [layer for layer in model.layers if layer.name == families.MODEL_NAME]
    found = values([parts[0](images)])[0] if parts else images
    np.testing.assert_allclose(found, expected, atol=2e-5)
    # A head on the whole once more scales nothing twice.
    assert families.preprocessing_mode(model) == "inside"
    assert families.expected_maximum(model) == 255.0
    unit = training.attach_head(body, classes=4, max_value=1.0)
    part = unit.get_layer(families.MODEL_NAME)
    np.testing.assert_allclose(values([part(images / 255)])[0], expected, atol=1e-4)
    assert families.expected_maximum(unit) == pytest.approx(1.0)


@pytest.mark.parametrize("mode", families.MODES)
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_modes_in_both_layouts(mode, data_format, monkeypatch):
    from keras.applications import imagenet_utils

    x = IMAGES if data_format == "channels_last" else IMAGES.transpose(0, 3, 1, 2)
    before = keras.config.image_data_format()
    keras.config.set_image_data_format(data_format)
    try:
        part = families.preprocessing(mode, x.shape[1:], 255.0)
        found = values([part(x)])[0]
    finally:
        keras.config.set_image_data_format(before)
    expected = imagenet_utils.preprocess_input(
        x.copy(), data_format=data_format, mode=mode
    )
    np.testing.assert_allclose(found, expected, atol=2e-5)


@slow_on_jax
def test_a_network_is_known_by_its_layers_whatever_its_name():
    assert families.preprocessing_mode(network("VGG16", 32, name="mine")) == "caffe"
    body = network("EfficientNetV2B0", 32, include_preprocessing=False)
    with pytest.raises(ValueError, match="`preprocessing` must be given"):
        training.attach_head(body, classes=2)
    assert families.preprocessing_mode(backbone()) is None


@slow_on_jax
def test_a_network_behind_the_users_own_scaling_is_left_alone():
    body = network("MobileNetV2", 32)
    inputs = keras.Input((32, 32, 3))
    scaled = keras.Model(inputs, body(L.Rescaling(1 / 127.5, -1)(inputs)))
    assert families.preprocessing_mode(scaled) == "inside"
    model = training.attach_head(scaled, classes=2)
    assert families.MODEL_NAME not in [layer.name for layer in model.layers]
    plain = keras.Model(inputs, body(inputs))
    assert families.preprocessing_mode(plain) == "tf"


@pytest.mark.parametrize("pooling", ["avg", "max", "flatten", "attention"])
def test_poolings(pooling):
    body = backbone()
    model = training.attach_head(body, units=2, pooling=pooling, dropout=0.0)
    features = values([body(X)])[0]
    pooled = values([model.get_layer("head_pooling")(features)])[0]
    if pooling == "attention":
        low, high = features.min((1, 2)), features.max((1, 2))
        assert (pooled >= low - 1e-5).all()
        assert (pooled <= high + 1e-5).all()
    else:
        make = {
            "avg": lambda f: f.mean((1, 2)),
            "max": lambda f: f.max((1, 2)),
            "flatten": lambda f: f.reshape(len(f), -1),
        }[pooling]
        np.testing.assert_allclose(pooled, make(features), rtol=1e-5, atol=1e-6)
    kernel, bias = values(model.get_layer("head_output").weights)
    np.testing.assert_allclose(
        values([model(X)])[0], pooled @ kernel + bias, rtol=1e-4, atol=1e-5
    )


def test_sequences_vectors_and_dicts_of_tensors():
    """Shapes of text backbones: token ids and a mask in, a dict of outputs out."""
    ids = keras.Input((None,), dtype="int32", name="token_ids")
    mask = keras.Input((None,), dtype="int32", name="padding_mask")
    x = L.Embedding(10, 4)(ids) * keras.ops.cast(mask[..., None], "float32")
    outputs = {"sequence_output": x, "pooled_output": L.Dense(3)(x[:, 0])}
    body = keras.Model({"token_ids": ids, "padding_mask": mask}, outputs, name="text")
    with pytest.raises(ValueError, match="must have one output"):
        training.attach_head(body, classes=2)
    data = {"token_ids": np.ones((2, 5), "int32"), "padding_mask": np.ones((2, 5))}
    for key in outputs:
        model = training.attach_head(body, classes=2, output_layer=key)
        np.testing.assert_allclose(values([model(data)])[0].sum(-1), 1, rtol=1e-5)


def test_a_file_with_a_classifier_is_cut_where_it_is_told(tmp_path):
    whole = training.attach_head(backbone(), classes=3)
    whole.save(tmp_path / "whole.keras")
    with pytest.raises(ValueError, match="must not end in a classifier"):
        training.attach_head(tmp_path / "whole.keras", classes=2)
    model = training.attach_head(
        str(tmp_path / "whole.keras"), classes=2, output_layer="head_pooling"
    )
    inner = model.get_layer(whole.name)
    assert [layer.name for layer in inner.layers][-1] == "head_pooling"
    np.testing.assert_allclose(
        values(inner.weights)[0], values(whole.weights)[0], rtol=0
    )
    with pytest.raises(ValueError, match="must be the name of a layer"):
        training.attach_head(backbone(), classes=2, output_layer="nowhere")


@slow_on_jax
def test_a_saved_model_has_its_preprocessing(tmp_path):
    model = training.attach_head(network("VGG16", 32), classes=2)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(
        values([loaded(IMAGES)])[0], values([model(IMAGES)])[0], rtol=1e-5, atol=1e-6
    )
    assert families.expected_maximum(loaded) == 255.0


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({}, ValueError, "Either `classes` or `units`"),
        ({"classes": 2, "units": 1}, ValueError, "Either `classes` or `units`"),
        ({"classes": 1}, ValueError, "`classes` must be an integer at least 2"),
        ({"classes": 2, "pooling": "mean"}, ValueError, "`pooling` must be one of"),
        ({"classes": 2, "dropout": 1.0}, ValueError, "`dropout` must be in"),
        ({"classes": 2, "preprocessing": "vgg"}, ValueError, "`preprocessing` must be"),
        ({"classes": 2, "max_value": 0}, ValueError, "`max_value` must be"),
    ],
)
def test_bad_arguments(arguments, error, text):
    with pytest.raises(error, match=text):
        training.attach_head(backbone(), **arguments)


def test_bad_backbones():
    with pytest.raises(TypeError, match="`backbone` must be a Model"):
        training.attach_head(3, classes=2)
    with pytest.raises(ValueError, match="`backbone` must be built"):
        training.attach_head(keras.Sequential([L.Dense(2)]), classes=2)
    with pytest.raises(ValueError, match="is for one input of images"):
        vectors = keras.Sequential([keras.Input((4,)), L.Dense(2)])
        training.attach_head(vectors, classes=2, preprocessing="tf")
