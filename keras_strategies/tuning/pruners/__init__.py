"""Pruners: rules that stop a trial before its last epoch."""

from keras_strategies.tuning.pruners._curves import Pruner
from keras_strategies.tuning.pruners._optuna_pruner import (
    OptunaPruner,
    is_optuna_pruner,
)
from keras_strategies.tuning.pruners.median_pruner import MedianPruner
from keras_strategies.tuning.pruners.successive_halving_pruner import (
    SuccessiveHalvingPruner,
)

__all__ = [
    "MedianPruner",
    "OptunaPruner",
    "Pruner",
    "SuccessiveHalvingPruner",
    "is_optuna_pruner",
]
