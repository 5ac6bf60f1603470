"""The fourteen operations of TrivialAugment as pure functions of batches.

Geometric operations are one affine map per image, color operations one matrix; the
others are computed for the whole batch and selected per image, so that there is no loop
over images. Pixels are in `[0, 255]`, as in the 8-bit operations of the paper.
"""

import math
from typing import Any

import keras

from keras_strategies._internal.types import Tensor
from keras_strategies.augmentation._common.affine_maps import affine_maps, warp
from keras_strategies.augmentation._image.color.color_matrices import (
    LUMA,
    apply_matrices,
    saturate,
)

OPERATIONS = (
    "identity",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "rotate",
    "brightness",
    "color",
    "contrast",
    "sharpness",
    "posterize",
    "solarize",
    "auto_contrast",
    "equalize",
)
SHEAR = 0.99  # columns per row
SHIFT = 32.0  # pixels
TURN = 135 / 360  # fraction of a full turn
STRENGTH = 0.99  # of brightness, color, contrast and sharpness around 1
BITS = 6  # removed from 8 by posterize


def draw(
    uniform: Tensor, bins: int, ops: Any = keras.ops
) -> tuple[Tensor, Tensor, Tensor]:
    """Converts uniform numbers `(batch, 3)` to operation, magnitude and sign."""
    count = float(len(OPERATIONS))
    # `minimum`: a uniform number just below 1 may round up.
    kind = ops.minimum(ops.floor(uniform[:, 0] * count), count - 1.0)
    step = ops.minimum(ops.floor(uniform[:, 1] * bins), bins - 1.0)
    sign = ops.where(uniform[:, 2] < 0.5, -1.0, 1.0)
    return ops.cast(kind, "int32"), step / (bins - 1.0), sign


def _is(kind: Tensor, name: str, ops: Any) -> Tensor:
    """Returns which images have an operation, booleans `(batch,)`."""
    return ops.equal(kind, OPERATIONS.index(name))


def maps(
    draws: Any, height: Any, width: Any, ops: Any = keras.ops
) -> tuple[Tensor, ...]:
    """Returns the map of each image, from output to input positions."""
    kind, magnitude, sign = draws
    amount = magnitude * sign

    def only(name: str, value: Any) -> Tensor:
        return ops.where(_is(kind, name, ops), value, 0.0)

    ones = ops.ones_like(amount)
    rows, columns = ops.cast(height, "float32"), ops.cast(width, "float32")
    parameters = [
        only("rotate", 2 * math.pi * TURN * amount),
        only("translate_y", SHIFT * amount / rows),
        only("translate_x", SHIFT * amount / columns),
        only("shear_x", SHEAR * amount),
        only("shear_y", SHEAR * amount),
    ]
    # Zooms of 1 and flips of 1 are the identity.
    parameters = ops.stack([*parameters, ones, ones, ones, ones], axis=1)
    return affine_maps(parameters, height, width, ops)


def _color_matrices(pixels: Tensor, draws: Any, ops: Any) -> tuple[Tensor, Tensor]:
    """Returns `(linear, bias)` of brightness, color, contrast and auto-contrast."""
    kind, magnitude, sign = draws
    strength = 1.0 + STRENGTH * magnitude * sign
    channels = pixels.shape[-1]
    eye = ops.eye(channels, dtype="float32")[None]
    low, high = ops.min(pixels, axis=(1, 2)), ops.max(pixels, axis=(1, 2))
    has_range = high > low
    stretch = ops.where(has_range, 255.0 / ops.where(has_range, high - low, 1.0), 1.0)
    auto = _is(kind, "auto_contrast", ops)[:, None]
    scaled = ops.logical_or(_is(kind, "brightness", ops), _is(kind, "contrast", ops))
    gain = ops.where(scaled, strength, 1.0)[:, None]
    gain = ops.where(auto, stretch, gain)
    linear = gain[:, :, None] * eye
    # Contrast is around the mean luma, as in PIL, not around the mean of each channel.
    means = ops.mean(pixels, axis=(1, 2))
    if channels == 3:
        color = ops.reshape(_is(kind, "color", ops), (-1, 1, 1))
        linear = ops.where(color, saturate(strength, ops), linear)
        weights = ops.convert_to_tensor([LUMA], dtype="float32")
        means = ops.sum(means * weights, axis=1, keepdims=True)
    offset = (1.0 - strength)[:, None] * means
    bias = ops.where(_is(kind, "contrast", ops)[:, None], offset, ops.zeros_like(low))
    darkest = ops.where(has_range, -low * stretch, 0.0)
    return linear, ops.where(auto, darkest, bias)


def _smooth(pixels: Tensor, ops: Any) -> Tensor:
    """Applies the 3x3 filter of PIL's SMOOTH; the border is not changed."""
    height, width = ops.shape(pixels)[1:3]
    rows = pixels[:, :-2] + pixels[:, 1:-1] + pixels[:, 2:]
    total = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
    inner = (total + 4.0 * pixels[:, 1:-1, 1:-1]) / 13.0
    inner = ops.pad(inner, ((0, 0), (1, 1), (1, 1), (0, 0)))
    row = ops.reshape(ops.arange(height), (1, -1, 1, 1))
    column = ops.reshape(ops.arange(width), (1, 1, -1, 1))
    edge = ops.logical_or(
        ops.logical_or(row == 0, row == height - 1),
        ops.logical_or(column == 0, column == width - 1),
    )
    return ops.where(edge, pixels, inner)


def _equalize(pixels: Tensor, ops: Any) -> Tensor:
    """Equalizes the histogram of each channel, with the rounding of PIL."""
    batch, height, width, channels = ops.shape(pixels)
    level = ops.cast(ops.clip(ops.floor(pixels), 0.0, 255.0), "int32")
    row = ops.reshape(ops.arange(batch * channels, dtype="int32"), (-1, 1, 1, channels))
    # One histogram of 256 cells per image and channel, in a single segment sum.
    cell = row * 256 + level
    flat = ops.reshape(cell, (-1,))
    ones = ops.ones_like(flat, dtype="float32")
    counts = ops.segment_sum(ones, flat, num_segments=batch * channels * 256)
    counts = ops.reshape(counts, (-1, 256))
    # As ImageOps.equalize: pixels of the brightest level are not part of the step.
    levels = ops.arange(256, dtype="int32")[None]
    brightest = ops.max(ops.where(counts > 0.0, levels, -1), axis=1, keepdims=True)
    last = ops.sum(ops.where(levels == brightest, counts, 0.0), axis=1, keepdims=True)
    total = ops.cast(height * width, "float32")
    step = ops.floor((total - last) / 255.0)
    darker = ops.cumsum(counts, axis=1) - counts
    spread = ops.floor((ops.floor(step / 2.0) + darker) / ops.maximum(step, 1.0))
    spread = ops.clip(spread, 0.0, 255.0)
    table = ops.where(step > 0.0, spread, ops.cast(levels, "float32"))
    return ops.take(ops.reshape(table, (-1,)), cell, axis=0)


def transform_colors(pixels: Tensor, draws: Any, ops: Any = keras.ops) -> Tensor:
    """Applies the operations that move no pixel, to float32 pixels in `[0, 255]`."""
    kind, magnitude, sign = draws

    def is_selected(name: str) -> Tensor:
        return ops.reshape(_is(kind, name, ops), (-1, 1, 1, 1))

    linear, bias = _color_matrices(pixels, draws, ops)
    outputs = apply_matrices(pixels, linear, bias, ops)
    strength = ops.reshape(1.0 + STRENGTH * magnitude * sign, (-1, 1, 1, 1))
    smooth = _smooth(pixels, ops)
    sharp = smooth + strength * (pixels - smooth)
    outputs = ops.where(is_selected("sharpness"), sharp, outputs)
    magnitude = ops.reshape(magnitude, (-1, 1, 1, 1))
    unit = ops.power(2.0, ops.round(BITS * magnitude))
    # 1e-3: values that rounding errors moved below an integer belong to its level.
    coarse = unit * ops.floor((pixels + 1e-3) / unit)
    outputs = ops.where(is_selected("posterize"), coarse, outputs)
    above = pixels >= 255.0 * (1.0 - magnitude) - 1e-3
    solar = ops.where(above, 255.0 - pixels, pixels)
    outputs = ops.where(is_selected("solarize"), solar, outputs)
    outputs = ops.where(is_selected("equalize"), _equalize(pixels + 1e-3, ops), outputs)
    return ops.clip(outputs, 0.0, 255.0)


def augment(
    images: Tensor,
    uniform: Tensor,
    bins: int,
    value_range: tuple[float, float],
    interpolation: str,
    fill_value: float,
    ops: Any = keras.ops,
) -> Tensor:
    """Applies one operation of random magnitude to each image."""
    draws = draw(uniform, bins, ops)
    _, height, width, _ = ops.shape(images)
    image_maps = maps(draws, height, width, ops)
    images = warp(images, image_maps, interpolation, "constant", fill_value, ops)
    low, high = value_range
    scale = 255.0 / (high - low)
    pixels = (ops.cast(images, "float32") - low) * scale
    pixels = transform_colors(ops.clip(pixels, 0.0, 255.0), draws, ops)
    return ops.cast(pixels / scale + low, images.dtype)


def transform_masks(
    masks: Tensor, uniform: Tensor, bins: int, ops: Any = keras.ops
) -> Tensor:
    """Returns the masks of the images of `augment`; 0 outside of the image."""
    _, height, width, _ = ops.shape(masks)
    image_maps = maps(draw(uniform, bins, ops), height, width, ops)
    return warp(masks, image_maps, "nearest", "constant", 0.0, ops)
