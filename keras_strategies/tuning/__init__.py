"""Hypermodels for KerasTuner, the searches that run them, scikit-learn estimators.

A hypermodel is a complete search space that needs no build function; every tuner of
KerasTuner accepts it. `Tuner` is such a tuner, with more algorithms, with pruning, and
with searches that resume after any interruption. This subpackage imports KerasTuner and
is therefore imported only when it is first used.
"""

from keras_strategies.tuning.estimators import (
    KerasClassifier,
    KerasRegressor,
    TunerSearchCV,
)
from keras_strategies.tuning.hypermodels import (
    HyperActivation,
    HyperAugment,
    HyperCNN,
    HyperCompression,
    HyperInitializer,
    HyperMLP,
    HyperOptimizer,
    HyperRegularization,
    HyperResNet,
    HyperRNN,
    HyperSchedule,
    HyperTransferLearning,
    HyperTransformer,
    tune_model,
)
from keras_strategies.tuning.oracles import (
    BayesianOptimizationOracle,
    EvolutionOracle,
    GridSearchOracle,
    HyperbandOracle,
    OptunaOracle,
    OptunaStorageOracle,
    PopulationBasedTrainingOracle,
    RandomSearchOracle,
)
from keras_strategies.tuning.pruners import MedianPruner, SuccessiveHalvingPruner
from keras_strategies.tuning.reports import (
    ImportanceReport,
    SearchReport,
    hyperparameter_importance,
    log_hparams,
    plot_history,
    plot_importance,
    plot_intermediate_values,
    plot_parallel_coordinates,
    plot_pareto_front,
    plot_slices,
    results_dataframe,
    save_report,
)
from keras_strategies.tuning.search import Tuner

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
    "ImportanceReport",
    "KerasClassifier",
    "KerasRegressor",
    "MedianPruner",
    "OptunaOracle",
    "OptunaStorageOracle",
    "PopulationBasedTrainingOracle",
    "RandomSearchOracle",
    "SearchReport",
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
