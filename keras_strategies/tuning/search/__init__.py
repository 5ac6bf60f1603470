"""The tuner: runs the trials of a search and returns their results."""

from keras_strategies.tuning.search._cli import (
    FailedTrialError,
    FatalError,
    is_hypermodel,
    make_objective,
)
from keras_strategies.tuning.search.tuner import Tuner

__all__ = [
    "FailedTrialError",
    "FatalError",
    "Tuner",
    "is_hypermodel",
    "make_objective",
]
