"""How an image is read between and outside of its pixels."""

import functools
from dataclasses import dataclass

import numpy as np

from keras_strategies._internal.optional import require

# OpenCV warps four channels up to twice as fast as three, and pixels within the image
# up to three times as fast as those outside of it. So images of three channels get a
# fourth one and all get a margin, where there are at least so many pixels: together
# 2.1 times as fast at 224 x 224, the copies included.
_WORTH_COPIES = {1: 32 * 32, 3: 32 * 32, 4: 32 * 32}
_FLOATS_WORTH_COPIES = {**_WORTH_COPIES, 3: 48 * 48}
_MARGIN = 4  # a fourth of the sides
# So much outside of the last pixel counts as on it: rounding of the maps.
_ON_THE_EDGE = 1e-6


@dataclass(frozen=True)
class Resampling:
    """Interpolation and fill of `ImageDataGenerator`.

    Attributes:
        order: 0 for the nearest pixel, 1 for bilinear, 2 to 5 for splines.
        fill_mode: `"nearest"`, `"reflect"`, `"wrap"` or `"constant"`.
        cval: What `"constant"` fills with.
        reaches_out: Whether images are read outside, which flips alone do not.
    """

    order: int = 1
    fill_mode: str = "nearest"
    cval: float = 0.0
    reaches_out: bool = True

    def source_type(self, dtype, moves=True):
        """The type in which images of `dtype` are warped."""
        dtype = np.dtype(dtype)
        if dtype == np.float64 and (self.order > 1 or not moves):
            return dtype
        # A spline overshoots, which whole numbers would cut off.
        whole = self.order < 2 and (
            self.fill_mode != "constant" or self.cval in range(256)
        )
        # OpenCV's exact interpolation is for these two types; it rounds places to
        # 1/32 of a pixel in the others.
        return dtype if dtype == np.uint8 and whole else np.dtype("float32")

    def warper(self, height, width, channels, dtype):
        """Returns `warp(image, matrix, out)` and what to add to its matrices.

        `warp` may have buffers of its own: one function a thread.
        """
        still = np.zeros((2, 3))
        if self.order > 1:
            return functools.partial(_spline, self), still
        import cv2

        border = {"reflect": cv2.BORDER_REFLECT, "wrap": cv2.BORDER_WRAP}
        border = border.get(self.fill_mode, cv2.BORDER_REPLICATE)
        flags = cv2.INTER_LINEAR if self.order else cv2.INTER_NEAREST
        flags |= cv2.WARP_INVERSE_MAP
        size, affine = (width, height), cv2.warpAffine

        def warp(image, matrix, out):
            affine(image, matrix, size, out, flags, border)

        worth = _WORTH_COPIES if dtype == np.uint8 else _FLOATS_WORTH_COPIES
        worth = self.order and height * width >= worth.get(channels, np.inf)
        if worth and border == cv2.BORDER_REPLICATE and self.reaches_out:
            warp, still = _with_margin(warp, (height, width, channels), dtype)
        if worth and channels == 3:
            warp = _with_fourth_channel(warp, (height, width, 4), dtype)
        elif channels not in (1, 3, 4):
            warp = _in_groups(warp)
        if self.fill_mode != "constant":
            return warp, still

        def warp_and_fill(image, matrix, out):
            warp(image, matrix, out)
            where = outside(matrix - still, height, width)
            np.copyto(out, self.cval, "unsafe", where)

        return warp_and_fill, still


def _with_margin(warp, shape, dtype):
    """Repeats the outermost pixels around the image before it is warped."""
    import cv2

    height, width, channels = shape
    down, right = height // _MARGIN, width // _MARGIN
    channels = 4 if channels == 3 else channels
    wide = np.empty((height + 2 * down, width + 2 * right, channels), dtype)
    sides, extend = (down, down, right, right), cv2.copyMakeBorder
    border = cv2.BORDER_REPLICATE

    def warp_with_margin(image, matrix, out):
        extend(image, *sides, border, wide)
        warp(wide, matrix, out)

    return warp_with_margin, np.array([[0, 0, right], [0, 0, down]], float)


def _with_fourth_channel(warp, shape, dtype):
    import cv2

    source, moved = np.empty(shape, dtype), np.empty(shape, dtype)
    widen, narrow, convert = cv2.COLOR_RGB2RGBA, cv2.COLOR_RGBA2RGB, cv2.cvtColor

    def warp_widened(image, matrix, out):
        convert(image, widen, source)
        warp(source, matrix, moved)
        convert(moved, narrow, out)

    return warp_widened


def _in_groups(warp):
    """Warps any number of channels by ones, threes and fours."""

    def warp_groups(image, matrix, out):
        for part in _channel_groups(out.shape[2]):
            source = np.ascontiguousarray(image[..., part])
            moved = np.empty_like(source)
            warp(source, matrix, moved)
            out[..., part] = moved

    return warp_groups


def _channel_groups(count):
    """Slices of 1, 3 or 4 channels, which OpenCV interpolates exactly."""
    first = 0
    while first < count:
        left = count - first
        size = {1: 1, 2: 1, 3: 3, 6: 3}.get(left, 4)
        yield slice(first, first + size)
        first += size


def outside(matrix, height, width):
    """Mask `(height, width, 1)` of the pixels that are read outside of the image.

    Which pixels of a row are inside is one interval, from two inequalities for each
    coordinate, so that no map of the whole image is needed.
    """
    rows = np.arange(height)
    low, high = np.zeros(height), np.full(height, width - 1.0)
    for (slope, along, offset), last in zip(
        matrix, (width - 1, height - 1), strict=True
    ):
        place = along * rows + offset
        if abs(slope) < 1e-9:
            low[(place < -_ON_THE_EDGE) | (place > last + _ON_THE_EDGE)] = width
            continue
        ends = [(-_ON_THE_EDGE - place) / slope, (last + _ON_THE_EDGE - place) / slope]
        ends = ends if slope > 0 else ends[::-1]
        low, high = np.maximum(low, ends[0]), np.minimum(high, ends[1])
    columns = np.arange(width, dtype="float32")
    before = columns < low.astype("float32")[:, None]
    return (before | (columns > high.astype("float32")[:, None]))[..., None]


def _spline(resampling, image, matrix, out):
    """Splines of order 2 to 5, which OpenCV lacks."""
    ndimage = require("scipy.ndimage", "`interpolation_order` above 1")
    mode = "grid-wrap" if resampling.fill_mode == "wrap" else resampling.fill_mode
    for channel in range(image.shape[2]):
        ndimage.affine_transform(
            image[..., channel],
            matrix[::-1, 1::-1],  # rows come before columns
            matrix[::-1, 2],
            output=out[..., channel],
            order=resampling.order,
            mode=mode,
            cval=resampling.cval,
        )
