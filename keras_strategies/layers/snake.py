from keras import initializers, ops

from keras_strategies._internal.registration import serializable
from keras_strategies.layers._channel_weights import ChannelWeights

# A normal number in half precision too.
SMALLEST = 1e-4


@serializable
def snake(x, alpha=1.0):
    """The periodic activation `x + sin(alpha * x)**2 / alpha`.

    ReLU and tanh networks extrapolate a periodic signal by a line or a constant; with
    this activation they carry the period on. Registered with Keras, so that
    `Dense(8, activation=snake)` saves and loads. The layer `Snake` learns `alpha`.

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
    # Below the smallest divisor sin**2 has vanished too: the limit is the identity.
    safe = ops.where(ops.abs(alpha) < SMALLEST, ops.cast(SMALLEST, x.dtype), alpha)
    return x + ops.square(ops.sin(alpha * x)) / safe


@serializable
class Snake(ChannelWeights):
    """Periodic activation with a trained frequency for each channel.

    For signals that repeat: audio, seasons, machines. Networks with it extrapolate a
    period beyond the data, which ReLU and tanh networks do not.

    ```
    output = x + sin(alpha * x)**2 / alpha
    ```

    with one trained `alpha` a channel. A larger start suits faster signals; the
    article takes 5 to 50 for strongly periodic data. Without trained weights use the
    function `snake`.

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

    def __init__(self, alpha_initializer="ones", axis=-1, **kwargs):
        super().__init__(axis=axis, **kwargs)
        self.alpha_initializer = initializers.get(alpha_initializer)

    def build(self, input_shape):
        self.alpha = self.add_channel_weight(
            input_shape, "alpha", self.alpha_initializer
        )
        self.built = True

    def call(self, inputs):
        return snake(inputs, self.along_axis(self.alpha, inputs))

    def get_config(self):
        return {
            **super().get_config(),
            "alpha_initializer": initializers.serialize(self.alpha_initializer),
        }
