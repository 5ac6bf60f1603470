"""Layers augment wherever Keras's random layers do, and only there."""

import functools

import keras
import numpy as np
import pytest

from keras_strategies import augmentation

KL = keras.layers
X = np.random.default_rng(0).uniform(size=(32, 8, 8, 3)).astype("float32")
Y = np.zeros((32, 8, 8, 3), "float32")


def _keras():
    return KL.RandomRotation((0.1, 0.3), fill_mode="constant")


def _stack():
    return [KL.RandomFlip("horizontal_and_vertical"), _keras()]


LAYERS = {
    "RandomAffine": lambda: augmentation.RandomAffine(rotation_factor=(0.1, 0.3)),
    "RandomColorAffine": lambda: augmentation.RandomColorAffine(
        brightness_factor=(0.2, 0.3), value_range=(0, 1)
    ),
    "TrivialAugmentWide": lambda: augmentation.TrivialAugmentWide(value_range=(0, 1)),
    "GridMask": augmentation.GridMask,
    "RandomCutout": augmentation.RandomCutout,
    "RandomMosaic": augmentation.RandomMosaic,
    "ChannelShuffle": augmentation.ChannelShuffle,
    "fuse": lambda: augmentation.fuse(_stack()),
    "RandomOpticalDistortion": lambda: augmentation.RandomOpticalDistortion((0.2, 0.3)),
    "RandomGridDistortion": lambda: augmentation.RandomGridDistortion(factor=0.9),
    "RandomGaussianNoise": lambda: augmentation.RandomGaussianNoise(0.1, (0, 1)),
    "RandomISONoise": lambda: augmentation.RandomISONoise(0.01, 0.1, (0, 1)),
    "RandomMotionBlur": augmentation.RandomMotionBlur,
    "RandomJPEGCompression": lambda: augmentation.RandomJPEGCompression(
        value_range=(0, 1)
    ),
    "MixUp": lambda: augmentation.MixUp(1.0),
    "CutMix": augmentation.CutMix,
}
QUICK = ("RandomAffine", "RandomMosaic", "fuse", "RandomISONoise")


class _Difference(KL.Layer):
    """What became of the images minus the images, times a weight that is one."""

    def build(self, input_shape):
        self.one = self.add_weight(shape=(), initializer="ones")

    def call(self, inputs):
        return self.one * (inputs[0] - inputs[1])


def _share(output, images=X):
    changed = np.abs(keras.ops.convert_to_numpy(output) - images) > 1e-4
    return float(np.any(changed, axis=(1, 2, 3)).mean())


def _direct(layer):
    return _share(layer(X))


def _sequential(layer):
    return _share(keras.Sequential([layer])(X))


def _functional(layer):
    inputs = keras.Input((8, 8, 3))
    return _share(keras.Model(inputs, layer(inputs))(X))


def _map(layer):
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices(X).batch(8).map(layer)
    return _share(np.concatenate(list(dataset.as_numpy_iterator())))


def _map_of_sequential(layer):
    import tensorflow as tf

    stack = keras.Sequential([layer])
    dataset = tf.data.Dataset.from_tensor_slices(X).batch(8).map(stack)
    return _share(np.concatenate(list(dataset.as_numpy_iterator())))


def _model(layer):
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, _Difference()([layer(inputs), inputs]))
    model.compile("sgd", "mse")
    return model


def _fit(layer):
    loss = _model(layer).fit(X, Y, batch_size=32, verbose=0).history["loss"][0]
    return float(loss > 1e-8)


def _predict(layer):
    model = keras.Sequential([keras.Input((8, 8, 3)), layer])
    return _share(model.predict(X, verbose=0))


def _evaluate(layer):
    return float(_model(layer).evaluate(X, Y, batch_size=32, verbose=0) > 1e-8)


WAYS = {
    "direct": _direct,
    "Sequential": _sequential,
    "Functional": _functional,
    "map": _map,
    "map of a Sequential": _map_of_sequential,
    "fit": _fit,
    "predict": _predict,
    "evaluate": _evaluate,
}


@functools.cache
def _share_of_keras(way):
    return WAYS[way](_keras())


def _export(layer, folder):
    import tensorflow as tf

    model = keras.Sequential([keras.Input((8, 8, 3)), layer])
    model.export(str(folder), verbose=False)
    # A name, or its variables are gone before it runs.
    loaded = tf.saved_model.load(str(folder))
    return _share(loaded.serve(X).numpy())


# Layers that leave some images alone: how many of 32 must change where others all do.
LEAST = {
    "GridMask": 0.5,
    "TrivialAugmentWide": 0.6,
    "ChannelShuffle": 0.5,
    "CutMix": 0.5,
    "RandomMosaic": 0.8,
    "MixUp": 0.8,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "name",
    [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in LAYERS],
)
def test_it_augments_where_keras_does(name, way):
    if way == "map of a Sequential" and keras.backend.backend() != "tensorflow":
        return  # Keras itself cannot.
    expected = _share_of_keras(way)
    assert expected in (0.0, 1.0)
    share = WAYS[way](LAYERS[name]())
    if expected:
        assert share >= LEAST.get(name, 0.9)
    else:
        assert share == 0.0


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", ["RandomAffine", "GridMask", "fuse"])
def test_a_saved_model_does_what_one_with_keras_layers_does(name, tmp_path):
    expected = _export(_keras(), tmp_path / "keras")
    share = _export(LAYERS[name](), tmp_path / "own")
    assert expected == 1.0
    assert share >= LEAST.get(name, 0.9)
