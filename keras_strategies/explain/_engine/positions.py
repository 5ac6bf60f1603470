"""Samples as positions with channels, and what stands in place of what is removed."""

from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks

#: Ranks of arrays with channels: sequences of vectors, images, volumes.
_WITH_CHANNELS = (3, 4, 5)


def channels_last(rank: int) -> bool:
    """Whether arrays of a rank have their channels last, as sequences always do."""
    return rank == 3 or keras.config.image_data_format() == "channels_last"


def positions_shape(array: np.ndarray) -> tuple[int, ...]:
    """The shape of the positions of a sample: without channels, if it has them."""
    if array.ndim not in _WITH_CHANNELS:
        return array.shape[1:]
    return array.shape[1:-1] if channels_last(array.ndim) else array.shape[2:]


def position_axes(array: np.ndarray) -> tuple[int, ...]:
    """The axes of an array of samples that are positions."""
    first = 1 if array.ndim not in _WITH_CHANNELS or channels_last(array.ndim) else 2
    return tuple(range(first, first + len(positions_shape(array))))


def over_channels(masks: np.ndarray, array: np.ndarray) -> np.ndarray:
    """Masks `(samples, *positions)` as arrays that go with the samples."""
    if array.ndim not in _WITH_CHANNELS:
        return masks
    return np.expand_dims(masks, -1 if channels_last(array.ndim) else 1)


def by_position(maps: np.ndarray, array: np.ndarray) -> np.ndarray:
    """Maps with one number for each position: channels are added up."""
    if array.ndim in _WITH_CHANNELS and maps.ndim == array.ndim:
        return maps.sum(axis=-1 if channels_last(array.ndim) else 1)
    return maps


def substitute(array: np.ndarray, baseline: Any) -> np.ndarray:
    """What stands in place of what is removed, in the shape of the samples."""
    try:
        full = np.broadcast_to(np.asarray(baseline, "float32"), array.shape)
    except ValueError as error:
        rule = "`baseline` must be a number or have the shape of the inputs"
        shapes = {"baseline": np.shape(baseline), "inputs": array.shape}
        raise ValueError(checks.message(rule, shapes)) from error
    if not np.isfinite(full).all():
        checks.fail("`baseline` must be finite", baseline=baseline)
    return full
