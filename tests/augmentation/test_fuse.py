"""Stacks of Keras's layers and what `fuse` makes of them."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_strategies import augmentation


def _numpy(x):
    return ops.convert_to_numpy(x)


def _smooth(batch=2, height=64, width=80):
    """Pictures that many resamples blur as little as one."""
    y, x = np.mgrid[:height, :width] / 10.0
    image = np.stack([np.sin(x / 2), np.cos(y / 2), np.sin((x + y) / 3)], axis=-1)
    return np.repeat(image[None], batch, axis=0).astype("float32")


def _fixed():
    """One layer of each kind whose map is always the same."""
    return {
        "rotation": layers.RandomRotation((0.03, 0.03)),
        "translation": layers.RandomTranslation((0.05, 0.05), (-0.06, -0.06)),
        "zoom": layers.RandomZoom((-0.1, -0.1), (0.15, 0.15)),
    }


@pytest.mark.parametrize(
    "order",
    [
        ("rotation", "translation", "zoom"),
        ("translation", "zoom", "rotation"),
        ("zoom", "rotation", "translation"),
    ],
)
def test_any_order_gives_the_picture_of_the_stack(order):
    stack = [_fixed()[kind] for kind in order]
    expected = _smooth()
    for layer in stack:
        expected = layer(expected, training=True)
    affine = augmentation.fuse(stack)
    assert affine.order[:3] == order
    got = _numpy(affine(_smooth(), training=True))
    inner = np.s_[:, 16:-16, 16:-16]
    np.testing.assert_allclose(got[inner], _numpy(expected)[inner], atol=0.02)


def test_factors_and_settings_are_taken_over():
    options = {"fill_mode": "constant", "fill_value": 0.5, "interpolation": "nearest"}
    affine = augmentation.fuse(
        [
            layers.RandomShear(0.2, (0.1, 0.3), **options, seed=4),
            layers.RandomFlip("vertical"),
            layers.RandomZoom(0.3, **options),
            layers.RandomTranslation((-0.1, 0.2), 0.3, **options),
        ]
    )
    config = affine.get_config()
    expected = {
        "rotation_factor": 0.0,
        "translation_height_factor": (-0.1, 0.2),
        "translation_width_factor": 0.3,
        "shear_x_factor": 0.2,
        "shear_y_factor": (0.1, 0.3),
        "zoom_height_factor": 0.3,
        "zoom_width_factor": None,
        "flip_mode": "vertical",
        "order": ("shear", "flip", "zoom", "translation", "rotation"),
        "seed": 4,
        **options,
    }
    assert {name: config[name] for name in expected} == expected


def test_flips_keep_their_coins():
    """RandomFlip throws one coin for both directions, two layers throw two."""
    images = np.arange(4, dtype="float32").reshape(1, 2, 2, 1)
    images = np.repeat(images, 64, axis=0)

    def pictures(layer):
        return {tuple(image.ravel().astype(int)) for image in _numpy(layer(images))}

    both = layers.RandomFlip("horizontal_and_vertical", seed=0)
    one = augmentation.fuse([both])
    assert pictures(one) == pictures(both) == {(0, 1, 2, 3), (3, 2, 1, 0)}
    pair = [layers.RandomFlip("horizontal", seed=0), layers.RandomFlip("vertical")]
    assert len(pictures(augmentation.fuse(pair))) == 4


@pytest.mark.parametrize(
    ("stack", "text"),
    [
        (list, "must hold a layer"),
        (lambda: [layers.RandomContrast(0.1)], "every layer must be geometric"),
        (
            lambda: [layers.RandomZoom(0.1), layers.RandomZoom(0.1)],
            "two of the kind 'zoom'",
        ),
        (
            lambda: [
                layers.RandomZoom(0.1, fill_mode="wrap"),
                layers.RandomRotation(0.1, fill_mode="constant"),
            ],
            "differ in `fill_mode`, 'wrap' and 'constant'",
        ),
        (
            lambda: [
                layers.RandomFlip(data_format="channels_first"),
                layers.RandomRotation(0.1),
            ],
            "differ in `data_format`",
        ),
    ],
)
def test_lists_that_do_not_fit_into_one_layer(stack, text):
    with pytest.raises(ValueError, match=text):
        augmentation.fuse(stack())
    with pytest.raises(TypeError, match="must be a list or tuple or Model"):
        augmentation.fuse("model")


def _classes(model):
    return [type(layer).__name__ for layer in model.layers]


def test_translations_of_one_axis_each_add_up():
    stack = [layers.RandomTranslation(0.1, 0.0), layers.RandomTranslation(0.0, 0.2)]
    config = augmentation.fuse(stack).get_config()
    assert config["translation_height_factor"] == 0.1
    assert config["translation_width_factor"] == 0.2


def test_sequential_model_shares_its_other_layers():
    model = keras.Sequential(
        [
            keras.Input((16, 20, 3)),
            layers.RandomFlip("horizontal"),
            layers.RandomRotation(0.1),
            layers.RandomZoom(0.1),
            layers.RandomZoom(0.2),
            layers.Conv2D(2, 3),
            layers.RandomFlip("vertical"),
        ],
        name="net",
    )
    fused = augmentation.fuse(model)
    assert _classes(fused) == ["RandomAffine", "RandomAffine", "Conv2D", "RandomFlip"]
    assert fused.name == "net"
    assert len(model.layers) == 6
    assert fused.layers[2] is model.layers[4]
    assert fused.layers[0].order[:3] == ("flip", "rotation", "zoom")
    images = _smooth(2, 16, 20)
    np.testing.assert_allclose(
        _numpy(fused(images, training=False)), _numpy(model(images, training=False))
    )
    assert augmentation.fuse(fused) is fused


def test_functional_model_with_a_nested_stack(tmp_path):
    stack = keras.Sequential([layers.RandomRotation(0.1), layers.RandomZoom(0.1)])
    inputs = keras.Input((16, 20, 3))
    x = stack(inputs)
    x = layers.RandomFlip("horizontal")(x)
    branch = layers.RandomTranslation(0.1, 0.1)(x)
    x = layers.RandomShear(0.1)(branch)
    x = layers.RandomZoom(0.1)(x)
    x = layers.Concatenate()([x, branch])
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, layers.Dense(2)(x))
    fused = augmentation.fuse(model)
    assert _classes(fused) == [
        "InputLayer",
        "Sequential",
        "RandomAffine",  # flip and translation: two layers read their output
        "RandomAffine",  # shear and zoom
        "Concatenate",
        "GlobalAveragePooling2D",
        "Dense",
    ]
    assert _classes(fused.layers[1]) == ["RandomAffine"]
    assert fused.layers[2].flip_mode == "horizontal"
    assert fused.layers[-1] is model.layers[-1]
    images = _smooth(4, 16, 20)
    np.testing.assert_allclose(
        fused.predict(images, verbose=0), model.predict(images, verbose=0), rtol=1e-5
    )
    fused.compile("sgd", "mse")
    history = fused.fit(images, np.zeros((4, 2)), verbose=0).history
    assert np.isfinite(history["loss"]).all()
    fused.save(tmp_path / "fused.keras")
    again = keras.models.load_model(tmp_path / "fused.keras")
    np.testing.assert_allclose(
        again.predict(images, verbose=0), fused.predict(images, verbose=0), rtol=1e-5
    )


@pytest.mark.parametrize("around", ["alone", "Sequential", "built", "Pipeline"])
def test_pipelines(around):
    pipeline = layers.Pipeline(
        [
            layers.RandomRotation(0.1),
            layers.RandomZoom(0.1),
            layers.Rescaling(2.0),
            layers.RandomFlip(),
        ],
        name="augment",
    )
    model = {
        "alone": lambda: pipeline,
        "Sequential": lambda: keras.Sequential([pipeline]),
        "built": lambda: keras.Sequential([keras.Input((64, 80, 3)), pipeline]),
        "Pipeline": lambda: layers.Pipeline([pipeline, layers.RandomHue(0.1)]),
    }[around]()
    fused = augmentation.fuse(model)
    assert type(fused) is type(model) and fused is not model
    inner = fused if around == "alone" else fused.layers[0]
    assert inner.name == "augment" and len(pipeline.layers) == 4
    kinds = [type(layer).__name__ for layer in inner.layers]
    assert kinds == ["RandomAffine", "Rescaling", "RandomFlip"]
    assert inner.layers[1:] == pipeline.layers[2:]
    images = _smooth()
    assert np.abs(_numpy(fused(images)) - 2 * images).max() > 0.1
    if around != "Pipeline":
        still = _numpy(fused(images, training=False))
        np.testing.assert_allclose(still, 2 * images, rtol=1e-6)
    assert augmentation.fuse(fused) is fused


def test_models_without_a_graph_are_refused():
    class Own(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ValueError, match="it is subclassed and has no graph"):
        augmentation.fuse(Own())
