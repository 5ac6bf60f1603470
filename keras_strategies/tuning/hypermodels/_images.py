"""Axes of batches of images, in the order of Keras's `image_data_format`."""

from typing import Any

import keras


def channel_axis() -> int:
    """The axis of the channels in a batch of images."""
    return -1 if keras.config.image_data_format() == "channels_last" else 1


def spatial_size(x: Any) -> tuple[int, ...]:
    """Height and width of a batch of images, or of the shape of one image."""
    shape = tuple(getattr(x, "shape", x))[-3:]
    return shape[:2] if channel_axis() == -1 else shape[1:]
