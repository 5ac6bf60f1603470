"""Weights and partners of mixed elements as pure functions of uniform numbers."""

import math
from typing import Any

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.types import Tensor


def symmetric_beta(uniform: Tensor, alpha: Any, ops: Any = keras.ops) -> Tensor:
    """Converts uniform numbers `(batch, 3)` to Beta(alpha, alpha), `(batch,)`.

    ```
    x = 1/2 + s / (2 sqrt(1 + 1 / ((u^(-1/alpha) - 1) cos^2(2 pi v))))
    ```

    with a random sign `s`: Devroye, 1996, [Random variate generation in one line of
    code](https://doi.org/10.1145/256562.256623). XLA has no gamma variates on
    TensorFlow, which Keras's `random.beta` divides.
    """
    u, v, sign = uniform[:, 0], uniform[:, 1], uniform[:, 2]
    # Numbers in [0, 1): away from 0, whose power is infinite, and 1, a division by 0.
    u = ops.clip(u, 1e-7, 1.0 - 1e-6)
    squared = ops.maximum(ops.square(ops.cos(2.0 * math.pi * v)), 1e-12)
    # Below the largest float32; the root is 1 long before.
    power = ops.exp(ops.minimum(-ops.log(u) / alpha, 60.0))
    half = 0.5 / ops.sqrt(1.0 + 1.0 / ((power - 1.0) * squared))
    return ops.where(sign < 0.5, 0.5 - half, 0.5 + half)


def permutation(uniform: Tensor, ops: Any = keras.ops) -> Tensor:
    """Converts uniform numbers `(batch,)` to a permutation of the batch, int32."""
    return ops.cast(ops.argsort(uniform), "int32")


def mix(values: Tensor, partners: Tensor, weights: Tensor, ops: Any = keras.ops) -> Any:
    """Returns `weights values + (1 - weights) values[partners]`, along the batch."""
    weights = ops.reshape(weights, (-1,) + (1,) * (len(values.shape) - 1))
    weights = ops.cast(weights, values.dtype)
    return weights * values + (1.0 - weights) * ops.take(values, partners, axis=0)


def check_labels(labels: Tensor) -> None:
    """Checks that labels have an axis after that of the batch."""
    if len(labels.shape) < 2:
        fix = (
            "Give one-hot labels (keras.ops.one_hot), or targets of a regression as "
            "(batch, 1): class numbers cannot be mixed."
        )
        shape = tuple(labels.shape)
        checks.fail("`labels` must be (batch, classes)", fix=fix, shape=shape)
