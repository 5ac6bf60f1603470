import keras
from keras import activations

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable


@serializable
class GatedLinearUnit(keras.layers.Layer):
    """Two dense layers, one of which opens and closes the other.

    Takes the place of the first dense layer and its activation, above all in the
    feed-forward part of a transformer: with `activation="silu"` it is SwiGLU, with
    `"gelu"` GEGLU, with `"relu"` ReGLU. For the same number of weights take two thirds
    of the units. (`keras.activations.glu` only splits an input in two.)

    ```
    output = (x W + b) * activation(x V + c)
    ```

    Reference:

    - [Dauphin et al., 2017, Language Modeling with Gated Convolutional Networks](
      https://arxiv.org/abs/1612.08083)
    - [Shazeer, 2020, GLU Variants Improve Transformer](
      https://arxiv.org/abs/2002.05202)

    Args:
        units: Number of outputs, at least 1.
        activation: Activation of the gate. Defaults to `"sigmoid"`.
        use_bias: Whether both parts have a bias. Defaults to `True`.
        kernel_initializer: Initializer of both kernels. Defaults to
            `"glorot_uniform"`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Input shape:
        `(batch, ..., inputs)`.

    Output shape:
        `(batch, ..., units)`.

    Raises:
        ValueError: If `units` is less than 1.

    Example:

    ```python
    import keras
    from keras_strategies.layers import GatedLinearUnit

    model = keras.Sequential(
        [
            keras.Input((10, 32)),
            GatedLinearUnit(64, activation="silu"),
            keras.layers.Dense(32),
        ]
    )
    ```
    """

    def __init__(
        self,
        units,
        activation="sigmoid",
        use_bias=True,
        kernel_initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = checks.integer("units", units, low=1)
        self.activation = activations.get(activation)
        self.use_bias = checks.boolean("use_bias", use_bias)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.supports_masking = True

    def build(self, input_shape):
        config = keras.initializers.serialize(self.kernel_initializer)
        for name in ("value", "gate"):
            dense = keras.layers.Dense(
                self.units,
                self.activation if name == "gate" else None,
                use_bias=self.use_bias,
                # A copy each: one initializer with a seed would make both the same.
                kernel_initializer=keras.initializers.get(config),
                name=name,
                dtype=self.dtype_policy,
            )
            dense.build(input_shape)
            setattr(self, name, dense)
        self.built = True

    def call(self, inputs):
        return self.value(inputs) * self.gate(inputs)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
