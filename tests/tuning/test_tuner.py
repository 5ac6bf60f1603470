"""`Tuner` with Keras models: what is trained, what is saved, what is said."""

import inspect
import pickle
import typing

import keras
import keras_tuner
import numpy as np
import pytest
from sklearn.model_selection import KFold

from keras_strategies import tuning
from keras_strategies.tuning import _space
from keras_strategies.tuning.oracles._registry import (
    ALGORITHMS,
    PRUNERS,
    AlgorithmName,
    PrunerName,
    choose_algorithm,
)
from keras_strategies.tuning.search._trials import folds as _folds

X = np.linspace(-1, 1, 40, dtype="float32").reshape(40, 1)
Y = (3 * X + 1).astype("float32")
ORDER = np.random.default_rng(0).permutation(40)
X, Y = X[ORDER], Y[ORDER]


def build(hp):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    rate = hp.Float("rate", 1e-3, 0.5, sampling="log")
    model.compile(keras.optimizers.SGD(rate), loss="mse", run_eagerly=True)
    return model


def tuner(folder, model=build, objective="val_loss", **kwargs):
    kwargs = {"algorithm": "random", "max_trials": 2, "seed": 3, **kwargs}
    return tuning.Tuner(model, objective, directory=folder, **kwargs)


def run(folder, model=build, data=None, epochs=2, objective="val_loss", **kwargs):
    made = tuner(folder, model, objective, **kwargs)
    arguments = {"validation_data": (X[30:], Y[30:])} if data is None else data
    if epochs is not None:
        arguments = {"epochs": epochs, "batch_size": 30, **arguments}
    made.search(X[:30], Y[:30], verbose=0, **arguments)
    return made


def test_search_trains_keeps_and_rebuilds_the_best(tmp_path):
    found = run(tmp_path, max_trials=3)
    rows = found.results()
    scores = [row["score"] for row in rows]
    (model,) = found.get_best_models()
    assert model.evaluate(X[30:], Y[30:], verbose=0) == pytest.approx(
        min(scores), rel=1e-4
    )
    (hp,) = found.get_best_hyperparameters()
    best = min(rows, key=lambda row: row["score"])
    assert hp.get("rate") == best["value/rate"]
    # The same folder, without training.
    again = tuner(tmp_path, max_trials=3)
    again.search(None)
    assert again.get_best_models()[0].get_weights()[0] == model.get_weights()[0]


def test_the_same_seed_gives_the_same_search(tmp_path):
    rows = [run(tmp_path / name).results() for name in "ab"]
    for first, second in zip(*rows, strict=True):
        assert first["score"] == second["score"]


def test_best_epoch_and_all_metrics_are_kept(tmp_path):
    found = run(tmp_path, epochs=3)
    for row in found.results():
        assert 1 <= row["best_epoch"] <= 3
        assert row["metric/val_loss"] == row["score"]
        assert row["metric/loss"] > 0
        assert row["seconds"] > 0


def test_only_the_best_checkpoints_stay(tmp_path):
    found = run(tmp_path, max_trials=4, epochs=1, max_checkpoints=1)
    files = list(tmp_path.rglob("checkpoint.weights.h5"))
    best = found.oracle.get_best_trials(1)[0]
    assert [file.parent.name for file in files] == [f"trial_{best.trial_id}"]
    assert found.get_best_models()
    with pytest.raises(FileNotFoundError, match="max_checkpoints"):
        found.get_best_models(2)


class Seen(keras.callbacks.Callback):
    """Notes what `fit` was given; a copy of a tuner's callback shares the list."""

    calls = []

    def on_train_begin(self, logs=None):
        self.calls.append(dict(self.params))


def test_batch_size_and_epochs_are_searched(tmp_path):
    Seen.calls.clear()
    made = tuner(tmp_path, batch_size=(5, 15), epochs=(1, 3), max_trials=3)
    made.search(X, Y, validation_split=0.25, callbacks=[Seen()], verbose=0)
    rows = made.results()
    assert len(rows) == len(Seen.calls) == 3
    for row, call in zip(rows, Seen.calls, strict=True):
        assert call["epochs"] == row["value/epochs"]
        assert call["steps"] == -(-30 // row["value/batch_size"])
    with pytest.raises(ValueError, match="must not be given to `search`"):
        made.search(X, Y, batch_size=5, verbose=0)


def test_what_a_build_function_calls_epochs_reaches_fit(tmp_path):
    def declaring(hp):
        hp.Fixed("epochs", 2)
        hp.Int("batch_size", 10, 12)
        return build(hp)

    Seen.calls.clear()
    made = tuner(tmp_path, declaring, max_trials=1)
    made.search(X, Y, validation_split=0.25, callbacks=[Seen()], verbose=0)
    assert Seen.calls[0]["epochs"] == 2
    assert Seen.calls[0]["steps"] == 3


def test_executions_and_folds_are_averaged(tmp_path):
    Seen.calls.clear()
    made = tuner(tmp_path, max_trials=1, cv=4, executions_per_trial=2)
    made.search(X, Y, callbacks=[Seen()], epochs=1, batch_size=10, verbose=0)
    assert [call["steps"] for call in Seen.calls] == [3] * 8
    assert np.isfinite(made.results()[0]["score"])


@pytest.mark.parametrize(
    "cv", [5, KFold(5), [(np.arange(8, 40), np.arange(8)), (np.arange(8), [9])]]
)
def test_folds_hold_each_row_apart(cv):
    weight = np.arange(40.0)
    runs = list(_folds.fold_arguments(cv, (X,), {"y": Y, "sample_weight": weight}, 1))
    assert len(runs) == (5 if not isinstance(cv, list) else 2)
    for _, kwargs in runs:
        x, y, weights = kwargs["validation_data"]
        assert not set(x.ravel()) & set(kwargs["x"].ravel())
        np.testing.assert_allclose(y, 3 * x + 1, rtol=1e-5)
        np.testing.assert_array_equal(X[weights.astype(int)], x)
    if not isinstance(cv, list):
        tested = np.concatenate([k["validation_data"][0] for _, k in runs])
        assert sorted(tested.ravel()) == sorted(X.ravel())


def test_cv_wants_arrays_and_no_other_validation(tmp_path):
    made = tuner(tmp_path, cv=3)
    with pytest.raises(ValueError, match="must not be given with `cv`"):
        made.search(X, Y, validation_split=0.2, verbose=0)
    with pytest.raises(ValueError, match="`cv` needs `x` and `y`"):
        made.search(X, verbose=0)
    assert made.results() == []


def test_several_objectives_of_one_fit(tmp_path):
    made = tuner(tmp_path, objective=["loss", "val_loss"], algorithm="evolution")
    made.search(X, Y, validation_split=0.25, epochs=1, verbose=0)
    for row in made.results():
        total = row["metric/loss"] + row["metric/val_loss"]
        assert row["score"] == pytest.approx(total)
    assert made.pareto_front()
    assert made.get_best_models()


def test_hyperband_trains_on_from_earlier_weights(tmp_path):
    Seen.calls.clear()
    options = {"max_epochs": 2, "factor": 2}
    made = tuner(
        tmp_path, algorithm="hyperband", algorithm_options=options, max_trials=None
    )
    budget = made.oracle.trials_and_epochs()
    made.search(X, Y, validation_split=0.25, callbacks=[Seen()], verbose=0)
    rows = made.results()
    assert {row["status"] for row in rows} == {"COMPLETED"}
    longer = [row for row in rows if row["value/tuner/initial_epoch"] > 0]
    assert longer
    trained = sum(
        row["value/tuner/epochs"] - row["value/tuner/initial_epoch"] for row in rows
    )
    assert (len(rows), trained) == budget


def test_default_algorithm_follows_the_space():
    def chosen(declare, trials=20, objectives=1):
        space = _space.Space()
        declare(space)
        return choose_algorithm(space.space, trials, objectives)[0]

    def numbers(space):
        space.Float("a", 0, 1)
        space.Int("b", 1, 900)

    def conditional(space):
        space.Boolean("on")
        with space.conditional_scope("on", [True]):
            space.Float("a", 0, 1)

    def mixed(space):
        numbers(space)
        space.Choice("c", ["x", "y"])

    assert chosen(lambda s: s.Int("a", 1, 20)) == "grid"
    assert chosen(lambda s: s.Int("a", 1, 21)) == "bayesian"
    assert chosen(numbers) == "bayesian"
    assert chosen(numbers, objectives=2) == "nsga2"
    assert chosen(conditional) == "bayesian"
    assert chosen(mixed) == "bayesian"

    def large(space):
        for number in range(21):
            space.Float(f"a{number}", 0, 1)

    def large_and_conditional(space):
        large(space)
        conditional(space)

    assert chosen(large) == "tpe"
    assert chosen(large_and_conditional) == "evolution"
    assert chosen(lambda s: None) == "random"


def test_the_choice_and_the_budget_are_said(tmp_path, capsys):
    made = tuner(tmp_path, algorithm="auto", max_trials=2, cv=2)
    assert made.oracle.algorithm == "bayesian"
    made.search(X, Y, epochs=1, verbose=1)
    said = capsys.readouterr().out
    assert "bayesian (the space has 1 hyperparameters)" in said
    assert "At most 2 trials x 1 executions x 2 folds x 1 epochs" in said
    assert said.count("val_loss") >= 2
    again = tuner(tmp_path, algorithm="auto", max_trials=9, cv=2)
    assert again.oracle.algorithm == "bayesian"
    assert again.algorithm_reason == "the search began with it"


def test_time_limit_ends_the_search(tmp_path):
    made = run(tmp_path, time_limit=1e-3, max_trials=50)
    assert len(made.results()) <= 1
    assert made.oracle.stop_reason == "time limit"


def test_a_folder_that_cannot_be_written_is_said_at_once(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(PermissionError, match="The folder of the search cannot"):
        tuner(file)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"algorithm": "sobol"}, ValueError, "`algorithm` must be one of"),
        ({"algorithm": 3}, TypeError, "`algorithm` must be a name or an oracle"),
        ({"pruner": "best"}, ValueError, "`pruner` must be one of"),
        ({"max_trials": 0}, ValueError, "`max_trials`"),
        ({"cv": 1}, ValueError, "`cv` must be"),
        ({"cv": "five"}, TypeError, "`cv` must be a number of folds"),
        ({"max_checkpoints": 0}, ValueError, "`max_checkpoints`"),
        ({"batch_size": (9, 3)}, ValueError, "low <= high"),
        ({"model": 5}, TypeError, "`hypermodel` must be"),
        (
            {"algorithm": "hyperband", "max_checkpoints": 1},
            ValueError,
            "must be None with Hyperband",
        ),
    ],
)
def test_errors_come_early(wrong, error, message, tmp_path):
    with pytest.raises(error, match=message):
        tuner(tmp_path, **wrong)


def test_stock_oracles_are_refused_with_the_way_out(tmp_path):
    oracle = keras_tuner.oracles.RandomSearchOracle("val_loss", max_trials=2)
    with pytest.raises(ValueError, match="repaired subclasses"):
        tuner(tmp_path, algorithm=oracle)


def test_our_oracles_serve_keras_tuners_own_tuner(tmp_path):
    oracle = tuning.EvolutionOracle("val_loss", max_trials=2, seed=1)
    stock = keras_tuner.Tuner(oracle, build, directory=tmp_path)
    stock.search(X, Y, validation_split=0.25, epochs=1, verbose=0)
    assert len(oracle.completed_trials()) == 2
    assert stock.get_best_models()


def test_type_checkers_see_the_registries():
    assert typing.get_args(AlgorithmName) == ("auto", *ALGORITHMS)
    assert typing.get_args(PrunerName) == tuple(PRUNERS)


class Doubled(tuning.Tuner):
    """A subclass with a constructor of its own."""

    def __init__(self, trials, **kwargs):
        super().__init__(None, max_trials=2 * trials, **kwargs)

    def run_trial(self, trial, **kwargs):
        return trial.hyperparameters.Float("x", 0, 1)


class Plain(tuning.Tuner):
    def run_trial(self, trial, **kwargs):
        return trial.hyperparameters.Float("x", 0, 1)


def test_the_signature_shows_the_arguments():
    names = list(inspect.signature(tuning.Tuner).parameters)
    assert names[:3] == ["hypermodel", "objective", "max_trials"] and len(names) == 33
    assert inspect.signature(Plain) == inspect.signature(tuning.Tuner)
    assert list(inspect.signature(Doubled).parameters) == ["trials", "kwargs"]


def test_the_recipe_makes_the_same_tuner_again(tmp_path):
    made = Doubled(2, directory=tmp_path)
    cls, args, kwargs = pickle.loads(pickle.dumps(made.recipe))
    assert (cls, args, kwargs) == (Doubled, (2,), {"directory": tmp_path})
    assert cls(*args, **kwargs).oracle.max_trials == 4
    assert Plain(max_trials=3, directory=tmp_path).recipe == (
        Plain, (), {"max_trials": 3, "directory": tmp_path},
    )  # fmt: skip
