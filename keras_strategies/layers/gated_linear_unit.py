"""Gated linear units."""

from collections.abc import Callable
from typing import Any

import keras
from keras import activations

from keras_strategies._internal import bases, checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import (
    Activation,
    Config,
    Initializer,
    Shape,
    Tensor,
)


@serializable
class GatedLinearUnit(bases.Layer):
    """Dense layer whose outputs are multiplied by those of a gate.

    Replaces the first dense layer and its activation, in particular in the feed-forward
    network of a transformer: with `activation="silu"` it is SwiGLU, with `"gelu"`
    GEGLU, with `"relu"` ReGLU. Two thirds of the units give the same number of weights.
    (`keras.activations.glu` only splits an input in two.)

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
        units: int,
        activation: Activation = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Initializer = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units: int = checks.integer("units", units, low=1)
        self.activation: Callable[..., Any] = activations.get(activation)
        self.use_bias: bool = checks.boolean("use_bias", use_bias)
        self.kernel_initializer: keras.initializers.Initializer = (
            keras.initializers.get(kernel_initializer)
        )
        self.supports_masking: bool = True

    def build(self, input_shape: Shape) -> None:
        config = keras.initializers.serialize(self.kernel_initializer)
        for name in ("value", "gate"):
            dense = keras.layers.Dense(
                self.units,
                self.activation if name == "gate" else None,
                use_bias=self.use_bias,
                # One copy each: a shared initializer with a seed would make both equal.
                kernel_initializer=keras.initializers.get(config),
                name=name,
                dtype=self.dtype_policy,
            )
            dense.build(input_shape)
            setattr(self, name, dense)
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        return self.value(inputs) * self.gate(inputs)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.units)

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
