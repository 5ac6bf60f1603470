"""Making Keras models smaller: magnitude pruning during training.

`prune` makes a live model train towards sparse weights under a sparsity schedule
(`ConstantSparsity`, `PolynomialSparsity`, or a `SparsitySchedule` of your own),
`strip` ends that, `sparsity_report` measures the result.
"""

from keras_strategies.compression.constant_sparsity import ConstantSparsity
from keras_strategies.compression.polynomial_sparsity import PolynomialSparsity
from keras_strategies.compression.pruning import prune, strip
from keras_strategies.compression.sparsity_report import (
    SparsityReport,
    sparsity_report,
)
from keras_strategies.compression.sparsity_schedule import SparsitySchedule

__all__ = [
    "ConstantSparsity",
    "PolynomialSparsity",
    "SparsityReport",
    "SparsitySchedule",
    "prune",
    "sparsity_report",
    "strip",
]
