"""Color transforms of image batches as pure functions: one 3x4 matrix per image."""

import math
from collections.abc import Sequence
from typing import Any

import keras

from keras_strategies._internal.types import Tensor

# Rec. 601: weights of red, green and blue in the perceived brightness.
LUMA = (0.299, 0.587, 0.114)


def color_matrices(
    brightness: Any,
    contrast: Tensor,
    saturation: Tensor,
    hue: Tensor,
    means: Tensor,
    ops: Any = keras.ops,
) -> tuple[Tensor, Tensor]:
    """Multiplies four color transforms to `(linear, bias)` for each image.

    A pixel `x` becomes `linear @ x + bias`: brightness is added, contrast scales around
    the mean of each channel, saturation around the luma of the pixel, and hue rotates
    colors about the gray axis, in this order.

    Args:
        brightness: Tensor `(batch,)`, added to every channel.
        contrast: Tensor `(batch,)`; 1 is the identity.
        saturation: Tensor `(batch,)`; 0 is gray, 1 is the identity.
        hue: Tensor `(batch,)` of radians; a third of a turn maps red to green.
        means: Tensor `(batch, channels)`, the mean of each channel.
        ops: Namespace of operations.

    Returns:
        Tensors `(batch, channels, channels)` and `(batch, channels)`.
    """
    channels = means.shape[-1]
    # Brightness shifts the mean, contrast preserves it.
    bias = means * (1.0 - contrast)[:, None] + brightness[:, None]
    linear = ops.reshape(contrast, (-1, 1, 1)) * ops.eye(channels, dtype="float32")
    if channels == 1:
        return linear, bias
    mix = ops.matmul(_hue_rotation(hue, ops), saturate(saturation, ops))
    return ops.matmul(mix, linear), ops.matmul(mix, bias[..., None])[..., 0]


def saturate(amount: Tensor, ops: Any = keras.ops) -> Tensor:
    """Returns matrices `(batch, 3, 3)` that blend each pixel with its luma."""
    amount = ops.reshape(amount, (-1, 1, 1))
    gray = ops.convert_to_tensor([[LUMA] * 3], dtype="float32")
    return amount * ops.eye(3, dtype="float32") + (1.0 - amount) * gray


def _hue_rotation(angle: Tensor, ops: Any) -> Tensor:
    """Returns rotations `(batch, 3, 3)` about the gray axis (Rodrigues' formula)."""
    cos = ops.reshape(ops.cos(angle), (-1, 1, 1))
    sin = ops.reshape(ops.sin(angle), (-1, 1, 1)) / math.sqrt(3)
    cross = [[[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]]
    cross = ops.convert_to_tensor(cross, dtype="float32")
    return cos * ops.eye(3, dtype="float32") + (1.0 - cos) / 3.0 + sin * cross


def apply_matrices(
    images: Tensor, linear: Tensor, bias: Tensor, ops: Any = keras.ops
) -> Tensor:
    """Returns `linear @ pixel + bias` of images `(batch, height, width, channels)`."""
    total = bias[:, None, None, :]
    for channel in range(images.shape[-1]):
        # XLA fuses a sum over three channels better than a matrix product.
        column = linear[:, None, None, :, channel]
        total = total + images[..., channel : channel + 1] * column
    return total


def jitter(
    images: Tensor,
    uniform: Tensor,
    ranges: Sequence[tuple[float, float]],
    value_range: tuple[float, float],
    ops: Any = keras.ops,
) -> Tensor:
    """Converts uniform numbers `(batch, 5)` to matrices and applies them."""
    lower = ops.convert_to_tensor([[r[0] for r in ranges]], dtype="float32")
    width = ops.convert_to_tensor([[r[1] - r[0] for r in ranges]], dtype="float32")
    factors = lower + width * uniform[:, :4]
    # As RandomColorJitter: a magnitude, then its sign; 1 is half a turn.
    hue = ops.where(uniform[:, 4] < 0.5, -1.0, 1.0) * factors[:, 3] * math.pi
    pixels = ops.cast(images, "float32")
    linear, bias = color_matrices(
        factors[:, 0] * (value_range[1] - value_range[0]),
        factors[:, 1],
        factors[:, 2],
        hue,
        ops.mean(pixels, axis=(1, 2)),
        ops,
    )
    outputs = ops.clip(apply_matrices(pixels, linear, bias, ops), *value_range)
    return ops.cast(outputs, images.dtype)
