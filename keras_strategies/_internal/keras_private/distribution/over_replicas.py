"""Statistics of a batch whose parts are on several replicas of tf.distribute.

A layer sees the samples of its replica alone, and what it keeps of them would differ
from replica to replica. On JAX it sees the whole batch. TensorFlow comes from Keras's
own lazy import, which costs nothing on other backends. Keras 3.12 to 3.15.
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops
from keras.src.utils.module_utils import tensorflow as lazy_tensorflow

from keras_strategies._internal.keras_private.distribution import shared_means


def replicas() -> int:
    """How many replicas compute parts of the batch in the step that is traced."""
    context = _context()
    return 1 if context is None else context.num_replicas_in_sync


def _context():
    if keras.backend.backend() != "tensorflow":
        return None
    return lazy_tensorflow.distribute.get_replica_context()


def sum_over_replicas(value: Any) -> Any:
    """The sum of what each replica has; the value itself on one device."""
    if replicas() == 1:
        return value
    return _context().all_reduce("SUM", value)


def max_over_replicas(value: Any) -> Any:
    """The largest of what each replica has, entry by entry."""
    if replicas() == 1:
        return value
    gathered = _context().all_gather(ops.expand_dims(value, 0), axis=0)
    return ops.max(gathered, axis=0)


def _gathered(array):
    """The rows of all replicas; TensorFlow forgets their shape."""
    rows = _context().all_gather(array, axis=0)
    rows.set_shape((None, *array.shape[1:]))
    return rows


def penalty_of_batch(penalty: Callable[[Any], Any], x: Any) -> Any:
    """A penalty on activations that is no sum over samples, such as a norm over them.

    Each replica computes it for the activations of all replicas and takes its part, so
    that the parts, which Keras divides by the samples of the replica and `scope` weighs
    by them, sum to that of one device. A weight is the same on all of them.
    """
    if replicas() == 1 or isinstance(x, keras.Variable):
        return penalty(x)
    return penalty(_gathered(x)) / replicas()


def batch_mean(values: Any, weights: Any) -> Any:
    """The mean of one number a sample by weights of 0 and 1; 0 if all of them are 0.

    On several replicas its parts sum to the mean over all samples when `scope` has
    weighed them by their samples.
    """
    total = sum_over_replicas(ops.sum(weights))
    mean = ops.sum(weights * values) / ops.maximum(total, 1.0)
    return shared_means.unscaled(mean)


def rows_of_batch(function: Callable[..., Any], *arrays: Any) -> Any:
    """One number a sample that depends on the others of the batch, as distances do.

    Each replica computes those of all samples and keeps those of its own.
    """
    if replicas() == 1:
        return function(*arrays)
    context = _context()
    count = ops.shape(arrays[0])[0]
    counts = context.all_gather(ops.reshape(count, (1,)), axis=0)
    begin = ops.sum(counts[: context.replica_id_in_sync_group])
    rows = function(*map(_gathered, arrays))
    return rows[begin : begin + count]
