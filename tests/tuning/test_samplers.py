"""Optuna's samplers that need another package."""

import keras_tuner
import pytest

from keras_strategies import tuning


class Bowl(tuning.Tuner):
    """A quadratic with a conditional part."""

    def run_trial(self, trial, *args, **kwargs):
        hp = trial.hyperparameters
        value = (hp.Float("x", 0, 1) - 0.3) ** 2 + abs(hp.Int("n", 1, 20) - 7) / 20
        on = hp.Choice("part", ["on", "off"])
        with hp.conditional_scope("part", ["on"]):
            deep = hp.Float("deep", 1e-3, 1.0, sampling="log")
        return value + (deep if on == "on" else 0.5)


def space():
    hp = keras_tuner.HyperParameters()
    hp.Float("x", 0, 1)
    hp.Int("n", 1, 20)
    hp.Choice("part", ["on", "off"])
    with hp.conditional_scope("part", ["on"]):
        hp.Float("deep", 1e-3, 1.0, sampling="log")
    return hp


SAMPLERS = {"cmaes": "cmaes", "gp": "torch"}


@pytest.mark.parametrize("name", ["cmaes", pytest.param("gp", marks=pytest.mark.slow)])
def test_a_search_with_a_conditional_part_goes_on_in_its_folder(name, tmp_path, capfd):
    pytest.importorskip(SAMPLERS[name])
    for trials in (11, 13):
        tuner = Bowl(
            hyperparameters=space(), max_trials=trials, algorithm=name, seed=1,
            directory=tmp_path,
        )  # fmt: skip
        tuner.search(verbose=0)
    rows = tuner.results()
    assert [row["status"] for row in rows] == ["COMPLETED"] * 13
    for row in rows:
        assert 0 <= row["value/x"] <= 1 and 1 <= row["value/n"] <= 20
        assert ("value/deep" in row) == (row["value/part"] == "on")
    assert "independently" not in capfd.readouterr().err
