"""Means over a batch whose samples are on several replicas of tf.distribute.

Losses, masks and `BatchNormalization` of Keras take the mean over the samples of a
replica, and then that of the replicas, which is another one where these have not the
same number of samples, weights or valid positions. Here they divide by the number of
all, inside the step of `shared_step`.

Replicas are traced in threads that take turns where they meet, and a layer has one list
of the losses that its calls add: a replica would forget or count those of another. Here
each has its own. Keras 3.12 to 3.15.
"""

import contextlib
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras import ops, tree
from keras.src.losses import loss as loss_module
from keras.src.utils.module_utils import tensorflow as lazy_tensorflow

# Of a replica: `.share` of the samples of the batch, `.losses` of each layer.
_step = threading.local()


def shared_step(step_function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Returns the step that knows which part of the batch a replica has."""

    def step(data):
        tf = lazy_tensorflow
        context = tf.distribute.get_replica_context()
        leaf = next(x for x in tree.flatten(data) if x is not None)
        rows = tf.shape(leaf)[0]
        total = context.all_reduce("SUM", rows)
        _step.share = tf.cast(rows, "float32") / tf.cast(total, "float32")
        _step.losses = weakref.WeakKeyDictionary()
        try:
            return step_function(data)
        finally:
            _step.share = _step.losses = None

    return step


class _LossesOfReplica:
    """The attribute `_losses` of layers: one list in each replica's step."""

    def __get__(self, layer, owner=None):
        if layer is None:
            return self
        if "_losses" not in vars(layer):
            raise AttributeError("_losses")
        lists = getattr(_step, "losses", None)
        return vars(layer)["_losses"] if lists is None else lists.setdefault(layer, [])

    def __set__(self, layer, losses):
        vars(layer)["_losses"] = losses


def _share():
    """This replica's part of the samples of the batch, `None` outside of a step."""
    return getattr(_step, "share", None)


def _all_sum(value):
    """The sum over the replicas, of a number that gradients do not pass."""
    context = lazy_tensorflow.distribute.get_replica_context()
    return context.all_reduce("SUM", lazy_tensorflow.stop_gradient(value))


def _replicas():
    return lazy_tensorflow.distribute.get_strategy().num_replicas_in_sync


def _scale(value):
    share = _share()
    if share is not None:
        return value * ops.cast(share, value.dtype)
    count = _replicas()
    return value if count == 1 else value * ops.cast(1.0 / count, value.dtype)


def _unscale(value):
    share = _share()
    if share is not None:
        return ops.divide_no_nan(value, ops.cast(share, value.dtype))
    return value * ops.cast(_replicas(), value.dtype)


def unscaled(value: Any) -> Any:
    """`value` such that it is itself after Keras has scaled it as a part of a loss."""
    if keras.backend.backend() != "tensorflow":
        return value
    return loss_module.unscale_loss_for_distribution(value)


_reduce_alone = loss_module.reduce_values
_mask_alone = loss_module.apply_mask


def _reduce_values(values, sample_weight=None, reduction="sum_over_batch_size"):
    by_weight = reduction == "mean_with_sample_weight" and sample_weight is not None
    if _share() is None or not by_weight or not tuple(values.shape):
        return _reduce_alone(values, sample_weight, reduction)
    total = _all_sum(ops.sum(sample_weight))
    return ops.divide_no_nan(ops.sum(values), ops.cast(total, values.dtype))


def _apply_mask(sample_weight, mask, dtype, reduction):
    if mask is None or _share() is None:
        return _mask_alone(sample_weight, mask, dtype, reduction)
    if reduction not in ("mean", "sum_over_batch_size"):
        return _mask_alone(sample_weight, mask, dtype, reduction)
    mask = ops.cast(mask, dtype)
    total = _all_sum(ops.cast(ops.prod(ops.shape(mask)), dtype))
    valid = _all_sum(ops.sum(mask))
    # As Keras's own: the mean over valid positions is that over all of them times all /
    # valid, here with the numbers of the whole batch.
    weights = mask * ops.divide_no_nan(total, valid)
    if sample_weight is None:
        return weights
    weights, sample_weight = loss_module.squeeze_or_expand_to_same_rank(
        weights, ops.cast(sample_weight, dtype)
    )
    return sample_weight * weights


_moments_alone = keras.layers.BatchNormalization._moments


def _moments(self, inputs, mask):
    """Mean and variance over the whole batch, the variance around that mean."""
    if _share() is None:
        return _moments_alone(self, inputs, mask)
    context = lazy_tensorflow.distribute.get_replica_context()

    def total(values):
        summed = ops.sum(values, axis=self._reduction_axes, keepdims=True)
        return context.all_reduce("SUM", summed)

    weights = ops.ones_like(inputs)
    if mask is not None:
        weights = weights * ops.expand_dims(ops.cast(mask, inputs.dtype), axis=-1)
    count = total(weights)
    mean = ops.divide_no_nan(total(weights * inputs), count)
    # Two passes: E[x^2] - E[x]^2 cancels where the mean is large.
    variance = ops.divide_no_nan(total(weights * ops.square(inputs - mean)), count)
    axes = self._reduction_axes
    return ops.squeeze(mean, axes), ops.squeeze(variance, axes)


#: What is to be replaced, for `replaced`.
CHANGES: list[tuple[Any, str, Any]] = [
    (loss_module, "scale_loss_for_distribution", _scale),
    (loss_module, "unscale_loss_for_distribution", _unscale),
    (loss_module, "reduce_values", _reduce_values),
    (loss_module, "apply_mask", _apply_mask),
    (keras.layers.BatchNormalization, "_moments", _moments),
]


@contextlib.contextmanager
def losses_of_replicas() -> Iterator[None]:
    """Gives each replica's step lists of its own for the losses that layers add."""
    is_outermost = "_losses" not in vars(keras.Layer)
    if is_outermost:  # instances have it, the class does not
        setattr(keras.Layer, "_losses", _LossesOfReplica())  # noqa: B010
    try:
        yield
    finally:
        if is_outermost:
            del keras.Layer._losses
