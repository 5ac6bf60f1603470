"""Dense layer with trained noise (NoisyNet)."""

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import activations, initializers, ops

from keras_strategies._internal import bases, checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Activation, Config, Shape, Tensor


def scaled_noise(noise: Tensor) -> Tensor:
    """Returns `sign(x) * sqrt(abs(x))`, the factors of factorised noise."""
    return ops.sign(noise) * ops.sqrt(ops.abs(noise))


@serializable
class NoisyDense(bases.Layer):
    """`Dense` with trained noise on its weights, for exploration.

    In reinforcement learning it replaces an epsilon schedule: the noise is the same for
    a whole batch of states, so that an agent explores consistently, and its strength is
    trained. Call the network with `training=True` to explore.

    ```
    training:   kernel = mu + sigma * e,  bias = mu_b + sigma_b * e_b
    inference:  kernel = mu,              bias = mu_b
    factorised: e = f(a) f(b)^T, e_b = f(b),  f(x) = sign(x) * sqrt(abs(x))
    ```

    with `a` and `b` standard normal numbers, drawn at each call for each input and each
    unit; if not factorised, `e` is drawn for each weight. Initially the means are
    uniform in `+-1 / sqrt(inputs)` (`+-sqrt(3 / inputs)`), and the strength is
    `sigma / sqrt(inputs)` (0.017), as in the paper.

    Reference:

    - [Fortunato et al., 2018, Noisy Networks for Exploration](
      https://arxiv.org/abs/1706.10295)

    Args:
        units: Number of outputs, at least 1.
        sigma: Initial strength of the factorised noise, at least 0. Defaults to
            `0.5`.
        use_factorised: Whether the noise is factorised, which draws `inputs + units`
            numbers instead of `inputs * units`. Defaults to `True`.
        activation: Activation, or `None`. Defaults to `None`.
        use_bias: Whether there is a bias. Defaults to `True`.
        seed: Integer that makes the noise reproducible, or `None`. Defaults to `None`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        inputs: Tensor of rank 2 or more.
        training: Whether there is noise. Set by Keras in `fit`, `evaluate` and
            `predict`.

    Input shape:
        `(batch, ..., inputs)`.

    Output shape:
        `(batch, ..., units)`.

    Raises:
        ValueError: If an argument is out of range, or if the inputs are unknown.

    Example:

    ```python
    import keras
    from keras_strategies.layers import NoisyDense

    q_network = keras.Sequential(
        [keras.Input((4,)), NoisyDense(64, activation="relu"), NoisyDense(2)]
    )
    ```
    """

    def __init__(
        self,
        units: int,
        sigma: float = 0.5,
        use_factorised: bool = True,
        activation: Activation | None = None,
        use_bias: bool = True,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units: int = checks.integer("units", units, low=1)
        self.sigma: float = checks.real("sigma", sigma, low=0)
        self.use_factorised: bool = checks.boolean("use_factorised", use_factorised)
        self.activation: Callable[..., Any] = activations.get(activation)
        self.use_bias: bool = checks.boolean("use_bias", use_bias)
        self.seed: int | None = checks.integer("seed", seed, optional=True)
        self.seed_generator: keras.random.SeedGenerator = keras.random.SeedGenerator(
            self.seed
        )
        self.supports_masking: bool = True

    def build(self, input_shape: Shape) -> None:
        features = input_shape[-1]
        if features is None:
            checks.fail("The last axis must be known", input_shape=tuple(input_shape))
        # Section 3.2 of the paper: limits and strengths of both kinds of noise.
        limit = math.sqrt((1 if self.use_factorised else 3) / features)
        mean = initializers.RandomUniform(-limit, limit, seed=self.seed)
        strength = self.sigma / math.sqrt(features) if self.use_factorised else 0.017
        deviation = initializers.Constant(strength)
        shape = (features, self.units)
        self.kernel: keras.Variable = self.add_weight(
            name="kernel", shape=shape, initializer=mean
        )
        self.kernel_sigma: keras.Variable = self.add_weight(
            name="kernel_sigma", shape=shape, initializer=deviation
        )
        self.bias = self.bias_sigma = None
        if self.use_bias:
            shape = (self.units,)
            self.bias: keras.Variable | None = self.add_weight(
                name="bias", shape=shape, initializer=mean
            )
            self.bias_sigma: keras.Variable | None = self.add_weight(
                name="bias_sigma", shape=shape, initializer=deviation
            )
        self.built = True

    def _normal(self, *shape: Any) -> Tensor:
        dtype = self.compute_dtype
        return keras.random.normal(shape, dtype=dtype, seed=self.seed_generator)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        kernel, bias = self.kernel, self.bias
        if training:
            features = self.kernel.shape[0]
            if self.use_factorised:
                rows = scaled_noise(self._normal(features))
                columns = scaled_noise(self._normal(self.units))
                # One product of two vectors instead of a number for each weight; the
                # noise of the bias is that of its unit.
                noise = ops.outer(rows, columns)
            else:
                noise = self._normal(features, self.units)
                columns = self._normal(self.units)
            kernel = kernel + self.kernel_sigma * noise
            if self.use_bias:
                bias = bias + self.bias_sigma * columns
        outputs = ops.matmul(inputs, kernel)
        if self.use_bias:
            outputs = outputs + bias
        return self.activation(outputs)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.units)

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "units": self.units,
            "sigma": self.sigma,
            "use_factorised": self.use_factorised,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "seed": self.seed,
        }
