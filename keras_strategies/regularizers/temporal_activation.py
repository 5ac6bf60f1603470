import math

import keras
from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.groups import as_float32, positive_axes
from keras_strategies._internal.registration import serializable


def temporal_activation(x, alpha, beta, axis=1):
    """`alpha * mean(x^2) + beta * mean((x_t - x_{t-1})^2)`, in float32 at least.

    Args:
        x: Tensor of activations.
        alpha: Weight of the activations.
        beta: Weight of their differences.
        axis: The time axis, not negative. With one step there is no difference.
    """
    x = as_float32(x)
    leading = (slice(None),) * axis
    step = x[(*leading, slice(1, None))] - x[(*leading, slice(None, -1))]
    return alpha * _mean_square(x) + beta * _mean_square(step)


def _mean_square(x):
    # Sizes may be known only in the running graph, and may be 0.
    size = ops.cast(math.prod(ops.shape(x)), x.dtype)
    return ops.sum(ops.square(x)) / ops.maximum(size, 1.0)


@serializable
class TemporalActivation(keras.regularizers.Regularizer):
    """Keeps the outputs of a recurrent layer small and slow (AR and TAR).

    For recurrent networks, where weight decay is too little and dropout between
    steps harms memory: activation regularization (AR) keeps outputs from growing,
    temporal activation regularization (TAR) from changing much from step to step.
    It goes into `activity_regularizer` of a layer with a time axis, such as
    `LSTM(..., return_sequences=True)`, and adds to the loss

    ```
    alpha * mean(h_t^2) + beta * mean((h_t - h_{t-1})^2)
    ```

    where `h_t` are the outputs at step `t` and the means go over samples, steps and
    features. Keras divides what an activity regularizer returns by the batch size,
    so a direct call returns the penalty times the batch size.

    The mask of padded steps is not known here: Keras's recurrent layers repeat the
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

    def __init__(self, alpha=2.0, beta=1.0, axis=1):
        self.alpha = checks.real("alpha", alpha, low=0)
        self.beta = checks.real("beta", beta, low=0)
        self.axis = checks.integer("axis", axis)

    def __call__(self, x):
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

    def get_config(self):
        return {"alpha": self.alpha, "beta": self.beta, "axis": self.axis}
