"""Estimates of the moving statistics of BatchNormalization layers."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.traversal import all_layers
from keras_strategies._internal.weights.values import assign_values, host_values


def need_data(model: keras.Model, batch_norm_data: Any) -> None:
    """Refuses the mean of weights of a model whose statistics it does not suit."""
    if batch_norm_data is None and batch_norm_layers(model):
        checks.fail(
            "`batch_norm_data` must be given for method='swa' on a model with "
            "BatchNormalization",
            fix="Give training inputs, or use method='ema', which averages the "
            "statistics.",
            batch_norm_data=None,
        )


def batch_norm_layers(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """Returns the layers whose statistics training changes."""
    kind = keras.layers.BatchNormalization
    return [
        layer
        for layer in all_layers(model)
        if isinstance(layer, kind) and layer.trainable
    ]


def check_data(data: Any) -> Any:
    """Checks that `estimate` can read `data`, without reading them."""
    if data is None or hasattr(data, "shape") or hasattr(data, "__iter__"):
        return data
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        return data
    return checks.fail(
        "`batch_norm_data` must be an array, or something to iterate over its batches",
        error=TypeError,
        batch_norm_data=type(data).__name__,
    )


def estimate(model: keras.Model, data: Iterable[Any], batch_size: int = 32) -> None:
    """Sets the moving mean and variance to those of `data` for the current weights.

    They become the mean over all batches, weighted by their sizes, of the statistics
    of each batch, as in `bn_update` of the reference code of stochastic weight
    averaging (Izmailov et al., 2018). Nothing else in the model changes, not even the
    states of its random number generators.
    """
    layers = batch_norm_layers(model)
    statistics = {id(v) for layer in layers for v in layer.non_trainable_variables}
    other_variables = [
        v for v in model.non_trainable_variables if id(v) not in statistics
    ]
    values = host_values(other_variables)
    momenta = [layer.momentum for layer in layers]
    rows = 0
    try:
        for batch in _batches(data, batch_size):
            size = int(np.shape(keras.tree.flatten(batch)[0])[0])
            # With momentum n / (n + m), moving <- moving * momentum + batch * (1 -
            # momentum) is the running mean over n + m rows.
            for layer in layers:
                layer.momentum = rows / (rows + size)
            model(batch, training=True)
            rows += size
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        assign_values(other_variables, values)
    if not rows:
        checks.fail("`batch_norm_data` must have at least one batch", batches=0)


def _batches(data, batch_size):
    """Yields the inputs of each batch; of `(x, y)` and `(x, y, weights)` only `x`."""
    if hasattr(data, "shape"):
        for start in range(0, int(data.shape[0]), batch_size):
            yield data[start : start + batch_size]
        return
    if isinstance(data, keras.utils.PyDataset) or not hasattr(data, "__iter__"):
        data = (data[i] for i in range(len(data)))
    for batch in data:
        yield batch[0] if isinstance(batch, tuple) else batch
