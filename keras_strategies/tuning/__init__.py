"""Hypermodels for KerasTuner, the searches that run them, scikit-learn estimators.

A hypermodel is a finished search space that needs no build function; every tuner of
KerasTuner takes it. `Tuner` is such a tuner, with more algorithms, pruning and searches
that survive. This subpackage imports KerasTuner and is therefore imported only when it
is first used.
"""

from keras_strategies.tuning.bayesian_optimization_oracle import (
    BayesianOptimizationOracle,
)
from keras_strategies.tuning.evolution_oracle import EvolutionOracle
from keras_strategies.tuning.grid_search_oracle import GridSearchOracle
from keras_strategies.tuning.hyper_activation import HyperActivation
from keras_strategies.tuning.hyper_augment import HyperAugment
from keras_strategies.tuning.hyper_cnn import HyperCNN
from keras_strategies.tuning.hyper_compression import HyperCompression
from keras_strategies.tuning.hyper_initializer import HyperInitializer
from keras_strategies.tuning.hyper_mlp import HyperMLP
from keras_strategies.tuning.hyper_optimizer import HyperOptimizer
from keras_strategies.tuning.hyper_regularization import HyperRegularization
from keras_strategies.tuning.hyper_resnet import HyperResNet
from keras_strategies.tuning.hyper_rnn import HyperRNN
from keras_strategies.tuning.hyper_schedule import HyperSchedule
from keras_strategies.tuning.hyper_transfer_learning import HyperTransferLearning
from keras_strategies.tuning.hyper_transformer import HyperTransformer
from keras_strategies.tuning.hyperband_oracle import HyperbandOracle
from keras_strategies.tuning.hyperparameter_importance import hyperparameter_importance
from keras_strategies.tuning.keras_classifier import KerasClassifier
from keras_strategies.tuning.keras_regressor import KerasRegressor
from keras_strategies.tuning.log_hparams import log_hparams
from keras_strategies.tuning.median_pruner import MedianPruner
from keras_strategies.tuning.optuna_oracle import OptunaOracle
from keras_strategies.tuning.optuna_storage_oracle import OptunaStorageOracle
from keras_strategies.tuning.plots import (
    plot_history,
    plot_importance,
    plot_intermediate_values,
    plot_parallel_coordinates,
    plot_pareto_front,
    plot_slices,
)
from keras_strategies.tuning.random_search_oracle import RandomSearchOracle
from keras_strategies.tuning.results_dataframe import results_dataframe
from keras_strategies.tuning.save_report import save_report
from keras_strategies.tuning.successive_halving_pruner import SuccessiveHalvingPruner
from keras_strategies.tuning.tune_model import tune_model
from keras_strategies.tuning.tuner import Tuner
from keras_strategies.tuning.tuner_search_cv import TunerSearchCV

__all__ = [
    "BayesianOptimizationOracle",
    "EvolutionOracle",
    "GridSearchOracle",
    "HyperActivation",
    "HyperAugment",
    "HyperCNN",
    "HyperCompression",
    "HyperInitializer",
    "HyperMLP",
    "HyperOptimizer",
    "HyperRNN",
    "HyperRegularization",
    "HyperResNet",
    "HyperSchedule",
    "HyperTransferLearning",
    "HyperTransformer",
    "HyperbandOracle",
    "KerasClassifier",
    "KerasRegressor",
    "MedianPruner",
    "OptunaOracle",
    "OptunaStorageOracle",
    "RandomSearchOracle",
    "SuccessiveHalvingPruner",
    "Tuner",
    "TunerSearchCV",
    "hyperparameter_importance",
    "log_hparams",
    "plot_history",
    "plot_importance",
    "plot_intermediate_values",
    "plot_parallel_coordinates",
    "plot_pareto_front",
    "plot_slices",
    "results_dataframe",
    "save_report",
    "tune_model",
]
