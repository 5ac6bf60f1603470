import keras
from keras import initializers, ops

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies.layers import _axes
from keras_strategies.layers._channel_weights import ChannelWeights


@serializable
class FilterResponseNormalization(ChannelWeights):
    """Normalizes each channel of each sample by its mean square, then thresholds.

    Needs no batch: it trains with one image at a time and does the same at inference,
    without moving averages. Put it after a convolution in place of batch normalization
    *and* ReLU, since the threshold is its activation. The article warms the learning
    rate up with it.

    ```
    nu2    = mean of inputs**2 over the places
    y      = gamma * inputs / sqrt(nu2 + abs(epsilon)) + beta
    output = max(y, tau)
    ```

    `gamma`, `beta` and `tau` have a value for each channel.

    Reference:

    - [Singh & Krishnan, 2020, Filter Response Normalization Layer](
      https://arxiv.org/abs/1911.09737)

    Args:
        epsilon: Added to the mean square, above 0. Defaults to `1e-6`.
        learned_epsilon: Whether a value for each channel is trained on top of
            `epsilon`, for maps of a single place. Defaults to `False`.
        thresholded: Whether the threshold is applied; without it the caller puts an
            activation after the layer. Defaults to `True`.
        gamma_initializer: Initializer of the factors. Defaults to `"ones"`.
        beta_initializer: Initializer of the offsets. Defaults to `"zeros"`.
        tau_initializer: Initializer of the thresholds. Defaults to `"zeros"`.
        axis: Axis of the channels. Defaults to `-1`; `1` for channels first.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Input shape:
        `(batch, ..., channels)` with one place axis or more.

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
        epsilon=1e-6,
        learned_epsilon=False,
        thresholded=True,
        gamma_initializer="ones",
        beta_initializer="zeros",
        tau_initializer="zeros",
        axis=-1,
        **kwargs,
    ):
        super().__init__(axis=axis, **kwargs)
        self.epsilon = checks.real("epsilon", epsilon, low=0, low_open=True)
        self.learned_epsilon = checks.boolean("learned_epsilon", learned_epsilon)
        self.thresholded = checks.boolean("thresholded", thresholded)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_initializer = initializers.get(beta_initializer)
        self.tau_initializer = initializers.get(tau_initializer)

    def build(self, input_shape):
        kind = "FilterResponseNormalization"
        _axes.rank_and_axis(input_shape, self.axis, kind, lowest=3)
        add = self.add_channel_weight
        self.gamma = add(input_shape, "gamma", self.gamma_initializer)
        self.beta = add(input_shape, "beta", self.beta_initializer)
        if self.thresholded:
            self.tau = add(input_shape, "tau", self.tau_initializer)
        if self.learned_epsilon:
            # The start that the article takes for trained ones.
            start = initializers.Constant(1e-4)
            self.epsilon_weight = add(input_shape, "epsilon", start)
        self.built = True

    def call(self, inputs):
        axis = self.axis % len(inputs.shape)
        places = tuple(i for i in range(1, len(inputs.shape)) if i != axis)
        # Squares overflow, and epsilon vanishes, in half precision.
        x = ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
        squares = ops.mean(ops.square(x), axis=places, keepdims=True) + self.epsilon
        if self.learned_epsilon:
            squares = squares + ops.abs(self.along_axis(self.epsilon_weight, x))
        x = x * ops.rsqrt(squares) * self.along_axis(self.gamma, x)
        x = ops.cast(x + self.along_axis(self.beta, x), inputs.dtype)
        if self.thresholded:
            x = ops.maximum(x, self.along_axis(self.tau, x))
        return x

    def get_config(self):
        return {
            **super().get_config(),
            "epsilon": self.epsilon,
            "learned_epsilon": self.learned_epsilon,
            "thresholded": self.thresholded,
            "gamma_initializer": initializers.serialize(self.gamma_initializer),
            "beta_initializer": initializers.serialize(self.beta_initializer),
            "tau_initializer": initializers.serialize(self.tau_initializer),
        }
