"""Losses with label smoothing whose factor is a tensor."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops


def smooth_categorical(y_true: Any, smoothing: Any) -> Any:
    """`y * (1 - smoothing) + smoothing / classes` for one-hot targets."""
    classes = ops.cast(ops.shape(y_true)[-1], y_true.dtype)
    return y_true * (1.0 - smoothing) + smoothing / classes


def smooth_binary(y_true: Any, smoothing: Any) -> Any:
    """`y * (1 - smoothing) + 0.5 * smoothing` for targets of 0 and 1."""
    return y_true * (1.0 - smoothing) + 0.5 * smoothing


def sparse_crossentropy(
    y_true: Any,
    y_pred: Any,
    smoothing: Any,
    from_logits: bool = False,
    axis: int = -1,
    **arguments: Any,
) -> Any:
    """Cross-entropy of smoothed integer classes.

    The loss is linear in the targets, so that it is a mix of the loss of the class and
    that of the uniform distribution: no one-hot targets are needed.
    """
    of_class = keras.losses.sparse_categorical_crossentropy(
        y_true, y_pred, from_logits=from_logits, axis=axis, **arguments
    )
    uniform = ops.ones_like(y_pred) / ops.cast(ops.shape(y_pred)[axis], y_pred.dtype)
    of_uniform = ops.categorical_crossentropy(
        uniform, y_pred, from_logits=from_logits, axis=axis
    )
    return (1.0 - smoothing) * of_class + smoothing * of_uniform


_BY_TARGET = {
    "categorical_crossentropy": smooth_categorical,
    "categorical_focal_crossentropy": smooth_categorical,
    "binary_crossentropy": smooth_binary,
    "binary_focal_crossentropy": smooth_binary,
}


def smoothed_loss(
    function: Callable[..., Any], smoothing: Callable[[], Any]
) -> Callable[..., Any] | None:
    """Returns `function` with smoothed targets; `None` if it has no label smoothing.

    `smoothing()` returns the factor inside the training step.
    """
    name = getattr(function, "__name__", "")
    if getattr(keras.losses, name, None) is not function:
        return None
    if name == "sparse_categorical_crossentropy":
        return lambda y_true, y_pred, **arguments: sparse_crossentropy(
            y_true, y_pred, ops.cast(smoothing(), y_pred.dtype), **arguments
        )
    if name not in _BY_TARGET:
        return None

    # The loss's own argument is 0: the targets are smoothed already, and a tensor there
    # would be compared with 0 while the step is traced.
    def smoothed(y_true, y_pred, **arguments):
        y_pred = ops.convert_to_tensor(y_pred)
        factor = ops.cast(smoothing(), y_pred.dtype)
        y_true = _BY_TARGET[name](ops.cast(y_true, y_pred.dtype), factor)
        return function(y_true, y_pred, **{**arguments, "label_smoothing": 0.0})

    return smoothed
