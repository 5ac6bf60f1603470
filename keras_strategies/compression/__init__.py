"""Making Keras models smaller: magnitude pruning during training.

`prune` makes a live model train towards sparse weights under a sparsity schedule
(`ConstantSparsity`, `PolynomialSparsity`, or a `SparsitySchedule` of your own),
`strip` ends that, `sparsity_report` measures the result. `prune_filters` removes whole
filters and units, so that a model gets faster on any runtime; `flops` and
`filter_report` count its work before and after.
"""

from keras_strategies.compression.constant_sparsity import ConstantSparsity
from keras_strategies.compression.filter_report import FilterReport, filter_report
from keras_strategies.compression.flops_report import FlopsReport, flops
from keras_strategies.compression.polynomial_sparsity import PolynomialSparsity
from keras_strategies.compression.prune_filters import prune_filters
from keras_strategies.compression.pruning import prune, strip
from keras_strategies.compression.sparsity_report import (
    SparsityReport,
    sparsity_report,
)
from keras_strategies.compression.sparsity_schedule import SparsitySchedule

__all__ = [
    "ConstantSparsity",
    "FilterReport",
    "FlopsReport",
    "PolynomialSparsity",
    "SparsityReport",
    "SparsitySchedule",
    "filter_report",
    "flops",
    "prune",
    "prune_filters",
    "sparsity_report",
    "strip",
]
