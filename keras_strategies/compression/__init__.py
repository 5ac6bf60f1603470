"""Making Keras models smaller: pruning, clustering and quantization in training.

`prune` makes a live model train towards sparse weights under a sparsity schedule
(`ConstantSparsity`, `PolynomialSparsity`, or a `SparsitySchedule` of your own),
`sparsity_report` measures the result; `cluster` makes kernels share few values,
`cluster_report` counts them; `strip` ends both, `preserve` keeps what they made in
plain training, as after loading. `quantize_aware`
trains for int8, `range_report` shows the ranges. `prune_filters` removes whole
filters and units, so that a model gets faster on any runtime; `flops` and
`filter_report` count its work before and after. `factorize` makes kernels products of
two smaller ones. `to_tf_keras` and `from_tf_keras`
lead to TensorFlow Model Optimization itself and back. `compress` searches for the
smallest or fastest model within a budget of accuracy and writes it as `.tflite`.

What rescues int8 without training (`equalize_layers`, `absorb_high_bias`,
`correct_bias`, `adaround`, `smooth_activations`, `fold_batch_norm`, `sensitivity`) is
that of `keras_strategies.export`, under the same names here.
"""

from typing import TYPE_CHECKING

from keras_strategies._internal.lazy import lazy_names

# What a saved model may hold is registered whenever the package is imported.
from keras_strategies.compression.pruning.constant_sparsity import ConstantSparsity
from keras_strategies.compression.pruning.polynomial_sparsity import PolynomialSparsity
from keras_strategies.compression.quantization import (
    _activation_layers,  # noqa: F401
    _quantize_wrapper,  # noqa: F401
    _weight_layers,  # noqa: F401
)
from keras_strategies.compression.quantization.quantize_config import QuantizeConfig

if TYPE_CHECKING:
    from keras_strategies.compression._common.stripping import strip
    from keras_strategies.compression.clustering._cluster import cluster
    from keras_strategies.compression.clustering._count_values import cluster_report
    from keras_strategies.compression.clustering.cluster_report import ClusterReport
    from keras_strategies.compression.factorization._factorize import factorize
    from keras_strategies.compression.filters._compare_filters import filter_report
    from keras_strategies.compression.filters._count_flops import flops
    from keras_strategies.compression.filters._prune_filters import prune_filters
    from keras_strategies.compression.filters.filter_report import FilterReport
    from keras_strategies.compression.filters.flops_report import FlopsReport
    from keras_strategies.compression.preservation._preserve import preserve
    from keras_strategies.compression.pruning._measure_sparsity import sparsity_report
    from keras_strategies.compression.pruning._prune import prune
    from keras_strategies.compression.pruning.sparsity_report import SparsityReport
    from keras_strategies.compression.pruning.sparsity_schedule import SparsitySchedule
    from keras_strategies.compression.pruning.sparsity_summaries import (
        SparsitySummaries,
    )
    from keras_strategies.compression.quantization._list_ranges import range_report
    from keras_strategies.compression.quantization._quantize_aware import quantize_aware
    from keras_strategies.compression.quantization.range_report import RangeReport
    from keras_strategies.compression.search._compress import compress
    from keras_strategies.compression.search.compression_result import CompressionResult
    from keras_strategies.compression.tfmot_bridge._conversion import (
        from_tf_keras,
        to_tf_keras,
    )
    from keras_strategies.compression.tfmot_bridge._import_tfmot import import_tfmot
    from keras_strategies.export import (
        absorb_high_bias as absorb_high_bias,
    )
    from keras_strategies.export import (
        adaround as adaround,
    )
    from keras_strategies.export import (
        correct_bias as correct_bias,
    )
    from keras_strategies.export import (
        equalize_layers as equalize_layers,
    )
    from keras_strategies.export import (
        fold_batch_norm as fold_batch_norm,
    )
    from keras_strategies.export import (
        sensitivity as sensitivity,
    )
    from keras_strategies.export import (
        smooth_activations as smooth_activations,
    )

# All else is imported when it is first used: most programs need little of it.
_MODULES = {
    "ClusterReport": "clustering.cluster_report",
    "CompressionResult": "search.compression_result",
    "FilterReport": "filters.filter_report",
    "FlopsReport": "filters.flops_report",
    "RangeReport": "quantization.range_report",
    "SparsityReport": "pruning.sparsity_report",
    "SparsitySchedule": "pruning.sparsity_schedule",
    "SparsitySummaries": "pruning.sparsity_summaries",
    "cluster": "clustering._cluster",
    "cluster_report": "clustering._count_values",
    "compress": "search._compress",
    "factorize": "factorization._factorize",
    "filter_report": "filters._compare_filters",
    "flops": "filters._count_flops",
    "from_tf_keras": "tfmot_bridge._conversion",
    "import_tfmot": "tfmot_bridge._import_tfmot",
    "preserve": "preservation._preserve",
    "prune": "pruning._prune",
    "prune_filters": "filters._prune_filters",
    "quantize_aware": "quantization._quantize_aware",
    "range_report": "quantization._list_ranges",
    "sparsity_report": "pruning._measure_sparsity",
    "strip": "_common.stripping",
    "to_tf_keras": "tfmot_bridge._conversion",
}

__all__ = [
    "ClusterReport",
    "CompressionResult",
    "ConstantSparsity",
    "FilterReport",
    "FlopsReport",
    "PolynomialSparsity",
    "QuantizeConfig",
    "RangeReport",
    "SparsityReport",
    "SparsitySchedule",
    "SparsitySummaries",
    "cluster",
    "cluster_report",
    "compress",
    "factorize",
    "filter_report",
    "flops",
    "from_tf_keras",
    "import_tfmot",
    "preserve",
    "prune",
    "prune_filters",
    "quantize_aware",
    "range_report",
    "sparsity_report",
    "strip",
    "to_tf_keras",
]

# Documented where they are: these are other names for the same functions.
_RESCUE = (
    "absorb_high_bias",
    "adaround",
    "correct_bias",
    "equalize_layers",
    "fold_batch_norm",
    "sensitivity",
    "smooth_activations",
)
__getattr__ = lazy_names(
    __name__, _MODULES | dict.fromkeys(_RESCUE, "keras_strategies.export")
)


def __dir__() -> list[str]:
    return sorted([*__all__, *_RESCUE])
