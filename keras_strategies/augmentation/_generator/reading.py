"""Image files into arrays: decoding, colour, size."""

from dataclasses import dataclass

import numpy as np

from keras_strategies._internal import checks

FORMATS = ("png", "jpg", "jpeg", "bmp", "ppm", "tif", "tiff")
CHANNELS = {"grayscale": 1, "rgb": 3, "rgba": 4}
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "hamming", "box", "lanczos")
_END_OF_JPEG, _END_OF_PNG = b"\xff\xd9", b"IEND"


def jpeg_layout(data):
    """`(height, width, start)` of a JPEG and where its first scan starts, or `None`."""
    if data[:2] != b"\xff\xd8":
        return None
    place, size = 2, None
    while place + 9 < len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF:  # padding
            place += 1
            continue
        if marker == 0xDA:
            return None if size is None else (*size, place)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            size = tuple(
                int.from_bytes(data[place + i : place + i + 2], "big") for i in (5, 7)
            )
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return None


@dataclass(frozen=True)
class Reader:
    """Reads a file as an image `(height, width, channels)`.

    Attributes:
        target_size: `(height, width)`.
        color_mode: `"grayscale"`, `"rgb"` or `"rgba"`.
        interpolation: One of `INTERPOLATIONS`. `"nearest"` takes the pixels that
            Pillow takes; the others average over the area when they shrink.
        keep_aspect_ratio: Whether the middle is cut out in the target's proportions.
    """

    target_size: tuple
    color_mode: str = "rgb"
    interpolation: str = "nearest"
    keep_aspect_ratio: bool = False

    def __post_init__(self):
        size = self.target_size
        if not isinstance(size, list | tuple | np.ndarray) or len(size) != 2:
            rule = "`target_size` must be (height, width)"
            checks.fail(rule, target_size=size)
        for side in size:
            checks.integer("target_size", side, low=1)
        checks.choice("color_mode", self.color_mode, tuple(CHANNELS))
        checks.choice("interpolation", self.interpolation, INTERPOLATIONS)

    def __call__(self, path):
        with open(path, "rb") as file:
            data = file.read()
        layout = jpeg_layout(data)
        # Older decoders fill up what is missing with grey and say nothing.
        cut = layout and data.rfind(_END_OF_JPEG) < layout[2]
        cut = cut or (data[1:4] == b"PNG" and data.rfind(_END_OF_PNG) < 0)
        image = None if cut or not data else self._decode(data, layout)
        if image is None:
            raise OSError(
                f"The image file {str(path)!r} is {'cut off' if cut else 'damaged'} "
                'and cannot be decoded. Remove it, or pass on_error="skip".'
            )
        return self._resize(image)

    def _decode(self, data, layout):
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
            # As Pillow: the pixels as they are stored.
            flags |= cv2.IMREAD_IGNORE_ORIENTATION
        buffer = np.frombuffer(data, "uint8")
        try:
            image = cv2.imdecode(buffer, flags)
        except cv2.error:
            return None
        return None if image is None else self._colours(image)

    def _reduction(self, layout):
        """By how much a JPEG is shrunk while it is decoded: at most to the target.

        `"nearest"` picks pixels of the whole image, so it wants them all.
        """
        if self.interpolation == "nearest":
            return 1
        sizes = zip(layout, self.target_size, strict=False)
        most = min(size // target for size, target in sizes)
        return max(factor for factor in (1, 2, 4, 8) if factor <= max(1, most))

    def _colours(self, image):
        import cv2

        if self.color_mode == "grayscale":
            return image[..., None]
        if self.color_mode == "rgb":
            return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        if image.dtype == np.uint16:
            image = (image >> 8).astype("uint8")
        channels = 1 if image.ndim == 2 else image.shape[2]
        code = {1: cv2.COLOR_GRAY2RGBA, 3: cv2.COLOR_BGR2RGBA, 4: cv2.COLOR_BGRA2RGBA}
        return cv2.cvtColor(image, code[channels])

    def _resize(self, image):
        import cv2

        height, width = self.target_size
        if self.keep_aspect_ratio:
            rows, columns = image.shape[:2]
            tall = min(rows, columns * height // width)
            wide = min(columns, rows * width // height)
            top, left = (rows - tall) // 2, (columns - wide) // 2
            image = image[top : top + tall, left : left + wide]
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
        chosen = filters[self.interpolation]
        shrinks = image.shape[0] > height or image.shape[1] > width
        if shrinks and self.interpolation != "nearest":
            chosen = cv2.INTER_AREA
        resized = cv2.resize(image, (width, height), interpolation=chosen)
        return resized.reshape(height, width, -1)
