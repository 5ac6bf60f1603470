"""Start values, constraints, earlier results, Optuna's parts, callbacks of a trial."""

import keras
import keras_tuner
import numpy as np
import optuna
import pytest
from keras_tuner.engine.trial import Trial

from keras_strategies import tuning
from keras_strategies.tuning.oracles._registry import ALGORITHMS

# A proposal of a Gaussian process takes a tenth of a second.
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("gp", "cmaes")]
OTHERS = ("hyperband", "pbt", "nsga2", "gp", "cmaes")
SEQUENTIAL = [*(name for name in ALGORITHMS if name not in OTHERS), *SLOW]
MODELS = ("bayesian", "tpe", "evolution", *SLOW)


def space():
    hp = keras_tuner.HyperParameters()
    hp.Float("x", 0, 1, step=0.05)
    hp.Choice("kind", ["a", "b"])
    with hp.conditional_scope("kind", ["b"]):
        hp.Int("n", 1, 4)
    return hp


class Search(tuning.Tuner):
    def run_trial(self, trial, *args, **kwargs):
        hp = trial.hyperparameters
        extra = hp.get("n") if hp.get("kind") == "b" else 0
        return (hp.get("x") - 0.3) ** 2 + extra


def make(folder, algorithm="random", **kwargs):
    kwargs = {"max_trials": 6, "seed": 1, "hyperparameters": space(), **kwargs}
    return Search(directory=folder, algorithm=algorithm, **kwargs)


def values(tuner):
    return [_space_values(row) for row in tuner.results()]


def _space_values(row):
    return {k[6:]: v for k, v in row.items() if k.startswith("value/")}


@pytest.mark.parametrize("algorithm", [*SEQUENTIAL, "hyperband", "pbt"])
def test_enqueued_values_come_first_and_once(algorithm, tmp_path):
    starts = [{"x": 0.35, "kind": "b", "n": 3}, {"kind": "b"}]

    def search(max_trials):
        tuner = make(tmp_path, algorithm, max_trials=max_trials)
        for start in [*starts, starts[0]]:  # as a script does at each start
            tuner.enqueue(start)
        tuner.search(verbose=0)
        return [
            {k: v for k, v in row.items() if not k.startswith("tuner/")}
            for row in values(tuner)
        ]

    tried = search(4)
    assert tried[0] == {"x": pytest.approx(0.35), "kind": "b", "n": 3}
    assert tried[1] == {"x": 0.0, "kind": "b", "n": 1}
    again = search(6)
    assert again[:4] == tried and len(again) == 6
    assert again.count(tried[0]) == 1 or algorithm in ("hyperband", "pbt")


def test_enqueued_values_are_checked(tmp_path):
    tuner = make(tmp_path, constraints=lambda v: v["x"] < 0.5)
    with pytest.raises(ValueError, match="must be one of 'kind', 'n', 'x'"):
        tuner.enqueue({"rate": 1})
    with pytest.raises(ValueError, match="`kind` must have a value of the space"):
        tuner.enqueue({"kind": "c"})
    with pytest.raises(ValueError, match="must satisfy the constraints"):
        tuner.enqueue({"x": 0.6})


@pytest.mark.parametrize("algorithm", SEQUENTIAL)
def test_constraints_hold_for_every_proposal(algorithm, tmp_path):
    tuner = make(
        tmp_path,
        algorithm,
        max_trials=12,
        constraints=lambda v: v["x"] <= 0.2 and v["kind"] == "b",
    )
    tuner.search(verbose=0)
    tried = values(tuner)
    assert len(tried) == 12
    assert all(v["x"] <= 0.2 + 1e-9 and v["kind"] == "b" for v in tried)


def test_what_a_trial_declares_is_checked_before_it_trains(tmp_path):
    built = []

    def build(hp):
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        if hp.Boolean("deep"):
            units = hp.Choice("units", [1, 2, 3])
            built.append(units)
        model.compile("sgd", "mse")
        return model

    tuner = tuning.Tuner(
        build,
        "loss",
        algorithm="grid",
        directory=tmp_path,
        max_consecutive_failed_trials=1,
        constraints=lambda v: v.get("units", 2) != 1,
    )
    tuner.search(np.zeros((4, 1)), np.zeros((4, 1)), verbose=0)
    statuses = [row["status"] for row in tuner.results()]
    assert statuses.count("INFEASIBLE") == 1 and statuses.count("COMPLETED") == 3
    (row,) = [row for row in tuner.results() if row["status"] == "INFEASIBLE"]
    assert row["message"].startswith("Not run") and row["score"] is None


def test_constraints_that_nothing_satisfies_are_said(tmp_path):
    tuner = make(tmp_path, constraints=lambda v: False)
    with pytest.raises(RuntimeError, match="no combination .* satisfies `constraints`"):
        tuner.search(verbose=0)
    with pytest.raises(TypeError, match="`constraints` must be a function"):
        make(tmp_path, constraints=[])


@pytest.mark.parametrize("algorithm", MODELS)
def test_results_of_another_search_are_data_of_the_model(algorithm, tmp_path):
    earlier = make(tmp_path, project_name="earlier", max_trials=15)
    earlier.search(verbose=0)
    sources = [earlier, earlier.results()]
    if algorithm == "tpe":
        sources += [earlier.results().to_dataframe(), earlier.oracle]
    tried = []
    for number, source in enumerate(sources):
        tuner = make(
            tmp_path, algorithm, project_name=f"warm{number}", warm_start=source
        )
        tuner.search(verbose=0)
        assert len(tuner.results()) == 6
        tried.append(values(tuner))
        best = min(row["score"] for row in tuner.results())
        # The first proposals are not random any more: most are of kind "a".
        assert sum(v["kind"] == "a" for v in tried[-1]) >= 3 and best < 0.3
    assert all(t == tried[0] for t in tried) or algorithm == "tpe"


def test_a_warm_start_that_cannot_serve_is_said(tmp_path):
    earlier = make(tmp_path, project_name="earlier")
    earlier.search(verbose=0)
    with pytest.raises(ValueError, match="needs an algorithm with a model"):
        make(tmp_path, "grid", warm_start=earlier)
    other = keras_tuner.HyperParameters()
    other.Float("y", 0, 1)
    with pytest.raises(ValueError, match="completed trials with the objective and"):
        make(tmp_path, "tpe", warm_start=earlier, hyperparameters=other)


# Optuna's pruners and objectives


def curve(x, epoch):
    return x * (1 + epoch / 5) + 1 / (epoch + 1)


class Curves(tuning.Tuner):
    """Ten epochs; the larger x, the worse each of them, and the later ones more."""

    def run_trial(self, trial, *args, **kwargs):
        x = trial.hyperparameters.Float("x", 0, 1)
        for epoch in range(10):
            logs = {"loss": curve(x, epoch)}
            if self.oracle.report(trial.trial_id, epoch, logs) == "STOPPED":
                break
        return logs


PRUNERS = {
    "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=3),
    "percentile": lambda: optuna.pruners.PercentilePruner(25.0, n_startup_trials=3),
    "halving": lambda: optuna.pruners.SuccessiveHalvingPruner(),
    "hyperband": lambda: optuna.pruners.HyperbandPruner(1, 10, 3),
    "threshold": lambda: optuna.pruners.ThresholdPruner(upper=0.9, n_warmup_steps=1),
    "patient": lambda: optuna.pruners.PatientPruner(
        optuna.pruners.MedianPruner(n_startup_trials=3), patience=1
    ),
    "nop": lambda: optuna.pruners.NopPruner(),
}


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("name", PRUNERS)
def test_pruners_of_optuna_decide_as_in_optuna(name, tmp_path):
    tuner = Curves(
        None, keras_tuner.Objective("loss", "min"), algorithm="random", max_trials=14,
        seed=1, directory=tmp_path, pruner=PRUNERS[name](),
    )  # fmt: skip
    tuner.search(verbose=0)
    xs = [row["value/x"] for row in tuner.results()]
    ours = [tuner.oracle.pruned.get(row["trial"]) for row in tuner.results()]

    theirs = []

    def objective(trial):
        for epoch in range(10):
            trial.report(curve(xs[trial.number], epoch), epoch)
            if trial.should_prune():
                theirs.append(epoch)
                raise optuna.TrialPruned
        theirs.append(None)
        return curve(xs[trial.number], 9)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(pruner=PRUNERS[name](), study_name="search")
    study.optimize(objective, len(xs))
    assert ours == theirs
    assert any(epoch is not None for epoch in ours) == (name != "nop")


def test_a_pruner_of_optuna_goes_on_after_a_resume(tmp_path):
    def search(max_trials):
        tuner = Curves(
            None, keras_tuner.Objective("loss", "min"), algorithm="random", seed=1,
            max_trials=max_trials, directory=tmp_path,
            pruner=optuna.pruners.SuccessiveHalvingPruner(),
        )  # fmt: skip
        tuner.search(verbose=0)
        return tuner.oracle.pruned

    search(5)
    resumed = search(14)
    other = tmp_path / "whole"
    other.mkdir()
    tmp_path = other
    assert search(14) == resumed


def objective(trial):
    rate = trial.suggest_float("rate", 1e-4, 1.0, log=True)
    layers = trial.suggest_int("layers", 1, 3)
    kind = trial.suggest_categorical("kind", ["sgd", None])
    momentum = trial.suggest_float("m", 0, 0.9, step=0.1) if kind == "sgd" else 0
    trial.set_user_attr("kind", kind)
    assert trial.params["layers"] == layers and trial.number >= 0
    for step in range(4):
        trial.report(abs(np.log10(rate) + 2) + layers + 1 / (step + 1), step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return abs(np.log10(rate) + 2) + layers - momentum


@pytest.mark.parametrize("algorithm", ["tpe", "evolution", "random"])
def test_an_objective_of_optuna_runs_unchanged(algorithm, tmp_path):
    tuner = tuning.Tuner.from_optuna(
        objective, algorithm=algorithm, max_trials=15, directory=tmp_path, seed=1,
        pruner="median",
    )  # fmt: skip
    tuner.search(verbose=0)
    rows = tuner.results()
    assert len(rows) == 15
    assert {row["status"] for row in rows} <= {"COMPLETED", "PRUNED"}
    assert any(row["status"] == "PRUNED" for row in rows)
    for row in rows:
        assert ("value/m" in row) == (row["value/kind"] == "sgd")
    # And the same search goes on.
    again = tuning.Tuner.from_optuna(
        objective, algorithm=algorithm, max_trials=17, directory=tmp_path, seed=1
    )
    again.search(verbose=0)
    assert len(again.results()) == 17


def test_several_directions_of_an_optuna_objective(tmp_path):
    def two(trial):
        x = trial.suggest_float("x", 0, 1)
        return x, 1 - x

    tuner = tuning.Tuner.from_optuna(
        two, directions=["minimize", "maximize"], max_trials=5, directory=tmp_path
    )
    tuner.search(verbose=0)
    assert len(tuner.pareto_front()) == 1
    with pytest.raises(ValueError, match="Only one of"):
        tuning.Tuner.from_optuna(two, direction="minimize", directions=["minimize"])
    with pytest.raises(ValueError, match="`direction` must be one of"):
        tuning.Tuner.from_optuna(two, direction="min")
    with pytest.raises(TypeError, match="must be a function of a trial"):
        tuning.Tuner.from_optuna(5)
    wrong = tuning.Tuner.from_optuna(two, directory=tmp_path, project_name="wrong")
    with pytest.raises(keras_tuner.errors.FatalError, match="for each direction"):
        wrong.search(verbose=0)


# Models: callbacks of a trial, parts of the data, populations

X = np.linspace(-1, 1, 27, dtype="float32").reshape(27, 1)
Y = 3 * X + 1


def build(hp):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    rate = hp.Float("rate", 1e-3, 0.5, sampling="log")
    optimizer = keras.optimizers.SGD(rate, momentum=0.5)
    model.compile(optimizer, loss="mse", run_eagerly=True)
    return model


class Logger(keras.callbacks.Callback):
    """As those of trackers: it holds what cannot be copied."""

    def __init__(self, log, trial):
        super().__init__()
        self.log, self.values = log, trial.hyperparameters.values
        self.generator = (k for k in range(3))  # no copy of it is possible

    def on_train_end(self, logs=None):
        self.log.append((self.values["rate"], logs["loss"]))


def test_each_trial_has_callbacks_of_its_own(tmp_path):
    log = []
    tuner = tuning.Tuner(
        build, "val_loss", algorithm="random", max_trials=3, directory=tmp_path, seed=1,
        trial_callbacks=lambda trial: [Logger(log, trial)],
    )  # fmt: skip
    tuner.search(X, Y, validation_data=(X, Y), verbose=0)
    assert [rate for rate, _ in log] == [r["value/rate"] for r in tuner.results()]
    with pytest.raises(TypeError, match="`trial_callbacks` must be a function"):
        make(tmp_path, trial_callbacks=[Logger])


def test_hyperband_raises_the_part_of_the_data(tmp_path):
    seen = []

    class Counts(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            seen[-1][1] += 1

    def callbacks(trial):
        seen.append([trial.hyperparameters.values["tuner/epochs"], 0])
        return [Counts()]

    tuner = tuning.Tuner(
        build, "val_loss", algorithm="hyperband", fidelity="data", directory=tmp_path,
        algorithm_options={"max_epochs": 9, "factor": 3}, seed=1, max_trials=11,
        trial_callbacks=callbacks,
    )  # fmt: skip
    tuner.search(X, Y, validation_data=(X, Y), epochs=2, batch_size=3, verbose=0)
    assert {row["status"] for row in tuner.results()} == {"COMPLETED"}
    assert {part for part, _ in seen} >= {1, 3}
    # Of 27 examples part / 9, three in a batch, for two epochs.
    assert all(batches == 2 * part for part, batches in seen)
    with pytest.raises(ValueError, match="needs rounds of trials"):
        make(tmp_path, "random", fidelity="data")


def test_a_population_passes_weights_on(tmp_path):
    rates = {}

    class Rate(keras.callbacks.Callback):
        def __init__(self, trial):
            super().__init__()
            self.trial = trial

        def on_train_begin(self, logs=None):
            optimizer = self.model.optimizer
            rates[self.trial.trial_id] = float(optimizer.learning_rate)
            iterations[self.trial.trial_id] = int(optimizer.iterations)

    iterations = {}

    def search(folder, stop_at=None):
        def callbacks(trial):
            if trial.trial_id == stop_at:
                raise KeyboardInterrupt
            return [Rate(trial)]

        tuner = tuning.Tuner(
            build, "val_loss", algorithm="pbt", directory=folder, seed=1,
            algorithm_options={"population_size": 4, "generations": 3},
            trial_callbacks=callbacks,
        )  # fmt: skip
        tuner.search(X, Y, validation_data=(X, Y), batch_size=9, verbose=0)
        return tuner

    tuner = search(tmp_path)
    rows = {row["trial"]: row for row in tuner.results()}
    assert len(rows) == 12 and {r["status"] for r in rows.values()} == {"COMPLETED"}
    replaced = 0
    for row in rows.values():
        parent = rows.get(row.get("value/tuner/trial_id"))
        assert (parent is None) == (row["value/tuner/generation"] == 0)
        # The learning rate is that of the trial, the state that of the parent.
        assert rates[row["trial"]] == pytest.approx(row["value/rate"], rel=1e-5)
        assert iterations[row["trial"]] == 3 * row["value/tuner/generation"]
        if parent is None:
            continue
        assert row["score"] != parent["score"]
        replaced += row["value/rate"] != parent["value/rate"]
    assert replaced >= 2  # one of four in each generation
    best = min(row["score"] for row in rows.values())
    first = min(r["score"] for r in rows.values() if not r["value/tuner/generation"])
    assert best < first
    model = tuner.get_best_models()[0]
    assert model.evaluate(X, Y, verbose=0) == pytest.approx(best, rel=1e-4)
    # Interrupted in its sixth trial it goes on with the same draws.
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(KeyboardInterrupt):
        search(other, "0005")
    assert [r["score"] for r in search(other).results()] == pytest.approx(
        [row["score"] for row in tuner.results()]
    )


def test_what_changes_shapes_goes_with_the_weights(tmp_path):
    def shaped(hp):
        model = keras.Sequential([keras.Input((1,))])
        model.add(keras.layers.Dense(hp.Int("units", 1, 64)))
        model.add(keras.layers.Dense(1))
        rate = hp.Float("rate", 1e-3, 0.1, sampling="log")
        model.compile(keras.optimizers.SGD(rate), "mse", run_eagerly=True)
        return model

    def search(**options):
        tuner = tuning.Tuner(
            shaped, "loss", algorithm="pbt", seed=2, directory=tmp_path, overwrite=True,
            algorithm_options={"population_size": 3, "generations": 2, **options},
        )  # fmt: skip
        tuner.search(X, Y, verbose=0)
        return tuner

    with pytest.raises(keras_tuner.errors.FatalError, match="in `inherited`"):
        search()
    rows = {row["trial"]: row for row in search(inherited=["units"]).results()}
    assert len(rows) == 6
    for row in rows.values():
        parent = rows.get(row.get("value/tuner/trial_id"), row)
        assert row["value/units"] == parent["value/units"]


def test_trials_that_a_script_made_itself_stand_beside_ours(tmp_path):
    """KerasTuner names them by hashes."""
    oracle = make(tmp_path).oracle
    trial = Trial(oracle.get_space(), status="COMPLETED")
    trial.score, trial.best_step = 1.0, 0
    oracle.trials[trial.trial_id] = trial
    assert oracle.create_trial("tuner0").trial_id == "0"
    assert oracle.create_trial("tuner1").trial_id == "1"
