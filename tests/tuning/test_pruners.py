"""Pruners against Optuna's, and in searches."""

import keras
import keras_tuner
import numpy as np
import optuna
import pytest

from keras_strategies import tuning

EPOCHS = 10


def decisions_of_optuna(pruner, curves, direction, first_step):
    """Epoch at which Optuna stops each trial, or None."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction=direction, pruner=pruner, sampler=optuna.samplers.RandomSampler()
    )
    stopped = []
    for curve in curves:
        trial = study.ask()
        at = None
        for epoch, value in enumerate(curve):
            trial.report(value, epoch + first_step)
            if trial.should_prune():
                at = epoch
                break
        state = optuna.trial.TrialState.PRUNED
        study.tell(
            trial,
            None if at is not None else curve[-1],
            state=state if at is not None else None,
        )
        stopped.append(at)
    return stopped


def decisions_of_ours(pruner, curves, direction):
    stopped, done = [], []
    for curve in curves:
        seen, at = {}, None
        for epoch, value in enumerate(curve):
            seen[epoch] = value
            compared = [c for c, s in done if pruner.compares == "all" or s is None]
            if pruner.should_stop(seen, compared, direction):
                at = epoch
                break
        stopped.append(at)
        done.append((seen, at))
    return stopped


@pytest.mark.parametrize("direction", ["min", "max"])
@pytest.mark.parametrize("kind", ["median", "asha"])
def test_decisions_are_those_of_optuna(kind, direction):
    rng = np.random.default_rng(3)
    curves = [
        list(np.cumsum(rng.normal(size=EPOCHS)) + 3 * rng.normal()) for _ in range(40)
    ]
    if kind == "median":
        ours = tuning.MedianPruner(startup_trials=4, warmup_epochs=3)
        theirs = optuna.pruners.MedianPruner(4, n_warmup_steps=2)
    else:
        ours = tuning.SuccessiveHalvingPruner(min_epochs=1, factor=3)
        theirs = optuna.pruners.SuccessiveHalvingPruner(1, 3, 0)
    expected = decisions_of_optuna(
        theirs, curves, f"{direction}imize", 0 if kind == "median" else 1
    )
    found = decisions_of_ours(ours, curves, direction)
    assert found == expected
    assert len(set(found)) > 2


def test_nan_is_behind_everything():
    pruner = tuning.MedianPruner(startup_trials=1, warmup_epochs=1)
    assert pruner.should_stop({0: float("nan")}, [{0: 1.0}], "min")
    assert not pruner.should_stop({0: 2.0}, [{0: float("nan")}], "min")


@pytest.mark.parametrize("cls", [tuning.MedianPruner, tuning.SuccessiveHalvingPruner])
def test_numbers_are_checked(cls):
    with pytest.raises(ValueError, match="at least"):
        cls(0)
    with pytest.raises(TypeError, match="must be an integer"):
        cls(1.5)


class Curves(tuning.Tuner):
    """Each trial reports its own level for ten epochs."""

    def run_trial(self, trial, *args, **kwargs):
        level = trial.hyperparameters.Int("level", 0, 9)
        for epoch in range(EPOCHS):
            if self.oracle.report(trial.trial_id, epoch, {"score": level}) == "STOPPED":
                break
        return {"score": level, "epochs": epoch + 1}


@pytest.mark.parametrize("pruner", ["median", "asha"])
@pytest.mark.parametrize("algorithm", ["random", "tpe"])
def test_a_search_saves_epochs_and_says_so(pruner, algorithm, tmp_path):
    space = keras_tuner.HyperParameters()
    space.Int("level", 0, 9)
    objective = keras_tuner.Objective("score", "max")
    tuner = Curves(
        hyperparameters=space, objective=objective, max_trials=10, seed=2,
        algorithm=algorithm, pruner=pruner, directory=tmp_path,
    )  # fmt: skip
    tuner.search(verbose=0)
    rows = tuner.results()
    trained = {row["value/level"]: row["metric/epochs"] for row in rows}
    assert sum(trained.values()) < 8 * EPOCHS
    assert trained[9] == EPOCHS
    for row in rows:
        shortened = row["metric/epochs"] < EPOCHS
        assert row["status"] == ("PRUNED" if shortened else "COMPLETED")
    again = Curves(
        hyperparameters=space, objective=objective, max_trials=10,
        algorithm=algorithm, pruner=pruner, directory=tmp_path,
    )  # fmt: skip
    assert again.results() == rows


class Level(keras.callbacks.Callback):
    """Puts the objective into the logs before the tuner sees them."""

    def on_epoch_end(self, epoch, logs=None):
        logs["level"] = float(self.model.level)


def build(hp):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.level = hp.Int("level", 0, 5)
    model.compile("sgd", "mse", run_eagerly=True)
    return model


def test_fit_ends_when_the_pruner_says_so(tmp_path):
    tuner = tuning.Tuner(
        build,
        keras_tuner.Objective("level", "max"),
        algorithm="grid",
        pruner=tuning.MedianPruner(startup_trials=1, warmup_epochs=2),
        directory=tmp_path,
    )
    x = np.ones((4, 1))
    tuner.search(x, x, epochs=3, callbacks=[Level()], verbose=0)
    epochs = {row["value/level"]: row for row in tuner.results()}
    curves = {len(curve) for curve in tuner.oracle.curves.values()}
    assert curves == {3}, "each level is above the median of the earlier ones"
    assert {row["status"] for row in epochs.values()} == {"COMPLETED"}
