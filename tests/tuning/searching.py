"""A small real search with stock KerasTuner, for any hypermodel; shared fixtures."""

import keras
import keras_tuner
import pytest
from sklearn.datasets import load_digits


def digits(count=192):
    """The first 8x8 digits as rows of 64 numbers 0 to 16, and their labels."""
    x, y = load_digits(return_X_y=True)
    return x[:count].astype("float32"), y[:count]


def space(hypermodel, **values):
    """The declared space, with some values set before."""
    hp = keras_tuner.HyperParameters()
    hp.values = dict(values)
    hypermodel.declare_hyperparameters(hp)
    return hp


def backbone(input_shape=(8, 8, 1)):
    """A small network to transfer from."""
    x = inputs = keras.Input(input_shape)
    for number in (1, 2):
        x = keras.layers.Conv2D(3, 3, name=f"conv{number}")(x)
        x = keras.layers.BatchNormalization(name=f"norm{number}")(x)
        x = keras.layers.ReLU(name=f"relu{number}")(x)
    return keras.Model(inputs, x, name="backbone")


def search(hypermodel, x, y, directory, objective="val_accuracy", epochs=1):
    """Three trials; the best model, built again, scores what its trial scored."""
    tuner = keras_tuner.RandomSearch(
        hypermodel=hypermodel,
        objective=objective,
        max_trials=3,
        seed=1,
        directory=directory,
    )
    cut = len(x) * 2 // 3
    held = x[cut:], y[cut:]
    tuner.search(x[:cut], y[:cut], validation_data=held, epochs=epochs, verbose=0)
    trials = list(tuner.oracle.trials.values())
    assert [trial.status for trial in trials] == ["COMPLETED"] * 3
    (best,) = tuner.oracle.get_best_trials(1)
    model = tuner.get_best_models()[0]
    logs = model.evaluate(*held, verbose=0, return_dict=True)
    found = best.metrics.get_last_value("val_accuracy")
    assert logs["accuracy"] == pytest.approx(found, abs=1e-6)
    assert int(model.optimizer.iterations) > 0, "the optimizer lost its state"
    return tuner, model
