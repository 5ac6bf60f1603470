"""Activation and temporal activation regularization of recurrent layers."""

import math

from keras import ops

from keras_strategies._internal import bases, checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor
from keras_strategies._internal.weights.kernel_axes import as_float32, positive_axes


def temporal_activation(x: Tensor, alpha: float, beta: float, axis: int = 1) -> Tensor:
    """Returns `alpha * mean(x^2) + beta * mean((x_t - x_{t-1})^2)`.

    Computed in float32 at least.

    Args:
        x: Tensor of activations.
        alpha: Weight of the activations.
        beta: Weight of their differences.
        axis: The time axis, not negative. With a single step the second term is 0.
    """
    x = as_float32(x)
    leading = (slice(None),) * axis
    difference = x[(*leading, slice(1, None))] - x[(*leading, slice(None, -1))]
    return alpha * _mean_square(x) + beta * _mean_square(difference)


def _mean_square(x: Tensor) -> Tensor:
    # In a graph, sizes may be tensors, and may be 0.
    size = ops.cast(math.prod(ops.shape(x)), x.dtype)
    return ops.sum(ops.square(x)) / ops.maximum(size, 1.0)


@serializable
class TemporalActivation(bases.Regularizer):
    """Penalizes large and rapidly changing outputs of a recurrent layer (AR, TAR).

    For recurrent networks, where weight decay is insufficient and dropout between steps
    impairs memory: activation regularization (AR) penalizes large outputs, temporal
    activation regularization (TAR) large changes from step to step. Pass it as
    `activity_regularizer` to a layer with a time axis, such as
    `LSTM(..., return_sequences=True)`. It adds to the loss

    ```
    alpha * mean(h_t^2) + beta * mean((h_t - h_{t-1})^2)
    ```

    where `h_t` are the outputs at step `t` and the means are over samples, steps and
    features. Keras divides the result of an activity regularizer by the batch size; a
    direct call therefore returns the penalty times the batch size.

    The mask of padded steps is not available here: Keras's recurrent layers repeat the
    last output there, which adds nothing to the difference.

    Reference:

    - [Merity et al., 2017, Revisiting Activation Regularization for Language
      RNNs](https://arxiv.org/abs/1708.01009)

    Args:
        alpha: Strength of AR, at least 0. Defaults to `2.0`, as in the paper.
        beta: Strength of TAR, at least 0. Defaults to `1.0`, as in the paper.
        axis: The time axis of the output. Defaults to `1`.

    Raises:
        ValueError: If a strength is negative or, when called, if the output has no
            such axis or `axis` is that of the batch.

    Example:

    ```python
    import keras
    from keras_strategies.regularizers import TemporalActivation

    layer = keras.layers.LSTM(
        16, return_sequences=True, activity_regularizer=TemporalActivation(2.0, 1.0)
    )

    h = keras.ops.array([[[0.0], [2.0]]])  # one sample, two steps
    print(float(TemporalActivation(1.0, 1.0)(h)))  # 4 / 2 + 4 / 1 = 6.0
    ```
    """

    def __init__(self, alpha: float = 2.0, beta: float = 1.0, axis: int = 1) -> None:
        self.alpha: float = checks.real("alpha", alpha, low=0)
        self.beta: float = checks.real("beta", beta, low=0)
        self.axis: int = checks.integer("axis", axis)

    def __call__(self, x: Tensor) -> Tensor:
        [axis] = positive_axes(self.axis, x.shape)
        if axis == 0:
            checks.fail(
                "`axis` must be the time axis, not that of the batch",
                axis=self.axis,
                shape=tuple(x.shape),
                fix="Give the layer return_sequences=True.",
            )
        penalty = temporal_activation(x, self.alpha, self.beta, axis)
        return penalty * ops.cast(ops.shape(x)[0], penalty.dtype)

    def get_config(self) -> Config:
        return {"alpha": self.alpha, "beta": self.beta, "axis": self.axis}
