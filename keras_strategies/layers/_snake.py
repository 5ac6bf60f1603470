"""Snake: a periodic activation."""

from typing import Any

import keras
from keras import initializers, ops

from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Initializer, Shape, Tensor
from keras_strategies.layers._channel_weights import ChannelWeights

# A normal number also in half precision.
_SMALLEST = 1e-4


@serializable
def snake(x: Tensor, alpha: float | Tensor = 1.0) -> Tensor:
    """Periodic activation `x + sin(alpha * x)**2 / alpha`.

    ReLU and tanh networks extrapolate a periodic signal linearly or by a constant; with
    this activation they continue the period. Registered with Keras, so that
    `Dense(8, activation=snake)` can be saved. The layer `Snake` learns `alpha`.

    Reference:

    - [Ziyin et al., 2020, Neural Networks Fail to Learn Periodic Functions and How to
      Fix It](https://arxiv.org/abs/2006.08195)

    Args:
        x: Tensor.
        alpha: Frequency: a number, or a tensor that broadcasts against `x`. At 0 the
            function is the identity. Defaults to `1.0`.

    Returns:
        A tensor of the shape of `x`.

    Example:

    ```python
    import keras
    from keras_strategies.layers import snake

    layer = keras.layers.Dense(8, activation=snake)
    ```
    """
    x = ops.convert_to_tensor(x)
    alpha = ops.cast(alpha, x.dtype)
    # For a smaller `alpha` sin**2 vanishes as well: the limit is the identity.
    safe = ops.where(ops.abs(alpha) < _SMALLEST, ops.cast(_SMALLEST, x.dtype), alpha)
    return x + ops.square(ops.sin(alpha * x)) / safe


@serializable
class Snake(ChannelWeights):
    """Periodic activation with a trained frequency per channel.

    For periodic signals, such as audio, seasonal data and rotating machines. Networks
    with it extrapolate a period beyond the data, unlike ReLU and tanh networks.

    ```
    output = x + sin(alpha * x)**2 / alpha
    ```

    with one trained `alpha` per channel. Larger initial values suit higher frequencies;
    the paper uses 5 to 50 for strongly periodic data. The function `snake` has a
    constant `alpha`.

    Reference:

    - [Ziyin et al., 2020, Neural Networks Fail to Learn Periodic Functions and How to
      Fix It](https://arxiv.org/abs/2006.08195)

    Args:
        alpha_initializer: Initializer of the frequencies. Defaults to `"ones"`.
        axis: Axis of the channels. Defaults to `-1`; `1` for channels first.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Input shape:
        `(batch, ..., channels)`.

    Output shape:
        The shape of the input.

    Raises:
        ValueError: If the input has no such axis, or if its channels are unknown.

    Example:

    ```python
    import keras
    from keras_strategies.layers import Snake

    model = keras.Sequential(
        [keras.Input((1,)), keras.layers.Dense(64), Snake(), keras.layers.Dense(1)]
    )
    ```
    """

    def __init__(
        self, alpha_initializer: Initializer = "ones", axis: int = -1, **kwargs: Any
    ) -> None:
        super().__init__(axis=axis, **kwargs)
        self.alpha_initializer: keras.initializers.Initializer = initializers.get(
            alpha_initializer
        )

    def build(self, input_shape: Shape) -> None:
        self.alpha: keras.Variable = self.add_channel_weight(
            input_shape, "alpha", self.alpha_initializer
        )
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        return snake(inputs, self.along_axis(self.alpha, inputs))

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "alpha_initializer": initializers.serialize(self.alpha_initializer),
        }
