"""Misuse of a search: one clear error with its fix, before it costs trials."""

import pathlib

import keras
import keras_tuner
import numpy as np
import pytest

from keras_strategies import tuning
from keras_strategies.tuning.search._setup import misuse

X = np.zeros((12, 2), "float32")
Y = np.arange(12) % 3


def build(hp, compiled=True):
    units = hp.Int("units", 1, 3)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(units)])
    model.add(keras.layers.Dense(3, activation="softmax"))
    if compiled:
        loss = "sparse_categorical_crossentropy"
        model.compile("sgd", loss, metrics=["accuracy"], run_eagerly=True)
    return model


def make(folder, objective="val_accuracy", model=build, **kwargs):
    kwargs = {"algorithm": "random", "max_trials": 2, "seed": 1, **kwargs}
    return tuning.Tuner(model, objective, directory=folder, **kwargs)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("val_accurcy", "'val_accuracy'"),
        ("val_los", "'val_loss'"),
        ("acuracy", "'accuracy'"),
        ("val_my_score", None),
    ],
)
def test_a_misspelt_metric_names_the_nearest(name, meant, tmp_path):
    with pytest.raises(ValueError, match="`objective` must be a metric") as caught:
        make(tmp_path, name)
    text = str(caught.value)
    assert (f"Did you mean {meant}?" in text) == (meant is not None)
    assert f'keras_tuner.Objective({name!r}, "max")' in text
    assert make(tmp_path, ["val_loss", keras_tuner.Objective("size", "min")])


def test_weights_that_all_trials_share_end_the_search(tmp_path):
    shared = keras.layers.Dense(2, name="backbone")
    shared.build((None, 2))

    def make_model(hp):
        head = keras.layers.Dense(3, activation="softmax")
        model = keras.Sequential([keras.Input((2,)), shared, head])
        model.compile(
            keras.optimizers.SGD(hp.Float("rate", 0.01, 0.1)),
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
            run_eagerly=True,
        )
        return model

    data = {"x": X, "y": Y, "validation_data": (X, Y), "verbose": 0}
    with pytest.raises(keras_tuner.errors.FatalError, match="models share weights"):
        make(tmp_path / "trained", model=make_model).search(**data)
    shared.trainable = False
    tuner = make(tmp_path / "frozen", model=make_model)
    tuner.search(**data)
    assert len(tuner.oracle.trials) == 2


def test_a_search_without_data_is_said(tmp_path):
    with pytest.raises(ValueError, match="must get data"):
        make(tmp_path).search(verbose=0)
    assert not list(tmp_path.rglob("trial_*"))


def test_a_search_without_a_hypermodel_is_said(tmp_path):
    with pytest.raises(ValueError, match="(?s)`hypermodel` must be.*run_trial"):
        make(tmp_path, model=None).search(X, Y, verbose=0)
    assert not list(tmp_path.rglob("trial_*"))


def test_a_model_that_is_not_compiled_is_said(tmp_path):
    tuner = make(tmp_path, model=lambda hp: build(hp, False))
    with pytest.raises(keras_tuner.errors.FatalError, match="must be compiled"):
        tuner.search(X, Y, validation_data=(X, Y), verbose=0)


def test_missing_validation_data_is_said(tmp_path):
    with pytest.raises(keras_tuner.errors.FatalError, match="Pass validation_data="):
        make(tmp_path).search(X, Y, verbose=0)


def test_an_objective_that_the_model_lacks_names_the_nearest(tmp_path):
    objective = keras_tuner.Objective("val_acuracy", "max")
    with pytest.raises(keras_tuner.errors.FatalError, match="mean 'val_accuracy'"):
        make(tmp_path, objective).search(X, Y, validation_data=(X, Y), verbose=0)
    text = misuse.missing_objective(["f1"], ["loss"])
    assert text.endswith("Compile the model with this metric.")


@pytest.mark.parametrize("labels", [Y + 1, Y - 1, np.array(["a", "b"] * 6)])
def test_labels_that_are_no_numbers_of_classes_are_said(labels, tmp_path):
    tuner = make(tmp_path, model=tuning.HyperMLP(input_shape=(2,), classes=3))
    with pytest.raises(keras_tuner.errors.FatalError, match="0 to 2.*return_inverse"):
        tuner.search(X, labels, validation_data=(X, labels), verbose=0)
    assert not list(tmp_path.rglob("trial_*"))


def test_a_model_in_place_of_a_function_is_said(tmp_path):
    model = build(keras_tuner.HyperParameters())
    with pytest.raises(TypeError, match=r"tuning.tune_model\(model\)"):
        make(tmp_path, model=model)


@pytest.mark.parametrize(
    ("arguments", "classes"), [({"classes": 3}, 3), ({"task": "binary"}, 2)]
)
def test_one_hot_labels_are_said(arguments, classes, tmp_path):
    hyper = tuning.HyperMLP(input_shape=(2,), **arguments)
    one_hot = keras.utils.to_categorical(Y % classes, classes)
    tuner = make(tmp_path, model=hyper)
    with pytest.raises(keras_tuner.errors.FatalError, match="np.argmax"):
        tuner.search(X, one_hot, validation_data=(X, one_hot), verbose=0)


def test_metrics_without_an_objective_are_said(tmp_path):
    tuner = make(tmp_path, objective=None)
    with pytest.raises(keras_tuner.errors.FatalError, match="a single number"):
        tuner.search(X, Y, validation_data=(X, Y), verbose=0)


def test_the_tuner_may_replace_what_a_model_is_compiled_with(tmp_path):
    class Seen(keras.callbacks.Callback):
        rates = set()

        def on_train_begin(self, logs=None):
            Seen.rates.add(float(self.model.optimizer.learning_rate))

    tuner = make(tmp_path, optimizer=keras.optimizers.SGD(0.125))
    fit = {"validation_data": (X, Y), "verbose": 0, "callbacks": [Seen()]}
    tuner.search(X, Y, **fit)
    assert [row["status"] for row in tuner.results()] == ["COMPLETED"] * 2
    assert Seen.rates == {0.125}


def test_damaged_weights_are_said(tmp_path):
    tuner = make(tmp_path, max_trials=1)
    tuner.search(X, Y, validation_data=(X, Y), verbose=0)
    (trial,) = tuner.oracle.get_best_trials(1)
    assert int(tuner.load_model(trial).optimizer.iterations) == 1
    path = pathlib.Path(tuner.checkpoint_path(trial.trial_id))
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(OSError, match="the file is damaged"):
        tuner.load_model(trial)
