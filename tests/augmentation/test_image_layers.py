"""What every image layer does alike: seeds, formats, `tf.data`, XLA, inference."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_strategies import augmentation

LAYERS = {
    "ChannelShuffle": {},
    "GridMask": {"unit_factor": 0.5, "factor": 1.0},
    "RandomColorAffine": {
        "brightness_factor": 0.2,
        "contrast_factor": 0.3,
        "saturation_factor": 0.5,
        "hue_factor": 0.2,
        "value_range": (0, 1),
    },
    "RandomCutout": {"height_factor": 0.4, "holes": 2},
    "RandomMosaic": {},
    "TrivialAugmentWide": {"value_range": (0, 1)},
}
every_layer = pytest.mark.parametrize("name", sorted(LAYERS))


def _layer(name, **changes):
    return getattr(augmentation, name)(**{**LAYERS[name], "seed": 3, **changes})


def _numpy(x):
    return ops.convert_to_numpy(x)


def _images(batch=8, height=9, width=12):
    rng = np.random.default_rng(0)
    return rng.uniform(0, 1, (batch, height, width, 3)).astype("float32")


@every_layer
def test_inference_training_and_seeds(name):
    images = _images()
    layer = _layer(name)
    assert layer.supports_jit
    np.testing.assert_array_equal(_numpy(layer(images, training=False)), images)
    first, second = _numpy(layer(images)), _numpy(layer(images))
    assert first.shape == images.shape
    assert np.abs(first - images).max() > 0.1
    assert np.abs(first - second).max() > 0.1
    np.testing.assert_array_equal(_numpy(_layer(name)(images)), first)
    model = keras.Sequential([keras.Input((9, 12, 3)), layer])
    np.testing.assert_array_equal(_numpy(model(images, training=False)), images)


@every_layer
def test_channels_first_and_integers_are_the_same_picture(name):
    images = np.round(_images() * 255)
    changes = {}
    if "value_range" in LAYERS[name]:
        changes = {"value_range": (0, 255)}
    last = _numpy(_layer(name, **changes)(images.astype("float32")))
    whole = _layer(name, **changes)(images.astype("uint8"))
    assert keras.backend.standardize_dtype(whole.dtype) == "float32"
    np.testing.assert_allclose(_numpy(whole), last, atol=1e-3)
    layer = _layer(name, data_format="channels_first", **changes)
    first = layer(images.transpose(0, 3, 1, 2).astype("float32"))
    np.testing.assert_allclose(_numpy(first).transpose(0, 2, 3, 1), last, atol=1e-2)


@every_layer
@pytest.mark.parametrize("batched", [True, False])
def test_in_tf_data_on_every_backend(name, batched):
    import tensorflow as tf

    if name == "RandomMosaic" and not batched:
        with pytest.raises(ValueError, match="must have a batch axis"):
            _layer(name)(_images()[0])
        return
    images = _images()
    dataset = tf.data.Dataset.from_tensor_slices((images, np.arange(8)))
    layer = _layer(name)
    dataset = dataset.batch(8) if batched else dataset
    mapped = dataset.map(lambda x, y: (layer(x, training=True), y))
    mapped = mapped if batched else mapped.batch(8)
    ((got, labels),) = mapped.as_numpy_iterator()
    np.testing.assert_array_equal(labels, np.arange(8))
    assert got.shape == images.shape
    assert np.abs(got - images).max() > 0.1
    # Each time it is seen an element draws other numbers.
    ((again, _),) = mapped.as_numpy_iterator()
    assert np.abs(got - again).max() > 0.1


@pytest.mark.parametrize("name", ["ChannelShuffle", "GridMask", "RandomMosaic"])
def test_parallel_pipelines_repeat_with_a_seed(name):
    import tensorflow as tf

    images = np.random.default_rng(3).uniform(size=(24, 9, 12, 3)).astype("float32")

    def epochs():
        dataset = tf.data.Dataset.from_tensor_slices(images)
        dataset = dataset.batch(4) if name == "RandomMosaic" else dataset
        # A shuffled order and threads: neither decides what an element draws.
        dataset = dataset.shuffle(24).map(_layer(name), num_parallel_calls=4)
        rows = [np.stack(list(dataset.as_numpy_iterator())) for _ in range(2)]
        return [np.sort(row.reshape(24, -1), axis=0) for row in rows]

    first = epochs()
    assert not np.array_equal(*first)
    np.testing.assert_array_equal(epochs(), first)


@every_layer
@pytest.mark.tensorflow
def test_images_of_unknown_size_take_plain_operations_and_agree(name):
    import tensorflow as tf

    layer, images = _layer(name), _images(4)

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3))])
    def plain(x):
        return layer(x, training=True)

    np.testing.assert_allclose(
        plain(images), _numpy(_layer(name)(images)), atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("name", ["RandomColorAffine", "TrivialAugmentWide"])
def test_greyscale_works_and_other_channels_are_refused(name):
    grey = _images()[..., :1]
    assert np.abs(_numpy(_layer(name)(grey)) - grey).max() > 0.1
    with pytest.raises(ValueError, match="1 or 3 channels"):
        _layer(name)(np.zeros((2, 4, 4, 5), "float32"))


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("ChannelShuffle", {"groups": 0}, "`groups` must be an integer at least 1"),
        ("GridMask", {"unit_factor": 0.0}, r"`unit_factor` must be in \(0, 1\]"),
        ("GridMask", {"ratio_factor": (0.1, 1.5)}, r"`ratio_factor` must be in"),
        ("GridMask", {"factor": 1.5}, r"`factor` must be in \[0, 1\]"),
        ("RandomColorAffine", {"contrast_factor": -0.1}, "`contrast_factor` must be"),
        (
            "RandomColorAffine",
            {"value_range": (1, 0)},
            "`value_range` must be increasing",
        ),
        ("RandomColorAffine", {"hue_factor": (0.1,)}, "must have two numbers"),
        ("RandomCutout", {"holes": 0}, "`holes` must be"),
        ("RandomMosaic", {"center_factor": 0.5}, "must have two numbers"),
        ("TrivialAugmentWide", {"num_magnitude_bins": 1}, "`num_magnitude_bins`"),
        ("TrivialAugmentWide", {"interpolation": "cubic"}, "must be one of"),
    ],
)
def test_bad_arguments(name, arguments, text):
    with pytest.raises(ValueError, match=text):
        getattr(augmentation, name)(**arguments)
