"""Estimating the moving statistics of BatchNormalization layers anew."""

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.walking import all_layers
from keras_strategies.callbacks import _snapshots


def batch_norm_layers(model):
    """The layers whose statistics training changes."""
    kind = keras.layers.BatchNormalization
    return [
        layer
        for layer in all_layers(model)
        if isinstance(layer, kind) and layer.trainable
    ]


def check_data(data):
    """Checks what `estimate` can read, as far as that is possible ahead."""
    if data is None or hasattr(data, "shape") or hasattr(data, "__iter__"):
        return data
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        return data
    return checks.fail(
        "`batch_norm_data` must be an array, or something to iterate over its batches",
        error=TypeError,
        batch_norm_data=type(data).__name__,
    )


def estimate(model, data, batch_size=32):
    """Sets the moving mean and variance to those of `data` under today's weights.

    They become the mean over all batches, weighted by their sizes, of the statistics
    of each batch, as in the reference code of stochastic weight averaging. Nothing
    else in the model changes, not even the state of its random numbers.
    """
    layers = batch_norm_layers(model)
    own = {id(v) for layer in layers for v in layer.non_trainable_variables}
    others = [v for v in model.non_trainable_variables if id(v) not in own]
    kept, momenta = _snapshots.read(others), [layer.momentum for layer in layers]
    seen = 0
    try:
        for batch in _batches(data, batch_size):
            size = int(np.shape(keras.tree.flatten(batch)[0])[0])
            for layer in layers:
                layer.momentum = seen / (seen + size)
            model(batch, training=True)
            seen += size
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        _snapshots.write(others, kept)
    if not seen:
        checks.fail("`batch_norm_data` must have at least one batch", batches=0)


def _batches(data, batch_size):
    """Inputs batch by batch; of `(x, y)` and `(x, y, weights)` only `x`."""
    if hasattr(data, "shape"):
        for start in range(0, int(data.shape[0]), batch_size):
            yield data[start : start + batch_size]
        return
    if isinstance(data, keras.utils.PyDataset) or not hasattr(data, "__iter__"):
        data = (data[i] for i in range(len(data)))
    for batch in data:
        yield batch[0] if isinstance(batch, tuple) else batch
