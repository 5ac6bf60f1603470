"""Affine maps of batches in NumPy: all operations of an image in one matrix."""

from collections.abc import Mapping
from typing import Any

import numpy as np

GEOMETRIC = (
    "theta",  # degrees, positive turns counter-clockwise
    "tx",  # pixels, positive moves the image to the left
    "ty",  # pixels, positive moves the image up
    "shear",  # degrees
    "zx",  # above 1 zooms out
    "zy",
    "flip_horizontal",
    "flip_vertical",
)
NEUTRAL = dict.fromkeys(GEOMETRIC, 0.0) | {"zx": 1.0, "zy": 1.0}


def matrices(
    parameters: Mapping[str, Any],
    height: int,
    width: int,
    keras_compatible: bool = False,
) -> np.ndarray:
    """Returns the maps from output to input pixels of `count` images.

    Rotation @ shift @ shear @ zoom about the center of the image, and then the flips:
    output(x, y) is read at `matrix @ (x, y, 1)` of the input.

    Args:
        parameters: Dict with arrays `(count,)` or numbers under names of `GEOMETRIC`.
        height: Rows of the image.
        width: Columns of the image.
        keras_compatible: Whether to rotate about (height / 2, width / 2) as x and y, as
            Keras does, which is the center of square images only.

    Returns:
        Array `(count, 2, 3)` of float64.
    """
    values = {**NEUTRAL, **parameters}
    columns = [np.atleast_1d(np.asarray(values[name], float)) for name in GEOMETRIC]
    theta, tx, ty, shear, zx, zy, flip_x, flip_y = np.broadcast_arrays(*columns)
    theta, shear = np.deg2rad(theta), np.deg2rad(shear)
    cos, sin = np.cos(theta), np.sin(theta)
    # Keras's shear is no pure one: it also shortens the other axis by the cosine.
    shear_y, shear_x = np.cos(shear), -np.sin(shear)
    maps = np.empty((len(theta), 2, 3))
    # The product of the linear parts, written out: no loop over images.
    maps[:, 0, 0] = cos * zx
    maps[:, 0, 1] = (cos * shear_x - sin * shear_y) * zy
    maps[:, 1, 0] = sin * zx
    maps[:, 1, 1] = (sin * shear_x + cos * shear_y) * zy
    cx, cy = (width - 1) / 2, (height - 1) / 2
    if keras_compatible:
        cx, cy = cy, cx
    maps[:, 0, 2] = cos * tx - sin * ty + cx
    maps[:, 1, 2] = sin * tx + cos * ty + cy
    # Translations that make the center the fixed point.
    maps[:, :, 2] -= maps[:, :, 0] * cx + maps[:, :, 1] * cy
    for axis, flip, last in ((0, flip_x, width - 1), (1, flip_y, height - 1)):
        # A flip reads at `last - x` instead of `x`.
        maps[:, :, 2] += maps[:, :, axis] * (last * flip)[:, None]
        maps[:, :, axis] *= 1 - 2 * flip[:, None]
    return maps
