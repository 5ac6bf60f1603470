"""The underscore names of KerasTuner and Optuna behave as the package relies on."""

import keras
import keras_tuner
import pytest

from keras_strategies import tuning
from keras_strategies.tuning._private import hyperparameters, oracles, studies, tuners


def space():
    hp = keras_tuner.HyperParameters()
    hp.Int("n", 1, 3)
    return hp


def stock_oracle(**kwargs):
    return keras_tuner.oracles.RandomSearchOracle(
        keras_tuner.Objective("score", "max"), hyperparameters=space(), **kwargs
    )


class Hooked(oracles.OracleHooks, keras_tuner.oracles.RandomSearchOracle):
    """Draws what is handed to it."""

    draws = iter(())

    def _draw_untried(self):
        return next(self.draws, None)


def test_the_hook_replaces_the_draws_of_stock_oracles():
    oracle = Hooked("loss", max_trials=2, hyperparameters=space())
    oracle.draws = iter([{"n": 2}])
    assert oracle.populate_space("0") == {"status": "RUNNING", "values": {"n": 2}}
    assert oracle.populate_space("1")["status"] == "STOPPED"


def test_hyperband_draws_by_the_hook_too():
    class Bands(oracles.OracleHooks, keras_tuner.oracles.HyperbandOracle):
        def _draw_untried(self):
            return {"n": 3}

    oracle = Bands("loss", max_epochs=4, hyperparameters=space())
    assert oracle.populate_space("0")["values"]["n"] == 3
    rounds = list(oracles.hyperband_rounds(oracle))
    assert [epochs for bracket in rounds for _, epochs in bracket][-1] == 4
    assert all(len(bracket) == k for k, bracket in enumerate(rounds, start=1))


def test_retries_and_counts_are_in_the_saved_state(tmp_path):
    oracle = stock_oracle(max_trials=2, max_retries_per_trial=1)
    oracles.set_project(oracle, tmp_path, "search")
    trial = oracle.create_trial("tuner0")
    trial.status = "INVALID"
    oracle.end_trial(trial)
    assert oracles.retry_queue(oracle) == [trial.trial_id]
    assert oracles.run_counts(oracle)[trial.trial_id] == 1
    oracles.retry_queue(oracle).clear()
    state = oracle.get_state()
    assert state["retry_queue"] == [] and state["run_times"] == {trial.trial_id: 1}


def test_draws_are_counted_in_the_saved_state():
    oracle = stock_oracle(max_trials=2)
    oracles.reset_draws(oracle)
    assert [oracles.next_draw(oracle) for _ in range(3)] == [1, 2, 3]
    assert oracle.get_state()["seed_state"] == 3


def test_values_of_a_trial_are_remembered(tmp_path):
    oracle = stock_oracle(max_trials=2)
    oracles.set_project(oracle, tmp_path, "search")
    trial = oracle.create_trial("tuner0")
    first = dict(trial.hyperparameters.values)
    assert oracles.is_duplicate(oracle, first)
    changed = {"n": first["n"] % 3 + 1}
    trial.hyperparameters.values = dict(changed)
    oracles.record_values(oracle, trial)
    assert oracles.is_duplicate(oracle, changed)
    assert not oracles.is_duplicate(oracle, first)
    assert oracles.max_collisions(oracle) > 1


def test_a_missing_objective_is_refused():
    oracle = stock_oracle(max_trials=2)
    oracles.check_objective_reported(oracle, {"score": 1.0, "loss": 2.0})
    with pytest.raises(ValueError, match="score"):
        oracles.check_objective_reported(oracle, {"loss": 2.0})


def test_the_display_is_called_and_saved():
    class Display:
        verbose = 1

        def get_state(self):
            return {"mine": True}

    oracle = stock_oracle(max_trials=2)
    display = Display()
    oracles.set_display(oracle, display)
    assert oracles.display(oracle) is display
    oracle.verbose = 2
    assert display.verbose == 2
    assert oracle.get_state()["display"] == {"mine": True}


def test_the_folder_of_a_search_is_that_of_its_tuner(tmp_path):
    oracle = stock_oracle(max_trials=2)
    assert oracles.project_name(oracle) is None
    tuner = keras_tuner.Tuner(
        oracle, lambda hp: keras.Sequential(), directory=tmp_path, project_name="name"
    )
    assert oracles.project_name(oracle) == "name"
    assert oracles.project_folder(oracle) == tuner.project_dir
    folder = tuners.trial_folder(tuner.project_dir, "7")
    assert folder == tuner.get_trial_dir("7")
    assert tuners.build_config_path(tuner, "7").startswith(folder)


def test_the_client_of_a_chief_has_the_local_oracle(monkeypatch):
    from keras_tuner.src.distribute import oracle_client

    for name, value in (("TUNER_ID", "w"), ("ORACLE_IP", "127.0.0.1")):
        monkeypatch.setenv(f"KERASTUNER_{name}", value)
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", "9")
    local = stock_oracle(max_trials=2)
    client = oracle_client.OracleClient(local)
    assert oracles.local_oracle(client) is local


class Hooks(tuners.TunerHooks):
    """Notes which hooks KerasTuner calls."""

    def __init__(self, folder, **kwargs):
        self.calls, self.folder = [], folder
        super().__init__(stock_oracle(max_trials=1), build, directory=folder, **kwargs)

    def _state_path(self):
        self.calls.append("state path")
        return str(self.folder / "state.json")

    def _declare_space(self):
        self.calls.append("declare space")
        self._declare_space_by_building()

    def _build_model(self, hp):
        self.calls.append("build model")
        return super()._build_model(hp)

    def _fit_model(self, trial, *args, **kwargs):
        self.calls.append("fit model")
        tuners.build(self, trial.hyperparameters)
        return {"score": 1.0}


def build(hp):
    hp.Boolean("flag")
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def test_keras_tuners_tuner_calls_the_hooks(tmp_path):
    tuner = Hooks(tmp_path)
    assert tuner.calls == ["state path", "declare space"]
    assert [hp.name for hp in tuner.oracle.get_space().space] == ["n", "flag"]
    tuner.calls.clear()
    tuner.search(verbose=0)
    assert tuner.calls[:2] == ["fit model", "build model"]
    assert (tmp_path / "state.json").exists()
    assert not tuners.is_worker(tuner)
    trial = tuner.oracle.get_best_trials(1)[0]
    assert tuners.build_and_fit(tuner, trial) == {"score": 1.0}


def test_a_model_that_is_none_ends_the_search(tmp_path):
    tuner = keras_tuner.Tuner(
        stock_oracle(max_trials=1), lambda hp: 3, directory=tmp_path
    )
    with pytest.raises(keras_tuner.errors.FatalTypeError):
        tuners.build(tuner, space())


def test_callbacks_are_copied_or_the_search_ends(tmp_path):
    tuner = keras_tuner.Tuner(stock_oracle(max_trials=1), build, directory=tmp_path)
    callback = keras.callbacks.EarlyStopping()
    (copied,) = tuners.copy_callbacks(tuner, [callback])
    assert copied is not callback and copied.monitor == callback.monitor
    with pytest.raises(keras_tuner.errors.FatalValueError):
        tuners.copy_callbacks(tuner, [(n for n in range(3))])


def test_hyperparameters_are_added_found_and_declared():
    hp = keras_tuner.HyperParameters()
    added = hyperparameters.Float("x", 0, 0.3, step=0.1)
    hyperparameters.append(hp, added)
    assert hp.space == [added] and hyperparameters.named(hp, "x") == [added]
    assert hyperparameters.is_declared(hp, added)
    assert hyperparameters.named(hp, "y") == []
    kind = hp.Choice("kind", ["a", "b"])
    settings = {"min_value": 0, "max_value": 1, "step": 0.25}
    assert kind == "a"
    value = hyperparameters.declare_float(hp, "y", "kind", ["a"], **settings)
    assert value == 0
    assert hyperparameters.declare_float(hp, "z", "kind", ["b"], **settings) is None
    (declared,) = hyperparameters.named(hp, "y")
    assert type(declared) is hyperparameters.Float
    assert [c.name for c in declared.conditions] == ["kind"]


def test_steps_reach_the_maximum_and_their_probabilities_come_back():
    hp = hyperparameters.Float("x", 0, 0.3, step=0.1)
    assert list(hp.values) == [0, 0.1, 0.2, 0.3]
    assert [hp.prob_to_value(hp.value_to_prob(v)) for v in hp.values] == [
        0, 0.1, 0.2, 0.3,
    ]  # fmt: skip
    log = hyperparameters.Float("x", 0.1, 10, step=10, sampling="log")
    stock = keras_tuner.engine.hyperparameters.Float("x", 0.1, 10, 10, "log")
    assert list(log.values) == list(stock.values)


def test_a_frozen_trial_becomes_a_live_one():
    optuna = pytest.importorskip("optuna")
    study = optuna.create_study()
    asked = study.ask()
    asked.suggest_float("x", 0, 1)
    live = studies.running_trial(study, study.get_trials()[0])
    assert live.params == asked.params
    live.report(0.5, 0)
    study.tell(live, 0.25)
    frozen = study.get_trials()[0]
    assert frozen.value == 0.25 and frozen.intermediate_values == {0: 0.5}


def test_the_room_serves_the_package():
    assert issubclass(tuning.RandomSearchOracle, oracles.OracleHooks)
    assert issubclass(tuning.Tuner, tuners.TunerHooks)
