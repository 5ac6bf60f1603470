"""Making Keras models smaller: pruning and weight clustering during training.

`prune` makes a live model train towards sparse weights under a sparsity schedule
(`ConstantSparsity`, `PolynomialSparsity`, or a `SparsitySchedule` of your own),
`sparsity_report` measures the result; `cluster` makes kernels share few values,
`cluster_report` counts them; `strip` ends both. `prune_filters` removes whole
filters and units, so that a model gets faster on any runtime; `flops` and
`filter_report` count its work before and after.
"""

from keras_strategies.compression.cluster_report import ClusterReport, cluster_report
from keras_strategies.compression.clustering import cluster
from keras_strategies.compression.constant_sparsity import ConstantSparsity
from keras_strategies.compression.filter_report import FilterReport, filter_report
from keras_strategies.compression.flops_report import FlopsReport, flops
from keras_strategies.compression.polynomial_sparsity import PolynomialSparsity
from keras_strategies.compression.prune_filters import prune_filters
from keras_strategies.compression.pruning import prune
from keras_strategies.compression.sparsity_report import (
    SparsityReport,
    sparsity_report,
)
from keras_strategies.compression.sparsity_schedule import SparsitySchedule
from keras_strategies.compression.stripping import strip

__all__ = [
    "ClusterReport",
    "ConstantSparsity",
    "FilterReport",
    "FlopsReport",
    "PolynomialSparsity",
    "SparsityReport",
    "SparsitySchedule",
    "cluster",
    "cluster_report",
    "filter_report",
    "flops",
    "prune",
    "prune_filters",
    "sparsity_report",
    "strip",
]
