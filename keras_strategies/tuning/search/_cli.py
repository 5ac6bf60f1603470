"""Names of KerasTuner for the rooms above, which must not import it themselves."""

from typing import Any

import keras_tuner
from keras_tuner.errors import FailedTrialError, FatalError

__all__ = ["FailedTrialError", "FatalError", "is_hypermodel", "make_objective"]


def make_objective(name: str, direction: str) -> keras_tuner.Objective:
    return keras_tuner.Objective(name, direction)


def is_hypermodel(value: Any) -> bool:
    return isinstance(value, keras_tuner.HyperModel)
