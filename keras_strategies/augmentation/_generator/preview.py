"""Augmented images as pictures to look at: on disk or in a grid."""

import math
import os

import numpy as np

from keras_strategies._internal import checks


def viewable(image):
    """An image of any range as uint8, dark to bright, as Keras's `array_to_img`."""
    image = np.asarray(image, "float32")
    low, high = image.min(), image.max()
    image = image - low
    if high > low:
        image = image * (255 / (high - low))
    return image.astype("uint8")


def save_pictures(images, samples, directory, prefix, form, random):
    """Writes each image `(height, width, channels)` to its own file."""
    import cv2

    for image, sample in zip(images, samples, strict=True):
        image = viewable(image)
        orders = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
        if image.shape[2] in orders:
            image = cv2.cvtColor(image, orders[image.shape[2]])
        name = f"{prefix}_{sample}_{random.integers(10_000_000)}.{form}"
        path = os.path.join(directory, name)
        if not cv2.imwrite(path, image):
            checks.fail("The picture could not be written", error=OSError, path=path)


def grid(images, columns=None):
    """Images `(n, height, width, channels)` as one uint8 picture with a border."""
    count, height, width, channels = images.shape
    if channels not in (1, 3, 4):
        rule = "A picture grid needs images with 1, 3 or 4 channels"
        checks.fail(rule, channels=channels)
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    gap = 2
    shape = (rows * (height + gap) - gap, columns * (width + gap) - gap, 3)
    picture = np.full(shape, 255, "uint8")
    inside = images.min() >= 0 and 1 < images.max() <= 255
    for i, image in enumerate(images):
        image = np.rint(image).astype("uint8") if inside else viewable(image)
        image = image[..., :3] if channels > 1 else np.repeat(image, 3, axis=-1)
        row, column = divmod(i, columns)
        top, left = row * (height + gap), column * (width + gap)
        picture[top : top + height, left : left + width] = image
    return picture
