"""Pruning of weights that are not trained: once, by their magnitude."""

from typing import Any

import keras
from keras import ops

from keras_strategies.compression.pruning import _masks


def prune_once(weight: keras.Variable, pattern: Any, sparsity: float) -> None:
    """Sets the smallest weights to zero, in place; zeros stay zero.

    No optimizer updates a frozen weight, so no constraint is applied to it. Its mask is
    that of one pruning at `sparsity`, the same rule as in training.

    Args:
        weight: The weight.
        pattern: One of `_patterns`.
        sparsity: Share of zeros to reach.
    """
    value = ops.copy(weight.value)
    if pattern.ignores_sparsity:
        mask = pattern.mask(value, ops.ones_like(value, dtype="bool"))
    else:
        scores = pattern.scores(value)
        limit = _masks.threshold_for([scores], sparsity)
        mask = pattern.expand(_masks.at_least_threshold(scores, limit), value.shape)
    mask = ops.logical_and(mask, ops.cast(value, "bool"))
    weight.assign(ops.cast(_masks.apply_mask(value, mask), weight.dtype))
