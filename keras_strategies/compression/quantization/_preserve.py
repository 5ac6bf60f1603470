"""Preservation of pruning and clustering in quantization-aware training."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.traversal import all_layers
from keras_strategies.compression.clustering import _channel_rows
from keras_strategies.compression.quantization import _weight_layers

NAMES = ("sparsity", "clusters", "both")
# Symmetric int8 weights have the values -127 to 127.
_MOST_VALUES = 255


def wants_zeros(preserve: str | None) -> bool:
    return preserve in ("sparsity", "both")


def wants_clusters(preserve: str | None) -> bool:
    return preserve in ("clusters", "both")


def pruned_sparsity(values: np.ndarray) -> float:
    """The share of zeros, or 0.0 for a kernel that is zero throughout.

    That is a zero initializer, which pruning never leaves.
    """
    sparsity = float(np.mean(values == 0))
    return 0.0 if sparsity == 1.0 else sparsity


def shares_values(rows: Iterable[np.ndarray]) -> bool:
    """Whether the weights of each row share few values, zeros left aside."""
    # Zeros of pruning are many equal values and no cluster.
    nonzero = [row[row != 0] for row in rows]
    distinct = [np.unique(row).size for row in nonzero]
    is_shared = sum(distinct) < sum(row.size for row in nonzero)
    return is_shared and 1 < max(distinct) <= _MOST_VALUES


def preservation_plan(
    layer: Any, weight: keras.Variable, preserve: str
) -> dict[str, Any] | None:
    """What to preserve of a weight: a dict that can be saved, or `None`.

    `zeros`: whether zeros stay; `positions`: per row of `_channel_rows.to_rows`, the
    index of one representative weight per cluster, or `None` if clusters need not be
    preserved; `axis`: that of the rows.
    """
    values = ops.convert_to_numpy(ops.copy(weight.value))
    keeps_zeros = wants_zeros(preserve) and pruned_sparsity(values) > 0
    positions = axis = None
    # The coarser grouping first: values shared by the whole kernel are also shared
    # within each channel.
    for candidate in _axes(layer, weight) if wants_clusters(preserve) else ():
        rows = ops.convert_to_numpy(_channel_rows.to_rows(values, candidate))
        if shares_values(rows):
            axis, positions = candidate, _positions(rows)
            break
    if not keeps_zeros and positions is None:
        return None
    return {"zeros": keeps_zeros, "positions": positions, "axis": axis}


def is_clustered(layer: Any) -> bool:
    """Whether a kernel of a layer with weights shares values."""
    plans = [preservation_plan(*pair, "clusters") for pair in _owners(layer)]
    return any(plan is not None for plan in plans)


def preserve_in(model: keras.Model, preserve: str) -> None:
    """Makes the layers of a quantization-aware model preserve zeros and clusters.

    Raises:
        ValueError: If there is nothing to keep.
    """
    wrappers = [
        layer
        for layer in all_layers(model)
        if isinstance(layer, _weight_layers.QuantizedLayer)
    ]
    plans = [
        [preservation_plan(*pair, preserve) for pair in _owners(wrapper.layer)]
        for wrapper in wrappers
    ]
    effective = [plan for layer in plans for plan in layer if plan is not None]
    _check_effective(wrappers, effective, preserve)
    for wrapper, layer_plans in zip(wrappers, plans, strict=True):
        if any(layer_plans):
            wrapper.preserve(layer_plans, model)


def _check_effective(wrappers, plans, preserve):
    if wants_zeros(preserve) and not any(plan["zeros"] for plan in plans):
        lines = [
            f"{name}: {pruned_sparsity(value):.1%} zeros"
            for name, value in _kernels(wrappers)
        ]
        checks.fail(
            f"With preserve={preserve!r} at least one kernel must have zeros",
            fix="Call `prune` and train first"
            + (
                ", then `cluster(model, n, preserve_sparsity=True)`; or give "
                'preserve="clusters".'
                if preserve == "both"
                else "."
            ),
            layers=lines,
        )
    if wants_clusters(preserve) and not any(plan["positions"] for plan in plans):
        lines = [
            f"{name}: {np.unique(value).size} values in {value.size} weights"
            for name, value in _kernels(wrappers)
        ]
        checks.fail(
            f"With preserve={preserve!r} the weights of at least one kernel must "
            f"share values, at most {_MOST_VALUES}",
            fix="Call `cluster(model, n)` and train first"
            + ('; or give preserve="sparsity".' if preserve == "both" else "."),
            layers=lines,
        )


def _kernels(wrappers):
    """`(name of the wrapper, value)` of each weight."""
    for wrapper in wrappers:
        for _, weight in _owners(wrapper.layer):
            yield wrapper.name, ops.convert_to_numpy(ops.copy(weight.value))


def _owners(layer):
    """`[(layer inside, weight)]` in the order of `_weight_layers.weights_of`."""
    weights = [weight for weight, *_ in _weight_layers.weights_of(layer)]
    # Inner layers come later and take their weights from the layers around them.
    owner = {}
    for inner in [layer, *all_layers(layer)]:
        owner |= {id(weight): inner for weight in inner.weights}
    return [(owner[id(weight)], weight) for weight in weights]


def _axes(layer, weight):
    """The axes by which `cluster` may have formed rows: none, or the channels."""
    axis = _channel_rows.channel_axis(layer, weight)
    return (None,) if axis is None else (None, axis)


def _positions(rows):
    """One index per distinct value of each row, padded to the same length."""
    first = [np.unique(row, return_index=True)[1] for row in rows]
    # Rows with fewer values repeat one: a duplicate centroid changes nothing.
    width = max(index.size for index in first)
    return [np.pad(index, (0, width - index.size), "edge").tolist() for index in first]
