"""Interpolation between pixels and extension outside of the image."""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_strategies._internal.optional import require
from keras_strategies._internal.types import Tensor

# OpenCV warps four channels up to twice as fast as three, and pixels inside of the
# image up to three times as fast as those outside of it. Images with at least this
# number of pixels, by their channels, are therefore copied to four channels and with a
# margin: together 2.1 times as fast at 224 x 224, including the copies.
_MIN_PIXELS_TO_COPY = {1: 32 * 32, 3: 32 * 32, 4: 32 * 32}
_MIN_FLOAT_PIXELS_TO_COPY = {**_MIN_PIXELS_TO_COPY, 3: 48 * 48}
_MARGIN = 4  # a fourth of the sides
# Tolerance at the last pixel for rounding errors of the maps.
_EDGE_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Resampling:
    """Interpolation and fill of `ImageDataGenerator`.

    Attributes:
        order: 0 for the nearest pixel, 1 for bilinear, 2 to 5 for splines.
        fill_mode: `"nearest"`, `"reflect"`, `"wrap"` or `"constant"`.
        cval: Value outside of the image for `"constant"`.
        reads_outside: Whether positions outside are read; flips alone read none.
    """

    order: int = 1
    fill_mode: str = "nearest"
    cval: float = 0.0
    reads_outside: bool = True

    def source_type(self, dtype: Any, is_warped: bool = True) -> np.dtype:
        """Returns the type in which images of `dtype` are warped."""
        dtype = np.dtype(dtype)
        if dtype == np.float64 and (self.order > 1 or not is_warped):
            return dtype
        # Splines overshoot, which integers would clip.
        fits_uint8 = self.order < 2 and (
            self.fill_mode != "constant" or self.cval in range(256)
        )
        # OpenCV interpolates these two types exactly; for others it rounds positions
        # to 1/32 of a pixel.
        return dtype if dtype == np.uint8 and fits_uint8 else np.dtype("float32")

    def warper(
        self, height: int, width: int, channels: int, dtype: Any
    ) -> tuple[Callable[..., Any], Any]:
        """Returns `warp(image, matrix, out)` and an offset to add to its matrices.

        `warp` may have buffers: use one function per thread.
        """
        offset = np.zeros((2, 3))
        if self.order > 1:
            return functools.partial(_spline, self), offset
        import cv2

        border = {"reflect": cv2.BORDER_REFLECT, "wrap": cv2.BORDER_WRAP}
        border = border.get(self.fill_mode, cv2.BORDER_REPLICATE)
        flags = cv2.INTER_LINEAR if self.order else cv2.INTER_NEAREST
        flags |= cv2.WARP_INVERSE_MAP
        size, affine = (width, height), cv2.warpAffine

        def warp(image: Any, matrix: np.ndarray, out: np.ndarray) -> Tensor:
            affine(image, matrix, size, out, flags, border)

        min_pixels = (
            _MIN_PIXELS_TO_COPY if dtype == np.uint8 else _MIN_FLOAT_PIXELS_TO_COPY
        )
        copies = self.order and height * width >= min_pixels.get(channels, np.inf)
        if copies and border == cv2.BORDER_REPLICATE and self.reads_outside:
            warp, offset = _with_margin(warp, (height, width, channels), dtype)
        if copies and channels == 3:
            warp = _with_fourth_channel(warp, (height, width, 4), dtype)
        elif channels not in (1, 3, 4):
            warp = _in_groups(warp)
        if self.fill_mode != "constant":
            return warp, offset

        def warp_and_fill(image: Any, matrix: np.ndarray, out: np.ndarray) -> None:
            warp(image, matrix, out)
            mask = outside(matrix - offset, height, width)
            np.copyto(out, self.cval, "unsafe", mask)

        return warp_and_fill, offset


def _with_margin(
    warp: Callable[..., Any], shape: Any, dtype: Any
) -> tuple[Callable[..., Any], Any]:
    """Returns a warp that first extends the image by its border pixels."""
    import cv2

    height, width, channels = shape
    down, right = height // _MARGIN, width // _MARGIN
    channels = 4 if channels == 3 else channels
    extended = np.empty((height + 2 * down, width + 2 * right, channels), dtype)
    sides, extend = (down, down, right, right), cv2.copyMakeBorder
    border = cv2.BORDER_REPLICATE

    def warp_with_margin(image: Any, matrix: np.ndarray, out: np.ndarray) -> None:
        extend(image, *sides, border, extended)
        warp(extended, matrix, out)

    return warp_with_margin, np.array([[0, 0, right], [0, 0, down]], float)


def _with_fourth_channel(
    warp: Callable[..., Any], shape: Any, dtype: Any
) -> Callable[..., Any]:
    """Returns a warp of three channels that warps four."""
    import cv2

    source, warped = np.empty(shape, dtype), np.empty(shape, dtype)
    widen, narrow, convert = cv2.COLOR_RGB2RGBA, cv2.COLOR_RGBA2RGB, cv2.cvtColor

    def warp_widened(image: Any, matrix: np.ndarray, out: np.ndarray) -> None:
        convert(image, widen, source)
        warp(source, matrix, warped)
        convert(warped, narrow, out)

    return warp_widened


def _in_groups(warp: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a warp of any number of channels, by groups of 1, 3 and 4."""

    def warp_groups(image: Any, matrix: np.ndarray, out: np.ndarray) -> None:
        for group in _channel_groups(out.shape[2]):
            source = np.ascontiguousarray(image[..., group])
            warped = np.empty_like(source)
            warp(source, matrix, warped)
            out[..., group] = warped

    return warp_groups


def _channel_groups(count: int) -> Iterator[slice]:
    """Yields slices of 1, 3 or 4 channels, which OpenCV interpolates exactly."""
    first = 0
    while first < count:
        remaining = count - first
        size = {1: 1, 2: 1, 3: 3, 6: 3}.get(remaining, 4)
        yield slice(first, first + size)
        first += size


def outside(matrix: np.ndarray, height: int, width: int) -> np.ndarray:
    """Returns a mask `(height, width, 1)` of the pixels read outside of the image.

    The pixels of a row inside of the image are an interval, from two inequalities for
    each coordinate, so that no map of the whole image is needed.
    """
    rows = np.arange(height)
    low, high = np.zeros(height), np.full(height, width - 1.0)
    for (slope, row_slope, offset), last in zip(
        matrix, (width - 1, height - 1), strict=True
    ):
        start = row_slope * rows + offset
        # The coordinate does not change along the row: all of it is inside or nothing.
        if abs(slope) < 1e-9:
            low[(start < -_EDGE_TOLERANCE) | (start > last + _EDGE_TOLERANCE)] = width
            continue
        ends = [
            (-_EDGE_TOLERANCE - start) / slope,
            (last + _EDGE_TOLERANCE - start) / slope,
        ]
        ends = ends if slope > 0 else ends[::-1]
        low, high = np.maximum(low, ends[0]), np.minimum(high, ends[1])
    columns = np.arange(width, dtype="float32")
    is_before = columns < low.astype("float32")[:, None]
    return (is_before | (columns > high.astype("float32")[:, None]))[..., None]


def _spline(
    resampling: Resampling, image: Any, matrix: np.ndarray, out: np.ndarray
) -> None:
    """Interpolates by splines of order 2 to 5, which OpenCV does not have."""
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
