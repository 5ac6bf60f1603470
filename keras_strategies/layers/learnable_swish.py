from keras import initializers, ops

from keras_strategies._internal.registration import serializable
from keras_strategies.layers._channel_weights import ChannelWeights


@serializable
class LearnableSwish(ChannelWeights):
    """Swish whose steepness is trained, one value a channel.

    Between a line (`beta = 0`) and ReLU (`beta` large), each channel finds its place.
    `keras.activations.silu` is the same with `beta = 1` for good.

    ```
    output = x * sigmoid(beta * x)
    ```

    Reference:

    - [Ramachandran et al., 2017, Searching for Activation Functions](
      https://arxiv.org/abs/1710.05941)

    Args:
        beta_initializer: Initializer of the steepness. Defaults to `"ones"`.
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
    from keras_strategies.layers import LearnableSwish

    model = keras.Sequential(
        [keras.Input((16,)), keras.layers.Dense(32), LearnableSwish()]
    )
    ```
    """

    def __init__(self, beta_initializer="ones", axis=-1, **kwargs):
        super().__init__(axis=axis, **kwargs)
        self.beta_initializer = initializers.get(beta_initializer)

    def build(self, input_shape):
        self.beta = self.add_channel_weight(input_shape, "beta", self.beta_initializer)
        self.built = True

    def call(self, inputs):
        return inputs * ops.sigmoid(self.along_axis(self.beta, inputs) * inputs)

    def get_config(self):
        return {
            **super().get_config(),
            "beta_initializer": initializers.serialize(self.beta_initializer),
        }
