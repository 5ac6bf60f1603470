"""Zeros of a loaded model, which plain training would fill again."""

import contextlib
import warnings
from collections.abc import Iterator

import keras

from keras_strategies import compression
from keras_strategies._internal import keras_private
from keras_strategies.compression._common import compressible_weights
from keras_strategies.compression._common.update_constraint import constrained_weights
from keras_strategies.compression.pruning._pruning_constraint import existing_sparsity

# A kernel with a smaller share of exact zeros was not pruned.
_LEAST_SPARSITY = 0.02


def hold_zeros(model: keras.Model) -> bool:
    """Keeps the zeros of a model that is not under pruning; whether it has any.

    The masks of pruning are the zeros themselves, so they are in every file; the
    schedule is not.
    """
    if not model.built or constrained_weights(model):
        return False
    sparse = [
        weight
        for _, weight in compressible_weights.compressible_weights(model)
        if weight.trainable and _LEAST_SPARSITY < existing_sparsity(weight) < 1.0
    ]
    if not sparse:
        return False
    compression.preserve(model, "sparsity", include=sparse)
    return True


def warn_of_schedule(model: keras.Model) -> None:
    """Says that a loaded model keeps its zeros and gets no more."""
    warnings.warn(
        f"Model {model.name!r} has zeros but no pruning schedule, which no file holds: "
        "its zeros stay, and no others come. Call `prune_low_magnitude` after loading "
        "to prune on.",
        stacklevel=4,
    )


@contextlib.contextmanager
def holding_what_is_loaded() -> Iterator[None]:
    """Makes the models that Keras loads inside the block keep their zeros."""

    def hold(model: object) -> None:
        if isinstance(model, keras.Model):
            hold_zeros(model)

    with keras_private.after_loading(hold):
        yield
