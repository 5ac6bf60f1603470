"""Stochastic depth (DropPath)."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_strategies._internal import bases, checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Shape, Tensor, Tensors


def drop_samples(x: Tensor, keep: Tensor, rate: float) -> Tensor:
    """Zeroes dropped samples of `x` and scales the others by `1 / (1 - rate)`.

    Args:
        x: Tensor of shape `(batch, ...)`.
        keep: Boolean tensor of shape `(batch,)`.
        rate: The drop probability, in `[0, 1)`.
    """
    keep = ops.reshape(keep, (-1,) + (1,) * (len(x.shape) - 1))
    # `where`, not a product: a dropped branch that overflowed must leave no NaN.
    return ops.where(keep, x * ops.cast(1.0 / (1.0 - rate), x.dtype), 0)


def stochastic_depth_rates(depth: int, rate: float) -> list[float]:
    """Returns drop rates of the blocks of a network that increase with depth.

    Early blocks extract the features that all later ones use, so they are dropped less:
    the first block never, the last one with the full rate, linearly in between.

    ```
    rates[i] = rate * i / (depth - 1),  i = 0 ... depth - 1
    ```

    A single block gets `rate` itself. Huang et al. count the input as block 0, which
    gives `rate * i / depth` for `i = 1 ... depth`; vision transformers and EfficientNet
    use the rule above.

    Reference:

    - [Huang et al., 2016, Deep Networks with Stochastic Depth](
      https://arxiv.org/abs/1603.09382)

    Args:
        depth: Number of residual blocks, at least 1.
        rate: Drop probability of the last block, in `[0, 1)`.

    Returns:
        A list of `depth` floats.

    Raises:
        ValueError: If an argument is out of range.

    Example:

    ```python
    import keras
    from keras_strategies.layers import StochasticDepth, stochastic_depth_rates

    x = inputs = keras.Input((16,))
    for rate in stochastic_depth_rates(4, 0.3):
        x = StochasticDepth(rate)([x, keras.layers.Dense(16, "relu")(x)])
    model = keras.Model(inputs, x)
    ```
    """
    depth = checks.integer("depth", depth, low=1)
    rate = checks.real("rate", rate, low=0, high=1, high_open=True)
    if depth == 1:
        return [rate]
    return [rate * block / (depth - 1) for block in range(depth)]


@serializable
class StochasticDepth(bases.Layer):
    """Drops the residual branch of a block at random, independently per sample.

    Used at the end of a residual branch. In training some samples bypass the branch
    through the shortcut, which regularizes deep residual networks and vision
    transformers and shortens the path of the gradient. At inference the layer is the
    identity, so it costs nothing and disappears from an exported model. Also known as
    *DropPath*.

    For each sample, with the drop probability `rate`:

    ```
    training:   output = shortcut + keep / (1 - rate) * residual
    inference:  output = shortcut + residual
    ```

    where `keep` is 1 with probability `1 - rate` and 0 otherwise. The scaling in
    training makes the expected output the same in both. Deep networks usually increase
    `rate` linearly from 0 in the first block to its final value (0.1 to 0.5) in the
    last: `stochastic_depth_rates`.

    For implementations with a survival probability `p`, `rate` is `1 - p`. Those that
    scale by `p` at inference differ from this layer by that factor only.

    Reference:

    - [Huang et al., 2016, Deep Networks with Stochastic Depth](
      https://arxiv.org/abs/1603.09382)

    Args:
        rate: Probability of dropping the branch of a sample, in `[0, 1)`.
            Defaults to `0.5`.
        seed: Integer that makes the random decisions reproducible, or `None`.
            Defaults to `None`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        inputs: The residual branch, or a list `[shortcut, residual]` of two
            tensors of one shape, which are then added.
        training: Whether to drop branches. Set by Keras in `fit`, `evaluate`
            and `predict`.

    Input shape:
        `(batch, ...)` of any rank, once or in a list of two.

    Output shape:
        The shape of one input.

    Raises:
        ValueError: If `rate` is outside `[0, 1)`, or if a list is not of two tensors of
            the same shape.

    Example:

    ```python
    import keras
    from keras_strategies.layers import StochasticDepth

    inputs = keras.Input((8, 8, 16))
    residual = keras.layers.Conv2D(16, 3, padding="same")(inputs)
    outputs = StochasticDepth(0.2)([inputs, residual])
    # The same, written with a single input:
    outputs = keras.layers.Add()([inputs, StochasticDepth(0.2)(residual)])
    model = keras.Model(inputs, outputs)
    ```
    """

    def __init__(
        self, rate: float = 0.5, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.rate: float = checks.real(
            "rate",
            rate,
            low=0,
            high=1,
            high_open=True,
            fix="It is the probability of dropping: 1 - survival probability.",
        )
        self.seed: int | None = checks.integer("seed", seed, optional=True)
        self.seed_generator: keras.random.SeedGenerator = keras.random.SeedGenerator(
            self.seed
        )
        self.supports_masking: bool = True

    def build(self, input_shape: Any) -> None:
        self.compute_output_shape(input_shape)
        self.built = True

    def call(self, inputs: Tensors, training: bool = False) -> Tensor:
        shortcut, residual = None, inputs
        if isinstance(inputs, list | tuple):
            shortcut, residual = inputs
        if training and self.rate > 0:
            batch = ops.shape(residual)[:1]
            # Drawn in float32: half precision has too few values below `rate`.
            uniform = keras.random.uniform(
                batch, dtype="float32", seed=self.seed_generator
            )
            residual = drop_samples(residual, uniform >= self.rate, self.rate)
        return residual if shortcut is None else shortcut + residual

    def compute_mask(self, inputs: Tensors, mask: Any = None) -> Tensor | None:
        if not isinstance(inputs, list | tuple):
            return mask
        # As in `keras.layers.Add`: a step is valid if it is in either input.
        if mask is None or any(m is None for m in mask):
            return None
        return ops.logical_or(*mask)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        shapes = _shapes(input_shape)
        if shapes is None:
            return input_shape
        if not _is_pair(shapes):
            checks.fail(
                "A list input must be [shortcut, residual], two tensors of one shape",
                input_shape=input_shape,
                fix="Project the shortcut to the shape of the residual first.",
            )
        # A size that is unknown in one input may be known in the other.
        return tuple(b if a is None else a for a, b in zip(*shapes, strict=True))

    def get_config(self) -> Config:
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


def _is_pair(shapes: Sequence[Shape]) -> bool:
    if len(shapes) != 2 or len(shapes[0]) != len(shapes[1]):
        return False
    pairs = zip(*shapes, strict=True)
    return all(a == b or a is None or b is None for a, b in pairs)


def _shapes(input_shape: Any) -> list[Shape] | None:
    """Returns the shapes of a list input, or `None` for a single tensor."""
    if input_shape and isinstance(input_shape[0], list | tuple):
        return [tuple(shape) for shape in input_shape]
    return None
