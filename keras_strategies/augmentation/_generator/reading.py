"""Image files as arrays: decoding, color conversion and resizing."""

import io
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_strategies._internal import checks
from keras_strategies.augmentation._generator.tiff import has_wide_samples

FORMATS = ("png", "jpg", "jpeg", "bmp", "ppm", "tif", "tiff")
CHANNELS = {"grayscale": 1, "rgb": 3, "rgba": 4}
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "hamming", "box", "lanczos")
_END_OF_JPEG, _END_OF_PNG = b"\xff\xd9", b"IEND"


def jpeg_layout(data: bytes) -> tuple[int, int, int] | None:
    """Returns `(height, width, start of the first scan)` of a JPEG, or `None`."""
    if data[:2] != b"\xff\xd8":
        return None
    # A JPEG is a sequence of segments: marker, then length, then content.
    position, size = 2, None
    while position + 9 < len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # padding
            position += 1
            continue
        if marker == 0xDA:  # start of scan
            return None if size is None else (*size, position)
        # Start of frame: all but Huffman tables, extensions and arithmetic coding.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            size = tuple(
                int.from_bytes(data[position + i : position + i + 2], "big")
                for i in (5, 7)
            )
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return None


@dataclass(frozen=True)
class Reader:
    """Reads a file as an image `(height, width, channels)`.

    Attributes:
        target_size: `(height, width)`.
        color_mode: `"grayscale"`, `"rgb"` or `"rgba"`.
        interpolation: One of `INTERPOLATIONS`. `"nearest"` reads the same pixels
            as Pillow; the others average over the area when they downsample.
        keep_aspect_ratio: Whether to crop the center in the target's proportions.
    """

    target_size: tuple
    color_mode: str = "rgb"
    interpolation: str = "nearest"
    keep_aspect_ratio: bool = False

    def __post_init__(self) -> None:
        size = self.target_size
        if not isinstance(size, list | tuple | np.ndarray) or len(size) != 2:
            rule = "`target_size` must be (height, width)"
            checks.fail(rule, target_size=size)
        for side in size:
            checks.integer("target_size", side, low=1)
        checks.choice("color_mode", self.color_mode, tuple(CHANNELS))
        checks.choice("interpolation", self.interpolation, INTERPOLATIONS)

    def __call__(self, path: str | os.PathLike[str]) -> np.ndarray:
        with open(path, "rb") as file:
            data = file.read()
        layout = jpeg_layout(data)
        # Some decoders fill missing data with gray without an error.
        truncated = layout and data.rfind(_END_OF_JPEG) < layout[2]
        truncated = truncated or (data[1:4] == b"PNG" and data.rfind(_END_OF_PNG) < 0)
        image = None if truncated or not data else self._decode(data, layout)
        if image is None:
            state = "cut off" if truncated else "damaged"
            raise OSError(
                f"The image file {str(path)!r} is {state} "
                'and cannot be decoded. Remove it, or pass on_error="skip".'
            )
        return self._resize(image)

    def _decode(
        self, data: bytes, layout: tuple[int, int, int] | None
    ) -> np.ndarray | None:
        import cv2

        reduction = self._reduction(layout) if layout else 1
        flags = {
            "grayscale": cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH,
            "rgb": cv2.IMREAD_COLOR,
            "rgba": cv2.IMREAD_UNCHANGED,
        }[self.color_mode]
        if reduction > 1:
            kind = "GRAYSCALE" if self.color_mode == "grayscale" else "COLOR"
            flags = getattr(cv2, f"IMREAD_REDUCED_{kind}_{reduction}")
        if flags != cv2.IMREAD_UNCHANGED:
            # As Pillow: pixels in the stored orientation.
            flags |= cv2.IMREAD_IGNORE_ORIENTATION
        if has_wide_samples(io.BytesIO(data)):
            flags = cv2.IMREAD_UNCHANGED
        buffer = np.frombuffer(data, "uint8")
        try:
            image = cv2.imdecode(buffer, flags)
            if image is not None and image.dtype == np.uint16:
                image = _color_in_8_bits(image, buffer)
        except cv2.error:
            return None
        return None if image is None else self._to_color_mode(image)

    def _reduction(self, layout: tuple[int, int, int] | None) -> int:
        """Returns the factor by which a JPEG is downsampled while it is decoded.

        It is at most the one to the target size. `"nearest"` needs all pixels.
        """
        if self.interpolation == "nearest":
            return 1
        sizes = zip(layout, self.target_size, strict=False)
        largest = min(size // target for size, target in sizes)
        return max(factor for factor in (1, 2, 4, 8) if factor <= max(1, largest))

    def _to_color_mode(self, image: Any) -> np.ndarray:
        import cv2

        if image.dtype not in (np.uint8, np.uint16):
            image = image.astype("float32")
        channels = 1 if image.ndim == 2 else image.shape[2]
        if self.color_mode == "grayscale":
            code = {3: cv2.COLOR_BGR2GRAY, 4: cv2.COLOR_BGRA2GRAY}
            image = cv2.cvtColor(image, code[channels]) if channels > 1 else image
            return image.reshape(*image.shape[:2], 1)
        kind = self.color_mode.upper()
        if image.dtype == np.uint16:
            image = (image >> 8).astype("uint8")
        sources = {1: "GRAY", 3: "BGR", 4: "BGRA"}
        code = getattr(cv2, f"COLOR_{sources[channels]}2{kind}")
        return cv2.cvtColor(image, code)

    def _resize(self, image: np.ndarray) -> np.ndarray:
        import cv2

        height, width = self.target_size
        if self.keep_aspect_ratio:
            rows, columns = image.shape[:2]
            crop_height = min(rows, columns * height // width)
            crop_width = min(columns, rows * width // height)
            top, left = (rows - crop_height) // 2, (columns - crop_width) // 2
            image = image[top : top + crop_height, left : left + crop_width]
        if image.shape[:2] == (height, width):
            return image
        filters = {
            "nearest": cv2.INTER_NEAREST_EXACT,
            "bilinear": cv2.INTER_LINEAR,
            "bicubic": cv2.INTER_CUBIC,
            "lanczos": cv2.INTER_LANCZOS4,
            "hamming": cv2.INTER_LINEAR,
            "box": cv2.INTER_AREA,
        }
        interpolation = filters[self.interpolation]
        shrinks = image.shape[0] > height or image.shape[1] > width
        if shrinks and self.interpolation != "nearest":
            interpolation = cv2.INTER_AREA
        resized = cv2.resize(image, (width, height), interpolation=interpolation)
        return resized.reshape(height, width, -1)


def _color_in_8_bits(image: np.ndarray, buffer: np.ndarray) -> np.ndarray:
    """Returns an image of 16 bits in 8 bits if it has colors, as Pillow reads it.

    Gray images of 16 bits are measurements, whose values remain.
    """
    import cv2

    if image.ndim == 2:
        stored = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED)
        if stored.ndim == 2 or stored.shape[2] == 1:
            return image
        image = stored
    return (image >> 8).astype("uint8")
