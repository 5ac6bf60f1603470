"""What callbacks change inside a compiled training step, and change back."""

import keras
import numpy as np
import pytest

from keras_strategies._internal.keras_private import callbacks as private
from keras_strategies._internal.keras_private import changed_step


def compiled(optimizer="sgd"):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(optimizer, loss="mse")
    return model


def fit(model):
    x = np.ones((4, 2), "float32")
    return model.fit(x, np.zeros((4, 1)), 2, shuffle=False, verbose=0).history


def test_a_held_number_keeps_config_and_files_as_they_were(tmp_path):
    model = compiled(keras.optimizers.SGD(0.1, momentum=0.5))
    config = model.optimizer.get_config()
    fit(model)
    count = len(model.optimizer.variables)
    private.swap_in_variable(model.optimizer, "momentum", [], "float32")
    assert model.optimizer.get_config() == config
    fit(model)
    model.save(tmp_path / "model.keras")
    private.swap_out_variable(model.optimizer, "momentum", [])
    assert model.optimizer.momentum == 0.5
    assert len(model.optimizer.variables) == count
    assert "get_config" not in vars(model.optimizer)
    keras.models.load_model(tmp_path / "model.keras")  # a warning is an error


def test_wrappers_come_and_go_in_any_order():
    model = compiled()
    plain = model.compute_loss

    def doubled(call, *args, **kwargs):
        return 2 * call(*args, **kwargs)

    def plus_one(call, *args, **kwargs):
        return 1 + call(*args, **kwargs)

    y = keras.ops.ones((2, 1))
    arguments = {"x": None, "y": y, "y_pred": 2 * y}
    private.wrap_method(model, "compute_loss", doubled)
    private.wrap_method(model, "compute_loss", plus_one)
    assert float(model.compute_loss(**arguments)) == 3.0
    private.unwrap_method(model, "compute_loss", doubled)
    assert float(model.compute_loss(**arguments)) == 2.0
    private.unwrap_method(model, "compute_loss", plus_one)
    assert model.compute_loss == plain
    model.__dict__["compute_loss"] = plain
    private.wrap_method(model, "compute_loss", doubled)
    private.unwrap_method(model, "compute_loss", doubled)
    assert model.__dict__["compute_loss"] is plain


def test_a_step_variable_reaches_the_loss_and_no_log():
    model = compiled(keras.optimizers.SGD(0.0))
    plain = fit(model)["loss"][0]

    def scaled(call, *args, **kwargs):
        return call(*args, **kwargs) * variable.value

    with changed_step(model):
        metric, variable = private.add_step_variable(model, 3.0, "factor")
        private.wrap_method(model, "compute_loss", scaled)
    history = fit(model)
    assert list(history) == ["loss"]
    assert history["loss"][0] == pytest.approx(3 * plain, rel=1e-5)
    variable.assign(5.0)
    assert fit(model)["loss"][0] == pytest.approx(5 * plain, rel=1e-5)
    with changed_step(model):
        private.unwrap_method(model, "compute_loss", scaled)
        private.remove_step_variable(model, metric)
    assert fit(model)["loss"][0] == pytest.approx(plain, rel=1e-5)
    assert not model._metrics


def test_loss_functions_and_their_arguments():
    model = compiled()
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=0.1)
    model.compile("sgd", loss=loss)
    assert private.loss_functions(model) is None
    y = keras.ops.ones((2, 1))
    (found,) = private.loss_functions(model, y, y)
    assert found.fn is keras.losses.categorical_crossentropy
    assert private.function_arguments(found)["label_smoothing"] == 0.1
    assert private.loss_functions(model) == [found]
