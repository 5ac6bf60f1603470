"""LabelSmoothingScheduler: the loss that each epoch really trained on."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_strategies.callbacks import LabelSmoothingScheduler
from tests.markers import compile_modes

CLASSES = 3
RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, CLASSES)).astype("float32")
Y = RNG.integers(0, CLASSES, size=8)
ONE_HOT = np.eye(CLASSES, dtype="float32")[Y]


def model_with(loss, activation="softmax", **arguments):
    """A model that keeps its weights: the loss tells the smoothing."""
    inputs = keras.Input((CLASSES,))
    outputs = keras.layers.Activation(activation)(Scale()(inputs))
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.SGD(0.0), loss=loss, **arguments)
    return model


class Scale(keras.layers.Layer):
    def build(self, input_shape):
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

    def call(self, inputs):
        return inputs * self.scale


def losses(model, y, *callbacks, epochs=3, **arguments):
    return model.fit(
        X,
        y,
        batch_size=4,
        epochs=epochs,
        shuffle=False,
        callbacks=list(callbacks),
        verbose=0,
        **arguments,
    ).history


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def crossentropy(smoothing):
    target = ONE_HOT * (1 - smoothing) + smoothing / CLASSES
    return -(target * np.log(softmax(X))).sum(-1).mean()


@pytest.mark.parametrize("arguments", compile_modes(steps=2), ids=str)
@pytest.mark.parametrize("kind", ["one_hot", "sparse"])
def test_each_epoch_has_its_smoothing(kind, arguments):
    loss, y = "categorical_crossentropy", ONE_HOT
    if kind == "sparse":
        loss, y = "sparse_categorical_crossentropy", Y
    model = model_with(loss, **arguments)
    values = {0: 0.3, 1: 0.1, 2: 0.0}
    callback = LabelSmoothingScheduler(values)
    for _ in range(2):
        history = losses(model, y, callback, validation_data=(X, y))
        expected = [crossentropy(value) for value in values.values()]
        np.testing.assert_allclose(history["loss"], expected, rtol=1e-5)
        np.testing.assert_allclose(history["val_loss"], crossentropy(0), rtol=1e-5)
        assert history["label_smoothing"] == list(values.values())
        assert "val_label_smoothing" not in history
    after = losses(model, y, epochs=1)
    np.testing.assert_allclose(after["loss"], crossentropy(0), rtol=1e-5)
    assert set(after) == {"loss"}


def test_replaces_the_smoothing_of_the_loss_in_training_only():
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=0.2, from_logits=True)
    model = model_with(loss, "linear")
    callback = LabelSmoothingScheduler({0: 0.5})
    history = losses(model, ONE_HOT, callback, epochs=1, validation_data=(X, ONE_HOT))
    np.testing.assert_allclose(history["loss"], crossentropy(0.5), rtol=1e-5)
    np.testing.assert_allclose(history["val_loss"], crossentropy(0.2), rtol=1e-5)
    assert loss.get_config()["label_smoothing"] == 0.2


@pytest.mark.parametrize("name", ["BinaryCrossentropy", "BinaryFocalCrossentropy"])
def test_binary_losses(name):
    loss = getattr(keras.losses, name)
    history = losses(
        model_with(loss(), "sigmoid"), ONE_HOT, LabelSmoothingScheduler({0: 0.3})
    )
    fixed = losses(model_with(loss(label_smoothing=0.3), "sigmoid"), ONE_HOT)
    np.testing.assert_allclose(history["loss"], fixed["loss"], rtol=1e-5)


def test_only_the_cross_entropies_of_several_outputs():
    inputs = keras.Input((CLASSES,))
    scaled = Scale()(inputs)
    outputs = {"a": keras.layers.Softmax(name="a")(scaled), "b": scaled}
    model = keras.Model(inputs, outputs)
    loss = {"a": "sparse_categorical_crossentropy", "b": "mse"}
    model.compile(keras.optimizers.SGD(0.0), loss=loss)
    y = {"a": Y, "b": np.zeros_like(X)}
    history = losses(model, y, LabelSmoothingScheduler({0: 0.4}), epochs=1)
    np.testing.assert_allclose(history["a_loss"], crossentropy(0.4), rtol=1e-5)
    np.testing.assert_allclose(history["b_loss"], (X**2).mean(), rtol=1e-5)


def test_the_gradient_is_that_of_the_smoothed_loss():
    results = []
    for smoothing in (None, 0.3):
        loss = keras.losses.CategoricalCrossentropy(label_smoothing=smoothing or 0.3)
        model = model_with(loss)
        model.optimizer.learning_rate = 0.5
        callbacks = [LabelSmoothingScheduler({0: smoothing})] if smoothing else []
        losses(model, ONE_HOT, *callbacks, epochs=2)
        results.append(float(model.get_weights()[0]))
    assert results[0] == pytest.approx(results[1], rel=1e-5)
    assert results[0] != pytest.approx(1.0, rel=1e-3)


def test_what_cannot_be_smoothed_is_refused():
    model = model_with("mse")
    callback = LabelSmoothingScheduler({0: 0.1})
    with pytest.raises(ValueError, match="needs a cross-entropy"):
        losses(model, ONE_HOT, callback)
    callback.restore()
    losses(model, ONE_HOT, epochs=1)
    ignoring = keras.losses.SparseCategoricalCrossentropy(ignore_class=0)
    with pytest.raises(ValueError, match="ignore_class"):
        losses(model_with(ignoring), Y, LabelSmoothingScheduler({0: 0.1}))


def test_a_value_out_of_range():
    model = model_with("categorical_crossentropy")
    with pytest.raises(ValueError, match="scheduled label_smoothing"):
        losses(model, ONE_HOT, LabelSmoothingScheduler({0: 1.0}))


def test_saved_in_between_loads_anywhere(tmp_path):
    class Save(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.save(tmp_path / "model.keras")

    inputs = keras.Input((CLASSES,))
    model = keras.Model(inputs, keras.layers.Dense(3, "softmax")(inputs))
    model.compile("adam", "categorical_crossentropy")
    losses(model, ONE_HOT, LabelSmoothingScheduler({0: 0.1}), Save())
    again = keras.models.load_model(tmp_path / "model.keras")
    x = ops.convert_to_tensor(X)
    np.testing.assert_allclose(
        ops.convert_to_numpy(again(x)), ops.convert_to_numpy(model(x)), rtol=1e-5
    )
