"""ProgressiveResizing and SequenceLengthWarmup: the shapes that steps really saw."""

import keras
import numpy as np
import pytest

from keras_strategies.callbacks import ProgressiveResizing, SequenceLengthWarmup
from tests.markers import compile_modes


class Seen(keras.layers.Layer):
    """Notes the shapes it is called with, one for each trace or step."""

    def __init__(self, shapes):
        super().__init__()
        # Not the list itself, which Keras would copy.
        self.note = shapes.append

    def call(self, inputs, training=None):
        self.note((bool(training), tuple(inputs.shape[1:])))
        return inputs


def image_model(shapes=None, **arguments):
    layers = [keras.Input((None, None, 1))]
    if shapes is not None:
        layers.append(Seen(shapes))
    layers += [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.compile("sgd", loss="mse", **arguments)
    return model


def fit(model, x, y, *callbacks, epochs=3, **arguments):
    return model.fit(
        x,
        y,
        batch_size=4,
        epochs=epochs,
        callbacks=list(callbacks),
        verbose=0,
        **arguments,
    ).history


def trained_on(shapes):
    """Shapes of training steps in their order, without repetitions."""
    return list(dict.fromkeys(shape for training, shape in shapes if training))


@pytest.mark.parametrize("arguments", compile_modes(steps=2), ids=str)
def test_images_grow_and_validation_does_not_shrink(arguments):
    shapes = []
    model = image_model(shapes, **arguments)
    shapes.clear()
    x, y = np.random.default_rng(0).normal(size=(8, 8, 8, 1)), np.zeros(8)
    callback = ProgressiveResizing({0: 4, 1: (6, 5), 2: 8})
    history = fit(model, x, y, callback, validation_data=(x, y))
    assert trained_on(shapes) == [(4, 4, 1), (6, 5, 1), (8, 8, 1)]
    tested = {shape for training, shape in shapes if not training}
    assert tested <= {(8, 8, 1), (None, None, 1)}
    assert history["image_size"] == [4, 6, 8]
    assert "train_step" not in vars(model)
    shapes.clear()
    fit(model, x, y, epochs=1)
    assert trained_on(shapes) in ([(8, 8, 1)], [(None, None, 1)])


def test_resized_like_keras_resizes():
    layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
    flat = keras.layers.Lambda(lambda x: keras.ops.reshape(x, (-1, 16)))
    model = keras.Sequential([keras.Input((None, None, 1)), flat, layer])
    model.compile(keras.optimizers.SGD(1.0), loss=lambda y, prediction: prediction)
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype("float32")
    fit(model, x, np.zeros((4, 1)), ProgressiveResizing({0: 4}), epochs=1)
    resized = keras.ops.convert_to_numpy(keras.ops.image.resize(x, (4, 4)))
    expected = -resized.mean(axis=0).reshape(16, 1)
    np.testing.assert_allclose(layer.get_weights()[0], expected, rtol=1e-4, atol=1e-6)


def test_integer_images_and_targets_of_segmentation():
    inputs = keras.Input((None, None, 1), dtype="float32")
    outputs = keras.layers.Conv2D(1, 1, activation="sigmoid")(inputs)
    model = keras.Model(inputs, outputs)
    # Keras 3.15's sparse cross-entropy of images fails on Torch 2.13 by itself.
    model.compile("sgd", loss="binary_crossentropy")
    rng = np.random.default_rng(0)
    x = rng.integers(0, 255, size=(8, 8, 8, 1)).astype("uint8")
    y = rng.integers(0, 2, size=(8, 8, 8, 1)).astype("int32")
    history = fit(model, x, y, ProgressiveResizing({0: 4}, resize_targets=True))
    assert np.isfinite(history["loss"]).all()


@pytest.mark.parametrize("arguments", compile_modes(steps=2), ids=str)
def test_sequences_grow(arguments):
    shapes = []
    model = keras.Sequential(
        [
            keras.Input((None,)),
            keras.layers.Embedding(5, 2),
            Seen(shapes),
            keras.layers.Dense(1),
        ]
    )
    model.compile("sgd", loss="mse", **arguments)
    shapes.clear()
    x = np.random.default_rng(0).integers(0, 5, size=(8, 6))
    callback = SequenceLengthWarmup({0: 2, 1: 4, 2: 9}, cut_targets=True)
    weight = np.ones((8, 6, 1))
    history = fit(model, x, np.zeros((8, 6, 1)), callback, sample_weight=weight)
    lengths = [shape[0] for shape in trained_on(shapes)]
    assert lengths[:2] == [2, 4]
    assert lengths[2] in (6, None)
    assert history["sequence_length"] == [2, 4, 9]


def test_two_of_them_at_once_and_a_model_with_several_inputs():
    images, words = keras.Input((None, None, 1)), keras.Input((None,))
    pooled = keras.layers.GlobalAveragePooling2D()(images)
    read = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(5, 2)(words))
    joined = keras.layers.Concatenate()([pooled, read])
    model = keras.Model([images, words], keras.layers.Dense(1)(joined))
    model.compile("sgd", loss="mse")
    x = [np.ones((8, 8, 8, 1)), np.ones((8, 6))]
    callbacks = ProgressiveResizing({0: 4}), ProgressiveResizing({0: 6})
    history = fit(model, x, np.zeros(8), *callbacks, epochs=1)
    assert history["image_size"] == [6]
    assert "train_step" not in vars(model)


class Fails(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        raise RuntimeError("power cut")


def test_a_fit_that_died_is_put_right():
    model = image_model()
    x, y = np.ones((4, 8, 8, 1)), np.zeros(4)
    callback = ProgressiveResizing({0: 4})
    with pytest.raises(RuntimeError, match="power cut"):
        fit(model, x, y, callback, Fails())
    fit(model, x, y, callback, epochs=1)
    assert "train_step" not in vars(model)


def test_models_of_one_size_are_refused():
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()])
    model.compile("sgd", loss="mse")
    x = np.ones((4, 8, 8, 1))
    with pytest.raises(ValueError, match="images of any size"):
        fit(model, x, x.reshape(4, -1), ProgressiveResizing({0: 4}))
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
    model.compile("sgd", loss="mse")
    with pytest.raises(ValueError, match="sequences of any length"):
        fit(model, np.ones((4, 8)), np.ones(4), SequenceLengthWarmup({0: 4}))


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (lambda: ProgressiveResizing(96), TypeError, "callable or a dict"),
        (lambda: ProgressiveResizing({0: 4}, interpolation="x"), ValueError, "interp"),
        (lambda: ProgressiveResizing({0: 4}, resize_targets=1), TypeError, "resize_t"),
        (lambda: ProgressiveResizing({0: 4}, data_format="x"), ValueError, "data_form"),
        (lambda: SequenceLengthWarmup({3: 4}), ValueError, "value for position 0"),
        (lambda: SequenceLengthWarmup({0: 4}, cut_targets=None), TypeError, "cut_targ"),
    ],
)
def test_bad_arguments(build, error, words):
    with pytest.raises(error, match=words):
        build()


@pytest.mark.parametrize("size", [0, (1, 2, 3), "large"])
def test_bad_sizes(size):
    model = image_model()
    with pytest.raises((TypeError, ValueError), match="scheduled size|scheduled_size"):
        fit(model, np.ones((4, 8, 8, 1)), np.ones(4), ProgressiveResizing({0: size}))
