"""How an image is read between and outside of its pixels."""

import functools
from dataclasses import dataclass

import numpy as np

from keras_strategies._internal.optional import require

# From this many pixels on, four channels are warped so much faster than three that a
# fourth one pays: 1.9 times at 224 x 224, where both ways cost an eighth of it.
_PADDED_PIXELS = 40 * 40
# So much outside of the last pixel counts as on it: rounding of the maps.
_ON_THE_EDGE = 1e-6


@dataclass(frozen=True)
class Resampling:
    """Interpolation and fill of `ImageDataGenerator`.

    Attributes:
        order: 0 for the nearest pixel, 1 for bilinear, 2 to 5 for splines.
        fill_mode: `"nearest"`, `"reflect"`, `"wrap"` or `"constant"`.
        cval: What `"constant"` fills with.
    """

    order: int = 1
    fill_mode: str = "nearest"
    cval: float = 0.0

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

    def warper(self, height, width):
        """Returns `warp(image, matrix, out)` for images `(height, width, channels)`.

        It has buffers of its own: one function a thread.
        """
        if self.order > 1:
            return functools.partial(_spline, self)
        import cv2

        border = {"reflect": cv2.BORDER_REFLECT, "wrap": cv2.BORDER_WRAP}
        border = border.get(self.fill_mode, cv2.BORDER_REPLICATE)
        flags = cv2.INTER_LINEAR if self.order else cv2.INTER_NEAREST
        flags |= cv2.WARP_INVERSE_MAP
        size, affine = (width, height), cv2.warpAffine

        padded = height * width >= _PADDED_PIXELS
        widen, narrow = cv2.COLOR_RGB2RGBA, cv2.COLOR_RGBA2RGB
        buffers = {}

        def warp(image, matrix, out):
            channels = out.shape[2]
            if channels == 3 and padded:
                if out.dtype not in buffers:
                    shape = (height, width, 4)
                    buffers[out.dtype] = [np.empty(shape, out.dtype) for _ in "io"]
                source, moved = buffers[out.dtype]
                cv2.cvtColor(image, widen, source)
                affine(source, matrix, size, moved, flags, border)
                cv2.cvtColor(moved, narrow, out)
                return
            if channels in (1, 3, 4):
                affine(image, matrix, size, out, flags, border)
                return
            for part in _channel_groups(channels):
                source = np.ascontiguousarray(image[..., part])
                done = affine(source, matrix, size, None, flags, border)
                out[..., part] = done.reshape(source.shape)

        if self.fill_mode != "constant":
            return warp

        def warp_and_fill(image, matrix, out):
            warp(image, matrix, out)
            np.copyto(out, self.cval, "unsafe", outside(matrix, height, width))

        return warp_and_fill


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
