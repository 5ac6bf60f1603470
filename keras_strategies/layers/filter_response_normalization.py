"""Filter response normalization with a thresholded linear unit."""

from typing import Any

import keras
from keras import initializers, ops

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Initializer, Shape, Tensor
from keras_strategies._internal.weights.kernel_axes import as_float32
from keras_strategies.layers import _axes, _masks
from keras_strategies.layers._channel_weights import ChannelWeights


@serializable
class FilterResponseNormalization(ChannelWeights):
    """Normalizes each channel of each sample by its mean square, then thresholds.

    Independent of the batch: it trains with single images and is the same at inference,
    without moving averages. It replaces batch normalization *and* ReLU after a
    convolution, as the threshold is its activation. The paper uses it with a warm-up of
    the learning rate.

    ```
    nu2    = mean of inputs**2 over the positions
    y      = gamma * inputs / sqrt(nu2 + abs(epsilon)) + beta
    output = max(y, tau)
    ```

    `gamma`, `beta` and `tau` have a value for each channel.

    Reference:

    - [Singh & Krishnan, 2020, Filter Response Normalization Layer](
      https://arxiv.org/abs/1911.09737)

    Args:
        epsilon: Added to the mean square, above 0. Defaults to `1e-6`.
        learned_epsilon: Whether to add a trained value for each channel to `epsilon`,
            for feature maps of a single position. Defaults to `False`.
        thresholded: Whether to apply the threshold; without it, add an activation
            after the layer. Defaults to `True`.
        gamma_initializer: Initializer of the factors. Defaults to `"ones"`.
        beta_initializer: Initializer of the offsets. Defaults to `"zeros"`.
        tau_initializer: Initializer of the thresholds. Defaults to `"zeros"`.
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
    from keras_strategies.layers import FilterResponseNormalization

    model = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            keras.layers.Conv2D(8, 3, use_bias=False),
            FilterResponseNormalization(),
        ]
    )
    ```
    """

    def __init__(
        self,
        epsilon: float = 1e-6,
        learned_epsilon: bool = False,
        thresholded: bool = True,
        gamma_initializer: Initializer = "ones",
        beta_initializer: Initializer = "zeros",
        tau_initializer: Initializer = "zeros",
        axis: int = -1,
        **kwargs: Any,
    ) -> None:
        super().__init__(axis=axis, **kwargs)
        self.epsilon: float = checks.real("epsilon", epsilon, low=0, low_open=True)
        self.learned_epsilon: bool = checks.boolean("learned_epsilon", learned_epsilon)
        self.thresholded: bool = checks.boolean("thresholded", thresholded)
        self.gamma_initializer: keras.initializers.Initializer = initializers.get(
            gamma_initializer
        )
        self.beta_initializer: keras.initializers.Initializer = initializers.get(
            beta_initializer
        )
        self.tau_initializer: keras.initializers.Initializer = initializers.get(
            tau_initializer
        )

    def build(self, input_shape: Shape) -> None:
        kind = "FilterResponseNormalization"
        _axes.rank_and_axis(input_shape, self.axis, kind, lowest=3)
        add = self.add_channel_weight
        self.gamma: keras.Variable = add(input_shape, "gamma", self.gamma_initializer)
        self.beta: keras.Variable = add(input_shape, "beta", self.beta_initializer)
        if self.thresholded:
            self.tau: keras.Variable = add(input_shape, "tau", self.tau_initializer)
        if self.learned_epsilon:
            # The initial value in the paper.
            start = initializers.Constant(1e-4)
            self.epsilon_weight: keras.Variable = add(input_shape, "epsilon", start)
        self.built = True

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        axis = self.axis % len(inputs.shape)
        axes = tuple(i for i in range(1, len(inputs.shape)) if i != axis)
        # In half precision squares overflow and epsilon underflows.
        x = as_float32(inputs)
        valid = _masks.along_positions(mask, len(inputs.shape), axis)
        squares = _masks.mean(ops.square(x), axes, valid, keepdims=True) + self.epsilon
        if self.learned_epsilon:
            squares = squares + ops.abs(self.along_axis(self.epsilon_weight, x))
        x = x * ops.rsqrt(squares) * self.along_axis(self.gamma, x)
        x = ops.cast(x + self.along_axis(self.beta, x), inputs.dtype)
        if self.thresholded:
            x = ops.maximum(x, self.along_axis(self.tau, x))
        return x

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "epsilon": self.epsilon,
            "learned_epsilon": self.learned_epsilon,
            "thresholded": self.thresholded,
            "gamma_initializer": initializers.serialize(self.gamma_initializer),
            "beta_initializer": initializers.serialize(self.beta_initializer),
            "tau_initializer": initializers.serialize(self.tau_initializer),
        }
