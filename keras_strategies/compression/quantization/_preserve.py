"""What quantization-aware training keeps of pruning and clustering."""

import numpy as np
from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.walking import all_layers
from keras_strategies.compression.clustering import _kmeans_step
from keras_strategies.compression.clustering._cluster import channel_axis
from keras_strategies.compression.quantization import _weight_layers

NAMES = ("sparsity", "clusters", "both")
# int8 has no more values than these (and one).
_MOST_VALUES = 255


def wants_zeros(preserve):
    return preserve in ("sparsity", "both")


def wants_clusters(preserve):
    return preserve in ("clusters", "both")


def zeros(values):
    """The share of zeros, or 0.0 for a kernel that is zero throughout.

    That is a zero initializer, which pruning never leaves.
    """
    share = float(np.mean(values == 0))
    return 0.0 if share == 1.0 else share


def grouped(rows):
    """Whether weights, in rows of their own values, share few values."""
    used = [row[row != 0] for row in rows]
    distinct = [np.unique(row).size for row in used]
    shared = sum(distinct) < sum(row.size for row in used)
    return shared and 1 < max(distinct) <= _MOST_VALUES


def found(layer, weight, preserve):
    """What to keep of a weight: a dict that can be saved, or `None`.

    `zeros`: whether zeros stay; `positions`: for each row of `_kmeans_step.to_rows`
    where in it a weight of each different value is, or `None` if values may part;
    `axis`: that of the rows.
    """
    values = ops.convert_to_numpy(ops.copy(weight.value))
    keeps_zeros = wants_zeros(preserve) and zeros(values) > 0
    positions = axis = None
    for candidate in _axes(layer, weight) if wants_clusters(preserve) else ():
        rows = ops.convert_to_numpy(_kmeans_step.to_rows(values, candidate))
        if grouped(rows):
            axis, positions = candidate, _positions(rows)
            break
    if not keeps_zeros and positions is None:
        return None
    return {"zeros": keeps_zeros, "positions": positions, "axis": axis}


def is_clustered(layer):
    """Whether a kernel of a layer with weights shares values."""
    return any(
        (found(inner, weight, "clusters") is not None)
        for inner, weight in _owners(layer)
    )


def hold(model, preserve):
    """Makes the layers of a quantization-aware model keep what they have.

    Raises:
        ValueError: If there is nothing to keep.
    """
    wrappers = [
        layer
        for layer in all_layers(model)
        if isinstance(layer, _weight_layers.QuantizedLayer)
    ]
    plans = [
        [found(inner, weight, preserve) for inner, weight in _owners(wrapper.layer)]
        for wrapper in wrappers
    ]
    kept = [entry for plan in plans for entry in plan if entry is not None]
    _check(wrappers, kept, preserve)
    for wrapper, plan in zip(wrappers, plans, strict=True):
        if any(plan):
            wrapper.preserve(plan, model)


def _check(wrappers, kept, preserve):
    if wants_zeros(preserve) and not any(entry["zeros"] for entry in kept):
        lines = [
            f"{wrapper.name}: {zeros(value):.1%} zeros"
            for wrapper, _, value in _values(wrappers)
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
    if wants_clusters(preserve) and not any(entry["positions"] for entry in kept):
        lines = [
            f"{wrapper.name}: {np.unique(value).size} values in {value.size} weights"
            for wrapper, _, value in _values(wrappers)
        ]
        checks.fail(
            f"With preserve={preserve!r} the weights of at least one kernel must "
            f"share values, at most {_MOST_VALUES}",
            fix="Call `cluster(model, n)` and train first"
            + ('; or give preserve="sparsity".' if preserve == "both" else "."),
            layers=lines,
        )


def _values(wrappers):
    for wrapper in wrappers:
        for inner, weight in _owners(wrapper.layer):
            yield wrapper, inner, ops.convert_to_numpy(ops.copy(weight.value))


def _owners(layer):
    """`[(layer inside, weight)]` in the order of `_weight_layers.weights_of`."""
    weights = [weight for weight, *_ in _weight_layers.weights_of(layer)]
    owner = {}
    for inner in [layer, *all_layers(layer)]:
        owner |= {id(weight): inner for weight in inner.weights}
    return [(owner[id(weight)], weight) for weight in weights]


def _axes(layer, weight):
    """How `cluster` may have grouped a weight: all of it, or each channel."""
    axis = channel_axis(layer, weight)
    return (None,) if axis is None else (None, axis)


def _positions(rows):
    first = [np.unique(row, return_index=True)[1] for row in rows]
    width = max(index.size for index in first)
    return [np.pad(index, (0, width - index.size), "edge").tolist() for index in first]
