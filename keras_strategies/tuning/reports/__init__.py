"""Results of a search: tables, plots, importance, an HTML page, TensorBoard."""

from keras_strategies.tuning._space import format_value
from keras_strategies.tuning.reports._importance import hyperparameter_importance
from keras_strategies.tuning.reports._log_hparams import log_hparams
from keras_strategies.tuning.reports._page import require_libraries
from keras_strategies.tuning.reports._plots import (
    plot_history,
    plot_importance,
    plot_intermediate_values,
    plot_parallel_coordinates,
    plot_pareto_front,
    plot_slices,
)
from keras_strategies.tuning.reports._records import (
    metrics_of,
    objectives_of,
    values_of,
)
from keras_strategies.tuning.reports._results_dataframe import results_dataframe
from keras_strategies.tuning.reports._save_report import save_report
from keras_strategies.tuning.reports._trial_log import prepare_tensorboard
from keras_strategies.tuning.reports.importance_report import ImportanceReport
from keras_strategies.tuning.reports.search_report import SearchReport

__all__ = [
    "ImportanceReport",
    "SearchReport",
    "format_value",
    "hyperparameter_importance",
    "log_hparams",
    "metrics_of",
    "objectives_of",
    "plot_history",
    "plot_importance",
    "plot_intermediate_values",
    "plot_parallel_coordinates",
    "plot_pareto_front",
    "plot_slices",
    "prepare_tensorboard",
    "require_libraries",
    "results_dataframe",
    "save_report",
    "values_of",
]
