"""Augmented images for inspection: files and image grids."""

import math
import os
from typing import Any

import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.types import Tensor


def to_uint8(image: Any) -> np.ndarray:
    """Scales an image of any range to uint8, as Keras's `array_to_img`."""
    image = np.asarray(image, "float32")
    low, high = image.min(), image.max()
    image = image - low
    if high > low:
        image = image * (255 / (high - low))
    return image.astype("uint8")


def save_images(
    images: Tensor,
    samples: np.ndarray,
    directory: str | os.PathLike[str],
    prefix: str,
    suffix: str,
    random: Any,
) -> None:
    """Writes each image `(height, width, channels)` to its own file."""
    import cv2

    for image, sample in zip(images, samples, strict=True):
        image = to_uint8(image)
        orders = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
        if image.shape[2] in orders:
            image = cv2.cvtColor(image, orders[image.shape[2]])
        name = f"{prefix}_{sample}_{random.integers(10_000_000)}.{suffix}"
        path = os.path.join(directory, name)
        if not cv2.imwrite(path, image):
            checks.fail("The image could not be written", error=OSError, path=path)


def grid(images: Tensor, columns: int | None = None) -> Tensor:
    """Returns images `(n, height, width, channels)` as one uint8 image grid."""
    count, height, width, channels = images.shape
    if channels not in (1, 3, 4):
        rule = "An image grid needs images with 1, 3 or 4 channels"
        checks.fail(rule, channels=channels)
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    gap = 2
    shape = (rows * (height + gap) - gap, columns * (width + gap) - gap, 3)
    canvas = np.full(shape, 255, "uint8")
    is_8bit = images.min() >= 0 and 1 < images.max() <= 255
    for i, image in enumerate(images):
        image = np.rint(image).astype("uint8") if is_8bit else to_uint8(image)
        image = image[..., :3] if channels > 1 else np.repeat(image, 3, axis=-1)
        row, column = divmod(i, columns)
        top, left = row * (height + gap), column * (width + gap)
        canvas[top : top + height, left : left + width] = image
    return canvas
