"""Shared values of a loaded model, which plain training would separate."""

import contextlib
from collections.abc import Iterator

import keras
from keras import ops

from keras_strategies import compression
from keras_strategies._internal import keras_private
from keras_strategies.compression._common import compressible_weights
from keras_strategies.compression._common.update_constraint import constrained_weights
from keras_strategies.compression.clustering._channel_rows import to_rows
from keras_strategies.compression.clustering._cluster import CLUSTERABLE
from keras_strategies.compression.preservation import _plan

# On the average so many weights share a value; single equal weights are chance.
_LEAST_SHARED = 2.0


def hold_values(model: keras.Model) -> bool:
    """Keeps values together that the weights of a model share; whether there are any.

    Zeros among them stay as well.
    """
    if not model.built or constrained_weights(model):
        return False
    clustered = [
        weight
        for layer, weight in compressible_weights.compressible_weights(
            model, CLUSTERABLE
        )
        if weight.trainable and _is_clustered(layer, weight)
    ]
    if not clustered:
        return False
    compression.preserve(model, "both", include=clustered)
    return True


def _is_clustered(layer, weight):
    values = ops.copy(weight.value)
    return any(
        _plan.shares_values(ops.convert_to_numpy(to_rows(values, axis)), _LEAST_SHARED)
        for axis in _plan.channel_axes(layer, weight)
    )


@contextlib.contextmanager
def holding_what_is_loaded() -> Iterator[None]:
    """Makes the models that Keras loads inside the block keep their values together."""

    def hold(model: object) -> None:
        if isinstance(model, keras.Model):
            hold_values(model)

    with keras_private.after_loading(hold):
        yield
