"""Positions in distorted images, from output to input and back.

The functions take positions `x, y` `(batch, m)`, 0 at the edges of the image, random
numbers `(batch, n)`, the height and width, and settings.
"""

from typing import Any

import keras

from keras_strategies._internal.types import Tensor

_NEWTON_STEPS = 8


def _coefficient(numbers: Tensor, bounds: tuple[float, float]) -> Tensor:
    return bounds[0] + (bounds[1] - bounds[0]) * numbers[:, :1]


def lens_source(
    x: Tensor,
    y: Tensor,
    numbers: Tensor,
    height: Any,
    width: Any,
    bounds: tuple[float, float],
    ops: Any = keras.ops,
) -> tuple[Tensor, Tensor]:
    """Radial distortion of a lens: `r -> r (1 + k r^2 + k r^4)` about the center."""
    k = _coefficient(numbers, bounds)
    height, width = ops.cast(height, "float32"), ops.cast(width, "float32")
    u, v = x / width - 0.5, y / height - 0.5
    squared = u * u + v * v
    scale = 1.0 + k * squared + k * squared * squared
    return (u * scale + 0.5) * width, (v * scale + 0.5) * height


def lens_target(
    x: Tensor,
    y: Tensor,
    numbers: Tensor,
    height: Any,
    width: Any,
    bounds: tuple[float, float],
    ops: Any = keras.ops,
) -> tuple[Tensor, Tensor]:
    """Inverse of `lens_source`, by Newton's method for the radius."""
    k = _coefficient(numbers, bounds)
    height, width = ops.cast(height, "float32"), ops.cast(width, "float32")
    u, v = x / width - 0.5, y / height - 0.5
    given = ops.sqrt(u * u + v * v)
    # With k < 0 radii grow only to the root of 1 + 3 k s + 5 k s^2, s = r^2. What would
    # lie beyond has no place in the output: the end is outside of the image.
    negative = ops.minimum(k, -1e-4)
    end = ops.sqrt((ops.sqrt(9.0 - 20.0 / negative) - 3.0) / 10.0)
    end = ops.where(k < 0.0, end, 1e3)
    radius = ops.minimum(given, end)
    for _ in range(_NEWTON_STEPS):
        s = radius * radius
        value = radius * (1.0 + k * s + k * s * s) - given
        slope = ops.maximum(1.0 + 3.0 * k * s + 5.0 * k * s * s, 1e-3)
        radius = ops.clip(radius - value / slope, 0.0, end)
    scale = radius / ops.maximum(given, 1e-9)
    return (u * scale + 0.5) * width, (v * scale + 0.5) * height


def _knots(uniform: Tensor, size: Any, factor: float, ops: Any) -> Tensor:
    """Returns where the lines of the grid are in the input, `(batch, cells)`.

    Without the first one, at 0.
    """
    lengths = 1.0 + factor * (2.0 * uniform - 1.0)
    ends = ops.cumsum(lengths, axis=1)
    return ends / ends[:, -1:] * ops.cast(size, "float32")


def _piecewise(positions: Tensor, ends: Tensor, values: Tensor, ops: Any) -> Tensor:
    """Returns the piecewise linear function from 0 that is `values` at `ends`."""
    zeros = ops.zeros_like(ends[:, :1])
    starts = ops.concatenate([zeros, ends[:, :-1]], axis=1)
    rises = values - ops.concatenate([zeros, values[:, :-1]], axis=1)
    result = positions * 0.0
    for i in range(ends.shape[1]):
        start, length = starts[:, i : i + 1], (ends - starts)[:, i : i + 1]
        passed = (positions - start) / length
        # The outer pieces go on outside of the image.
        passed = passed if i == 0 else ops.maximum(passed, 0.0)
        passed = passed if i == ends.shape[1] - 1 else ops.minimum(passed, 1.0)
        result = result + passed * rises[:, i : i + 1]
    return result


def _grid(
    x: Tensor,
    y: Tensor,
    numbers: Tensor,
    sizes: tuple[Any, Any],
    cells: int,
    factor: float,
    inverse: bool,
    ops: Any,
) -> tuple[Tensor, Tensor]:
    moved = []
    for positions, size, uniform in (
        (x, sizes[1], numbers[:, :cells]),
        (y, sizes[0], numbers[:, cells:]),
    ):
        uneven = _knots(uniform, size, factor, ops)
        even = _knots(ops.zeros_like(uniform), size, 0.0, ops)
        pair = (uneven, even) if inverse else (even, uneven)
        moved.append(_piecewise(positions, *pair, ops))
    return moved[0], moved[1]


def grid_source(
    x: Tensor,
    y: Tensor,
    numbers: Tensor,
    height: Any,
    width: Any,
    cells: int,
    factor: float,
    ops: Any = keras.ops,
) -> tuple[Tensor, Tensor]:
    """Even columns and rows of a grid from uneven ones."""
    return _grid(x, y, numbers, (height, width), cells, factor, False, ops)


def grid_target(
    x: Tensor,
    y: Tensor,
    numbers: Tensor,
    height: Any,
    width: Any,
    cells: int,
    factor: float,
    ops: Any = keras.ops,
) -> tuple[Tensor, Tensor]:
    """Inverse of `grid_source`."""
    return _grid(x, y, numbers, (height, width), cells, factor, True, ops)


def crop_source(
    x: Tensor,
    y: Tensor,
    numbers: Tensor,
    height: Any,
    width: Any,
    ops: Any = keras.ops,
) -> tuple[Tensor, Tensor]:
    """From the whole output to windows `(left, top, right, bottom)`, as fractions."""
    left, top, right, bottom = (numbers[:, i : i + 1] for i in range(4))
    height, width = ops.cast(height, "float32"), ops.cast(width, "float32")
    return left * width + x * (right - left), top * height + y * (bottom - top)


def crop_target(
    x: Tensor,
    y: Tensor,
    numbers: Tensor,
    height: Any,
    width: Any,
    ops: Any = keras.ops,
) -> tuple[Tensor, Tensor]:
    """Inverse of `crop_source`."""
    left, top, right, bottom = (numbers[:, i : i + 1] for i in range(4))
    height, width = ops.cast(height, "float32"), ops.cast(width, "float32")
    return (x - left * width) / (right - left), (y - top * height) / (bottom - top)
