"""Trials of KerasTuner whose space is repaired."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import keras_tuner

from keras_strategies.tuning._space.space import Space

# Named here once: type checkers follow an attribute of an untyped package, but not a
# name imported from it.
Trial: TypeAlias = keras_tuner.engine.trial.Trial


def trial_from_state(state: Mapping[str, Any]) -> Trial:
    """The trial that `Trial.get_state` described."""
    trial = Trial.from_state(state)
    trial.hyperparameters = Space.of(trial.hyperparameters)
    return trial


#: Beginning of the message of a trial that was not run.
INFEASIBLE = "Not run: the values violate `constraints`"


def is_infeasible(trial: Trial) -> bool:
    """Whether a trial was not run because its values violate the constraints."""
    return trial.status == "FAILED" and (trial.message or "").startswith(INFEASIBLE)
