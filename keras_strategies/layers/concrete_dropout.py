"""Concrete dropout: dropout with a trained rate."""

import math
from typing import Any

import keras
from keras import initializers, ops

from keras_strategies._internal import bases, checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Shape, Tensor

_TINY = 1e-7
_CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)


def concrete_drop(logit: Tensor, u: Tensor, temperature: float) -> Tensor:
    """Returns relaxed Bernoulli samples: near 1 with probability `sigmoid(logit)`."""
    noise = ops.log(u + _TINY) - ops.log(1 - u + _TINY)
    return ops.sigmoid((logit + noise) / temperature)


def entropy_penalty(logit: Tensor) -> Tensor:
    """Returns `p log p + (1 - p) log(1 - p)` of `p = sigmoid(logit)`."""
    # log p = -softplus(-logit) and log(1 - p) = -softplus(logit) do not overflow.
    p = ops.sigmoid(logit)
    return -(p * ops.softplus(-logit) + (1 - p) * ops.softplus(logit))


@serializable
class ConcreteDropout(bases.Wrapper):
    """Dropout on the input of a layer with a trained rate.

    Replaces the search over dropout rates: the rate of each layer is learned from the
    data and decreases with their amount. `predict_with_uncertainty` uses the trained
    rates. A wrapper around `Dense` or a convolution; before a convolution whole
    channels are dropped.

    With `p = sigmoid(logit)`, `u` uniform in `(0, 1)` and the temperature `t`:

    ```
    drop     = sigmoid((log(p / (1 - p)) + log(u / (1 - u))) / t)
    training:  output = layer(inputs * (1 - drop) / (1 - p))
    inference: output = layer(inputs)
    loss    += weight_regularizer * sum(kernel**2) / (1 - p)
             + dropout_regularizer * features * (p log p + (1 - p) log(1 - p))
    ```

    For `N` training samples, a prior length scale `l` and a noise precision `tau` the
    paper uses `weight_regularizer = l**2 / (tau * N)` and
    `dropout_regularizer = 2 / (tau * N)`, with `tau = 1` for classification (half of
    it with a cross-entropy loss).

    Reference:

    - [Gal, Hron & Kendall, 2017, Concrete Dropout](https://arxiv.org/abs/1705.07832)

    Args:
        layer: Layer with a `kernel`, such as `Dense` or `Conv2D`.
        weight_regularizer: Factor of the first term, at least 0. Defaults to `1e-6`.
        dropout_regularizer: Factor of the second term, at least 0. Defaults to `1e-5`.
        rate: Initial drop probability, in `(0, 1)`. Defaults to `0.1`.
        temperature: Temperature of the relaxation, above 0. Defaults to `0.1`.
        seed: Integer that makes the random decisions reproducible, or `None`. Defaults
            to `None`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        inputs: Input of the wrapped layer.
        training: Whether features are dropped. Set by Keras in `fit`, `evaluate` and
            `predict`.

    Input shape:
        That of the wrapped layer, with known features.

    Output shape:
        That of the wrapped layer.

    Raises:
        ValueError: If an argument is out of range, or if the wrapped layer has no
            kernel.

    Example:

    ```python
    import keras
    from keras_strategies.layers import ConcreteDropout

    samples = 1000
    factors = {"weight_regularizer": 1e-2 / samples, "dropout_regularizer": 2 / samples}
    model = keras.Sequential(
        [
            keras.Input((8,)),
            ConcreteDropout(keras.layers.Dense(64, activation="relu"), **factors),
            ConcreteDropout(keras.layers.Dense(1), **factors),
        ]
    )
    ```
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        weight_regularizer: float = 1e-6,
        dropout_regularizer: float = 1e-5,
        rate: float = 0.1,
        temperature: float = 0.1,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        checks.instance("layer", layer, keras.layers.Layer)
        super().__init__(layer, **kwargs)
        self.weight_regularizer: float = checks.real(
            "weight_regularizer", weight_regularizer, low=0
        )
        self.dropout_regularizer: float = checks.real(
            "dropout_regularizer", dropout_regularizer, low=0
        )
        bounds = {"low": 0, "low_open": True}
        self.rate: float = checks.real("rate", rate, high=1, high_open=True, **bounds)
        self.temperature: float = checks.real("temperature", temperature, **bounds)
        self.seed: int | None = checks.integer("seed", seed, optional=True)
        self.seed_generator: keras.random.SeedGenerator = keras.random.SeedGenerator(
            self.seed
        )
        self.supports_masking: bool = True

    def build(self, input_shape: Shape) -> None:
        super().build(input_shape)
        if not isinstance(getattr(self.layer, "kernel", None), keras.Variable):
            checks.fail(
                "The wrapped layer must have a kernel",
                layer=self.layer,
                fix="Wrap Dense, EinsumDense or a convolution.",
            )
        self._features = input_shape[self._feature_axis(len(input_shape))]
        # The logit is trained, not the rate, which would need a constraint to (0, 1).
        start = math.log(self.rate / (1 - self.rate))
        self.logit: keras.Variable = self.add_weight(
            name="logit",
            shape=(),
            initializer=initializers.Constant(start),
            # Not by `add_loss` in `call`, whose tensor remains after a traced step.
            regularizer=self._penalty,
            autocast=False,
        )
        self.built = True

    def _feature_axis(self, rank: int) -> int:
        data_format = getattr(self.layer, "data_format", None)
        return 1 if data_format == "channels_first" else rank - 1

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        rank = len(inputs.shape)
        if training:
            shape = list(ops.shape(inputs))
            if isinstance(self.layer, _CONVOLUTIONS):
                # One decision for a whole channel: neighbouring pixels are correlated.
                for axis in set(range(1, rank)) - {self._feature_axis(rank)}:
                    shape[axis] = 1
            u = keras.random.uniform(shape, dtype="float32", seed=self.seed_generator)
            logit = ops.cast(self.logit, "float32")
            drop = concrete_drop(logit, u, self.temperature)
            scale = (1 - drop) * (1 + ops.exp(logit))  # 1 / (1 - p) = 1 + exp(logit)
            inputs = inputs * ops.cast(scale, inputs.dtype)
        return self.layer(inputs)

    def _penalty(self, logit: Tensor) -> Tensor:
        logit = ops.cast(logit, "float32")
        kernel = ops.cast(self.layer.kernel, "float32")
        weights = ops.sum(ops.square(kernel)) * (1 + ops.exp(logit))
        return (
            self.weight_regularizer * weights
            + self.dropout_regularizer * self._features * entropy_penalty(logit)
        )

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return self.layer.compute_output_shape(input_shape)

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "weight_regularizer": self.weight_regularizer,
            "dropout_regularizer": self.dropout_regularizer,
            "rate": self.rate,
            "temperature": self.temperature,
            "seed": self.seed,
        }
