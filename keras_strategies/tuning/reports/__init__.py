"""Results of a search: tables, plots, importance, an HTML page, TensorBoard."""

from keras_strategies.tuning.reports._importance import hyperparameter_importance
from keras_strategies.tuning.reports._log_hparams import log_hparams
from keras_strategies.tuning.reports._plots import (
    plot_history,
    plot_importance,
    plot_intermediate_values,
    plot_parallel_coordinates,
    plot_pareto_front,
    plot_slices,
)
from keras_strategies.tuning.reports._results_dataframe import results_dataframe
from keras_strategies.tuning.reports._save_report import save_report

__all__ = [
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
]
