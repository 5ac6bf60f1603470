"""Preservation of pruning and clustering in quantization-aware training."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.traversal import all_layers
from keras_strategies.compression.preservation._plan import (
    MOST_VALUES,
    preservation_plan,
    pruned_sparsity,
    wants_clusters,
    wants_zeros,
)
from keras_strategies.compression.quantization import _weight_layers


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
            f"share values, at most {MOST_VALUES}",
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
