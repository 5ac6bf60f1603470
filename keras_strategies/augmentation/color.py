"""Colours of image batches as pure functions: one 3x4 matrix an image."""

import math

import keras

# Rec. 601: what red, green and blue add to the brightness that is seen.
LUMA = (0.299, 0.587, 0.114)


def color_matrices(brightness, contrast, saturation, hue, means, ops=keras.ops):
    """Multiplies four changes of colour into `(linear, bias)` for each image.

    A pixel `x` becomes `linear @ x + bias`: brightness is added, contrast stretches
    about the mean of each channel, saturation about the luma of the pixel, and hue
    turns colours about the grey axis, in this order.

    Args:
        brightness: Tensor `(batch,)`, added to every channel.
        contrast: Tensor `(batch,)`; 1 changes nothing.
        saturation: Tensor `(batch,)`; 0 is grey, 1 changes nothing.
        hue: Tensor `(batch,)` of radians; a third of a turn makes red green.
        means: Tensor `(batch, channels)`, the mean of each channel.
        ops: The operations.

    Returns:
        Tensors `(batch, channels, channels)` and `(batch, channels)`.
    """
    channels = means.shape[-1]
    # The mean moves with brightness and stays under contrast.
    bias = means * (1.0 - contrast)[:, None] + brightness[:, None]
    linear = ops.reshape(contrast, (-1, 1, 1)) * ops.eye(channels, dtype="float32")
    if channels == 1:
        return linear, bias
    change = ops.matmul(_turn(hue, ops), saturate(saturation, ops))
    return ops.matmul(change, linear), ops.matmul(change, bias[..., None])[..., 0]


def saturate(amount, ops=keras.ops):
    """Matrices `(batch, 3, 3)` that blend each pixel with its luma."""
    amount = ops.reshape(amount, (-1, 1, 1))
    grey = ops.convert_to_tensor([[LUMA] * 3], dtype="float32")
    return amount * ops.eye(3, dtype="float32") + (1.0 - amount) * grey


def _turn(angle, ops):
    """Rotations `(batch, 3, 3)` about the grey axis (Rodrigues)."""
    cos = ops.reshape(ops.cos(angle), (-1, 1, 1))
    sin = ops.reshape(ops.sin(angle), (-1, 1, 1)) / math.sqrt(3)
    across = [[[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]]
    across = ops.convert_to_tensor(across, dtype="float32")
    return cos * ops.eye(3, dtype="float32") + (1.0 - cos) / 3.0 + sin * across


def apply_matrices(images, linear, bias, ops=keras.ops):
    """`linear @ pixel + bias` for images `(batch, height, width, channels)`."""
    total = bias[:, None, None, :]
    for channel in range(images.shape[-1]):
        # A sum over three channels fuses better than a product of matrices.
        column = linear[:, None, None, :, channel]
        total = total + images[..., channel : channel + 1] * column
    return total


def jitter(images, uniform, ranges, value_range, ops=keras.ops):
    """Turns uniform numbers `(batch, 5)` into matrices and applies them."""
    lower = ops.convert_to_tensor([[r[0] for r in ranges]], dtype="float32")
    width = ops.convert_to_tensor([[r[1] - r[0] for r in ranges]], dtype="float32")
    drawn = lower + width * uniform[:, :4]
    hue = ops.where(uniform[:, 4] < 0.5, -1.0, 1.0) * drawn[:, 3] * math.pi
    pixels = ops.cast(images, "float32")
    linear, bias = color_matrices(
        drawn[:, 0] * (value_range[1] - value_range[0]),
        drawn[:, 1],
        drawn[:, 2],
        hue,
        ops.mean(pixels, axis=(1, 2)),
        ops,
    )
    changed = ops.clip(apply_matrices(pixels, linear, bias, ops), *value_range)
    return ops.cast(changed, images.dtype)
