"""Random parameters of one image, as Keras draws them, or of a block of images."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_strategies._internal.types import Tensor
from keras_strategies.augmentation._generator.geometry import matrices

# One row of uniform numbers each, so that enabling one operation does not change the
# numbers of the others.
_ROWS = (
    "theta",
    "height",
    "height_sign",
    "width",
    "width_sign",
    "shear",
    "zx",
    "zy",
    "flip_horizontal",
    "flip_vertical",
    "channel_shift",
    "brightness",
    "active",
)


def is_chosen(shift: Any) -> bool:
    """Returns whether a shift range is a set of choices instead of an interval."""
    return isinstance(shift, list | int | np.integer)


def _sample_shift(random: Any, shift: Any, size: int) -> float:
    if not shift:
        return 0
    if is_chosen(shift):
        drawn = random.choice(shift) * random.choice([-1, 1])
    else:
        drawn = random.uniform(-shift, shift)
    return drawn * size if np.max(shift) < 1 else drawn


def draw_image(generator: Any, height: int, width: int, random: Any) -> dict[str, Any]:
    """Draws the parameters of one image, in Keras's order.

    Args:
        generator: The `ImageDataGenerator` with the ranges.
        height: Rows of the image.
        width: Columns of the image.
        random: `numpy.random` or a `numpy.random.RandomState`.

    Returns:
        Dict with the keys that Keras's `get_random_transform` has.
    """
    g, parameters = generator, {"theta": 0, "shear": 0, "zx": 1, "zy": 1}
    if g.rotation_range:
        parameters["theta"] = random.uniform(-g.rotation_range, g.rotation_range)
    down = _sample_shift(random, g.height_shift_range, height)
    right = _sample_shift(random, g.width_shift_range, width)
    # Keras uses the shift of the height for x and that of the width for y.
    parameters["tx"], parameters["ty"] = (
        (down, right) if g.keras_compatible else (right, down)
    )
    if g.shear_range:
        parameters["shear"] = random.uniform(-g.shear_range, g.shear_range)
    if list(g.zoom_range) != [1, 1]:
        parameters["zx"], parameters["zy"] = random.uniform(*g.zoom_range, 2)
    parameters["flip_horizontal"] = bool((random.random() < 0.5) * g.horizontal_flip)
    parameters["flip_vertical"] = bool((random.random() < 0.5) * g.vertical_flip)
    parameters["channel_shift_intensity"] = parameters["brightness"] = None
    if g.channel_shift_range:
        parameters["channel_shift_intensity"] = random.uniform(
            -g.channel_shift_range, g.channel_shift_range
        )
    if g.brightness_range is not None:
        parameters["brightness"] = random.uniform(*g.brightness_range)
    return parameters


@dataclass(frozen=True)
class Draws:
    """Random parameters of the images of a block or a batch.

    Attributes:
        matrices: `(count, 2, 3)`, or `None` without a geometric operation.
        channel_shift: `(count,)` or `None`.
        brightness: `(count,)` or `None`.
        active: `(count,)`, whether an image is transformed.
    """

    matrices: np.ndarray | None
    channel_shift: np.ndarray | None
    brightness: np.ndarray | None
    active: np.ndarray

    def select(self, index: Tensor) -> "Draws":
        """Returns the draws of some of the images, a slice or an index array."""
        fields = (self.matrices, self.channel_shift, self.brightness, self.active)
        return Draws(*(None if f is None else f[index] for f in fields))


def has_geometric_ops(generator: Any) -> bool:
    """Returns whether the generator has any geometric operation."""
    g = generator
    ranges = (g.rotation_range, g.height_shift_range, g.width_shift_range)
    ranges += (g.shear_range, g.horizontal_flip, g.vertical_flip)
    return any(bool(value) for value in ranges) or list(g.zoom_range) != [1, 1]


def _shifts(shift: Any, uniform: np.ndarray, sign: Any, size: int) -> Any:
    if not shift:
        return 0.0
    if is_chosen(shift):
        choices = np.asarray(shift if isinstance(shift, list) else range(shift))
        drawn = choices[(uniform * len(choices)).astype(int)]
        drawn = drawn * np.where(sign < 0.5, -1, 1)
    else:
        drawn = shift * (2 * uniform - 1)
    return drawn * size if np.max(shift) < 1 else drawn


def draw_block(
    generator: Any, random: np.random.Generator, count: int, height: int, width: int
) -> Draws:
    """Returns the `Draws` of `count` images from a `numpy.random.Generator`."""
    g = generator
    u = dict(zip(_ROWS, random.random((len(_ROWS), count)), strict=True))
    active = u["active"] < g.probability
    maps = None
    if has_geometric_ops(g):
        down = _shifts(g.height_shift_range, u["height"], u["height_sign"], height)
        right = _shifts(g.width_shift_range, u["width"], u["width_sign"], width)
        low, high = g.zoom_range
        parameters = {
            "theta": g.rotation_range * (2 * u["theta"] - 1),
            "tx": down if g.keras_compatible else right,
            "ty": right if g.keras_compatible else down,
            "shear": g.shear_range * (2 * u["shear"] - 1),
            "zx": low + (high - low) * u["zx"],
            "zy": low + (high - low) * u["zy"],
            "flip_horizontal": (u["flip_horizontal"] < 0.5) & g.horizontal_flip,
            "flip_vertical": (u["flip_vertical"] < 0.5) & g.vertical_flip,
        }
        maps = matrices(parameters, height, width, g.keras_compatible)
        # Inactive images are copied; their masks and boxes use this identity.
        maps[~active] = ((1, 0, 0), (0, 1, 0))
    shifts = brightness = None
    if g.channel_shift_range:
        shifts = g.channel_shift_range * (2 * u["channel_shift"] - 1)
    if g.brightness_range is not None:
        low, high = g.brightness_range
        brightness = low + (high - low) * u["brightness"]
    return Draws(maps, shifts, brightness, active)
