"""Global response normalization of ConvNeXt V2."""

from typing import Any

import keras
from keras import initializers, ops

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Initializer, Shape, Tensor
from keras_strategies._internal.weights.kernel_axes import as_float32
from keras_strategies.layers import _axes, _masks
from keras_strategies.layers._channel_weights import ChannelWeights

# Added under the root, whose derivative at a channel of zeros must be finite.
_TINY = 1e-12


def global_response(x: Tensor, axis: int, epsilon: float) -> Tensor:
    """Returns the norm of each channel divided by the mean norm of all channels."""
    axes = tuple(i for i in range(1, len(x.shape)) if i != axis)
    squares = ops.sum(ops.square(x), axis=axes, keepdims=True)
    norms = ops.sqrt(squares + _TINY)
    return norms / (ops.mean(norms, axis=axis, keepdims=True) + epsilon)


@serializable
class GlobalResponseNormalization(ChannelWeights):
    """Normalizes each channel by its norm relative to the other channels.

    Amplifies strong channels over weak ones, which prevents features from becoming
    redundant or inactive. In ConvNeXt V2 it follows the activation of the wide layer of
    each block and replaces `LayerScale`.

    ```
    g      = norm of each channel over its positions
    n      = g / (mean of g over the channels + epsilon)
    output = gamma * (inputs * n) + beta + inputs
    ```

    `gamma` and `beta` have a value for each channel and are 0 at first, so that the
    layer starts as the identity.

    Reference:

    - [Woo et al., 2023, ConvNeXt V2](https://arxiv.org/abs/2301.00808)

    Args:
        epsilon: Added to the mean norm, above 0. Defaults to `1e-6`.
        gamma_initializer: Initializer of the factors. Defaults to `"zeros"`.
        beta_initializer: Initializer of the offsets. Defaults to `"zeros"`.
        axis: Axis of the channels. Defaults to `-1`; `1` for channels first.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        inputs: Tensor of rank 3 or more.
        mask: Boolean tensor `(batch, ...)`: which positions are valid; the others do
            not count. Set by Keras after a `Masking` or `Embedding` layer.

    Input shape:
        `(batch, ..., channels)` with at least one spatial axis.

    Output shape:
        The shape of the input.

    Raises:
        ValueError: If an argument is out of range, or if the channels are unknown.

    Example:

    ```python
    import keras
    from keras_strategies.layers import GlobalResponseNormalization

    inputs = keras.Input((16, 16, 8))
    x = keras.layers.Dense(32, activation="gelu")(inputs)
    x = keras.layers.Dense(8)(GlobalResponseNormalization()(x))
    model = keras.Model(inputs, keras.layers.Add()([inputs, x]))
    ```
    """

    def __init__(
        self,
        epsilon: float = 1e-6,
        gamma_initializer: Initializer = "zeros",
        beta_initializer: Initializer = "zeros",
        axis: int = -1,
        **kwargs: Any,
    ) -> None:
        super().__init__(axis=axis, **kwargs)
        self.epsilon: float = checks.real("epsilon", epsilon, low=0, low_open=True)
        self.gamma_initializer: keras.initializers.Initializer = initializers.get(
            gamma_initializer
        )
        self.beta_initializer: keras.initializers.Initializer = initializers.get(
            beta_initializer
        )

    def build(self, input_shape: Shape) -> None:
        kind = "GlobalResponseNormalization"
        _axes.rank_and_axis(input_shape, self.axis, kind, lowest=3)
        self.gamma: keras.Variable = self.add_channel_weight(
            input_shape, "gamma", self.gamma_initializer
        )
        self.beta: keras.Variable = self.add_channel_weight(
            input_shape, "beta", self.beta_initializer
        )
        self.built = True

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        axis = self.axis % len(inputs.shape)
        # Sums of squares overflow in half precision.
        precise = as_float32(inputs)
        valid = _masks.along_positions(mask, len(inputs.shape), axis)
        precise = _masks.zero_masked(precise, valid)
        response = ops.cast(global_response(precise, axis, self.epsilon), inputs.dtype)
        gamma, beta = (self.along_axis(w, inputs) for w in (self.gamma, self.beta))
        return inputs * (gamma * response + 1) + beta

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "epsilon": self.epsilon,
            "gamma_initializer": initializers.serialize(self.gamma_initializer),
            "beta_initializer": initializers.serialize(self.beta_initializer),
        }
