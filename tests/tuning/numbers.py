"""Searches over numbers instead of models, for what is drawn and written of them."""

import keras_tuner

from keras_strategies import tuning


def space():
    """Two numbers, one of them conditional, a name, a flag, an ordered number."""
    hp = keras_tuner.HyperParameters()
    hp.Float("x", -4, 4)
    hp.Choice("layers", [2, 3])
    with hp.conditional_scope("layers", [3]):
        hp.Float("rate", 1e-3, 1.0, sampling="log")
    hp.Choice("optimizer", ["adam", "sgd"])
    hp.Boolean("flag")
    return hp


def outcome(x, optimizer="adam", **others):
    """What a trial gives: the loss depends on x, and a little on the optimizer."""
    return {"val_loss": (x - 1) ** 2 + (optimizer == "sgd"), "size": 5.0 - x}


class Numbers(tuning.Tuner):
    """Four epochs towards the outcome; beyond x = 3 a trial fails."""

    def run_trial(self, trial, *args, **kwargs):
        values = trial.hyperparameters.values
        if values["x"] > 3:
            raise ValueError("x is too far <away>")
        final = outcome(**values)
        for epoch in range(4):
            logs = {**final, "val_loss": final["val_loss"] + 3 - epoch}
            if self.oracle.report(trial.trial_id, epoch, logs) == "STOPPED":
                break
        return logs


class Stock(keras_tuner.RandomSearch):
    """The same with a tuner of KerasTuner."""

    def run_trial(self, trial, *args, **kwargs):
        found = outcome(**trial.hyperparameters.values)
        # KerasTuner does not compute the sum of several objectives from a dict.
        return {
            **found,
            self.oracle.objective.name: self.oracle.objective.get_value(found),
        }


def search(folder, objective="val_loss", cls=Numbers, **kwargs):
    kwargs = {"max_trials": 24, "seed": 1, **kwargs}
    if cls is Numbers:
        kwargs = {"algorithm": "random", **kwargs}
    made = cls(
        None,
        objective,
        directory=folder,
        hyperparameters=space(),
        **kwargs,
    )
    made.search(verbose=0)
    return made


TWO = [keras_tuner.Objective("val_loss", "min"), keras_tuner.Objective("size", "max")]
