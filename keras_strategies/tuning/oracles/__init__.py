"""Oracles: the algorithms that propose the values of trials."""

from keras_strategies.tuning.oracles._base import Objective, OracleBase
from keras_strategies.tuning.oracles._registry import (
    ALGORITHMS,
    PRUNERS,
    AlgorithmName,
    PrunerName,
    check_algorithm,
    choose_algorithm,
    choose_for_storage,
    make_oracle,
    make_pruner,
)
from keras_strategies.tuning.oracles.bayesian_optimization_oracle import (
    BayesianOptimizationOracle,
)
from keras_strategies.tuning.oracles.evolution_oracle import EvolutionOracle
from keras_strategies.tuning.oracles.grid_search_oracle import GridSearchOracle
from keras_strategies.tuning.oracles.hyperband_oracle import HyperbandOracle
from keras_strategies.tuning.oracles.optuna_oracle import OptunaOracle
from keras_strategies.tuning.oracles.optuna_storage_oracle import OptunaStorageOracle
from keras_strategies.tuning.oracles.random_search_oracle import RandomSearchOracle

__all__ = [
    "ALGORITHMS",
    "PRUNERS",
    "AlgorithmName",
    "BayesianOptimizationOracle",
    "EvolutionOracle",
    "GridSearchOracle",
    "HyperbandOracle",
    "Objective",
    "OptunaOracle",
    "OptunaStorageOracle",
    "OracleBase",
    "PrunerName",
    "RandomSearchOracle",
    "check_algorithm",
    "choose_algorithm",
    "choose_for_storage",
    "make_oracle",
    "make_pruner",
]
