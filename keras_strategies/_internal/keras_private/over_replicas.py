"""Statistics of a batch whose parts are on several replicas of tf.distribute.

A layer sees the samples of its replica alone, and what it keeps of them would differ
from replica to replica. On JAX it sees the whole batch. TensorFlow comes from Keras's
own lazy import, which costs nothing on other backends. Keras 3.12 to 3.15.
"""

from typing import Any

import keras
from keras import ops
from keras.src.utils.module_utils import tensorflow as lazy_tensorflow


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
