"""Seeds of one training after the other, without dropping what is compiled."""

import random
from typing import Any

import keras

from keras_strategies._internal.interception import replacing


class Seeds:
    """`keras.utils.set_random_seed`, which leaves the kernels of TensorFlow alone.

    `tf.random.set_seed` drops all kernels, as some have drawn numbers; each compiled
    function is then optimized anew at its next call, which takes as long as several
    epochs of a small model. The kernel of an operation that draws belongs to the seed
    and to a number that is drawn from it: of another seed no kernel is used again, so
    that it need not be dropped. The first seed, and one that comes again, drop them.
    """

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def set(self, seed: int) -> None:
        """Sets the seeds of Python, NumPy, Keras and the backend."""
        if not self._seen or seed in self._seen:
            self._seen.clear()
            keras.utils.set_random_seed(seed)
        elif keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            with replacing(tf.random, "set_seed", _set_tensorflow_seed):
                keras.utils.set_random_seed(seed)
        else:
            keras.utils.set_random_seed(seed)
        self._seen.add(seed)


def _set_tensorflow_seed(seed: Any) -> None:
    """What `tf.random.set_seed` does, but for the kernels: no public function does."""
    from tensorflow.python.eager import context

    current: Any = context.context()
    current._seed, current._rng = seed, random.Random(seed)
