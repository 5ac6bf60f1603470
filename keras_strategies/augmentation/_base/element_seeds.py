"""Random numbers that depend on an element of a `tf.data` pipeline, not on order.

A pipeline that maps in parallel calls a layer from several threads, in an order that
differs from run to run; the state of one generator would hand its numbers to other
elements each time.
"""

from typing import Any

from keras_strategies._internal import bases
from keras_strategies._internal.types import Tensor


class ElementSeeds(bases.SeedGenerator):
    """Seeds derived from the number pair of an element instead of a variable.

    Args:
        numbers: Tensor of two integers.
    """

    def __init__(self, numbers: Tensor) -> None:
        # Not the parent's constructor, which would create a variable.
        self._numbers, self._count = numbers, 0

    def next(self, ordered: bool = True) -> Tensor:
        import tensorflow as tf

        self._count += 1
        return tf.random.experimental.stateless_fold_in(self._numbers, self._count)


class Visits:
    """Counts how often a pipeline has seen each element, by a hash of its content.

    An element draws from (seed, content, how often it was seen): the same numbers in
    whatever order the elements come, and others each time it comes again. Elements of
    equal content may exchange their numbers, which changes nothing. A count takes
    about 16 bytes.
    """

    def __init__(self) -> None:
        import tensorflow as tf

        with tf.init_scope():
            self._table = tf.lookup.experimental.MutableHashTable(
                tf.int64, tf.int64, default_value=0
            )

    def seeds(self, element: Tensor, seed: int) -> ElementSeeds:
        """Returns the seeds of an element, and counts it."""
        import tensorflow as tf

        content = content_hash(element)
        count = self._table.lookup(content)
        with tf.control_dependencies([count]):
            inserted = self._table.insert(content, count + 1)
        with tf.control_dependencies([inserted]):
            numbers = tf.stack([tf.constant(seed, tf.int64), tf.identity(content)])
        return ElementSeeds(tf.random.experimental.stateless_fold_in(numbers, count))


def content_hash(*tensors: Tensor) -> Tensor:
    """Returns an int64 that depends on values, shapes and dtypes of tensors."""
    import tensorflow as tf

    content = tf.strings.join([tf.io.serialize_tensor(tensor) for tensor in tensors])
    return tf.strings.to_hash_bucket_fast(content, 2**63 - 1)


def in_data_pipeline() -> bool:
    """Whether the running call is traced as a function of a `tf.data` pipeline.

    TensorFlow says so only in the name of the function it traces for `map` and its
    like, such as `"Dataset_map_lambda"`.
    """
    import sys

    if "tensorflow" not in sys.modules:
        return False
    import tensorflow as tf

    graph: Any = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
    while graph is not None:
        if getattr(graph, "name", "").startswith("Dataset_"):
            return True
        graph = getattr(graph, "outer_graph", None)
    return False
