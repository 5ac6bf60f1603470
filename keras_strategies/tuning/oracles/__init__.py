"""Oracles: the algorithms that propose the values of trials."""

from keras_strategies.tuning.oracles.bayesian_optimization_oracle import (
    BayesianOptimizationOracle,
)
from keras_strategies.tuning.oracles.evolution_oracle import EvolutionOracle
from keras_strategies.tuning.oracles.grid_search_oracle import GridSearchOracle
from keras_strategies.tuning.oracles.hyperband_oracle import HyperbandOracle
from keras_strategies.tuning.oracles.optuna_oracle import OptunaOracle
from keras_strategies.tuning.oracles.optuna_storage_oracle import OptunaStorageOracle
from keras_strategies.tuning.oracles.population_based_training_oracle import (
    PopulationBasedTrainingOracle,
)
from keras_strategies.tuning.oracles.random_search_oracle import RandomSearchOracle

__all__ = [
    "BayesianOptimizationOracle",
    "EvolutionOracle",
    "GridSearchOracle",
    "HyperbandOracle",
    "OptunaOracle",
    "OptunaStorageOracle",
    "PopulationBasedTrainingOracle",
    "RandomSearchOracle",
]
