"""Convolution with standardized weights."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_strategies._internal import bases, checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor
from keras_strategies._internal.weights.kernel_axes import as_float32


def standardize(kernel: Tensor, epsilon: float) -> Tensor:
    """Gives each filter of a kernel `(..., inputs, filters)` mean 0 and variance 1."""
    axes = tuple(range(len(kernel.shape) - 1))
    precise = as_float32(kernel)
    centered = precise - ops.mean(precise, axis=axes, keepdims=True)
    variance = ops.mean(ops.square(centered), axis=axes, keepdims=True)
    return ops.cast(centered / ops.sqrt(variance + epsilon), kernel.dtype)


@serializable
class WeightStandardizedConv2D(bases.Conv2D):
    """`Conv2D` whose filters are standardized before each use.

    Smooths the loss as batch normalization does, but independently of the batch: with
    `GroupNormalization` after it, networks train with batches of one or two images as
    well as with batch normalization on large ones.

    For each filter `w`, over its positions and input channels:

    ```
    kernel = (w - mean(w)) / sqrt(variance(w) + epsilon)
    ```

    The trained variable stays `w`; the kernel is computed from it at each call.

    Reference:

    - [Qiao et al., 2019, Weight Standardization](https://arxiv.org/abs/1903.10520)

    Args:
        filters: Number of filters.
        kernel_size: Size of the filters, an integer or two.
        strides: Strides of the convolution, an integer or two. Defaults to `(1, 1)`.
        padding: `"valid"` or `"same"`. Defaults to `"valid"`.
        epsilon: Added to the variance of the weights, above 0. Defaults to `1e-5`.
        **kwargs: The other arguments of `keras.layers.Conv2D`.

    Input shape:
        That of `keras.layers.Conv2D`.

    Output shape:
        That of `keras.layers.Conv2D`.

    Raises:
        ValueError: If an argument is out of range.

    Example:

    ```python
    import keras
    from keras_strategies.layers import WeightStandardizedConv2D

    model = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            WeightStandardizedConv2D(8, 3, padding="same", use_bias=False),
            keras.layers.GroupNormalization(4),
            keras.layers.ReLU(),
        ]
    )
    ```
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = (1, 1),
        padding: str = "valid",
        epsilon: float = 1e-5,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            filters, kernel_size, strides=strides, padding=padding, **kwargs
        )
        self.epsilon: float = checks.real("epsilon", epsilon, low=0, low_open=True)

    def convolution_op(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        return super().convolution_op(inputs, standardize(kernel, self.epsilon))

    def get_config(self) -> Config:
        return {**super().get_config(), "epsilon": self.epsilon}
