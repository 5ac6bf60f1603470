"""Which input is changed, and what stands in place of what is removed."""

from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies.explain._engine.explained import Explained

#: Ranks of arrays with channels: sequences of vectors, images, volumes.
_WITH_CHANNELS = (3, 4, 5)


def only_input(explained: Explained, name: str | None = None) -> int:
    """The position of the input to change: the only one with floats, or as named."""
    inputs = explained.inputs
    if name is not None:
        names = sorted(inputs.structure) if isinstance(inputs.structure, dict) else []
        specs = getattr(explained.model, "inputs", None) or []
        names = names or [spec.name for spec in specs]
        position = names.index(name) if name in names else -1
        if position not in inputs.differentiable:
            checks.fail(
                "`input_name` must name an input of floating-point numbers",
                input_name=name,
                inputs=names,
            )
        return position
    if not inputs.differentiable:
        checks.fail(
            "The inputs must have floating-point numbers that can be hidden",
            fix="For tokens use explain.token_attributions.",
            dtypes=[str(array.dtype) for array in inputs.flat],
        )
    if len(inputs.differentiable) > 1:
        checks.fail(
            "The model has several inputs that could be changed",
            fix="Name one by `input_name`; the others stay as they are.",
            shapes=[inputs.flat[i].shape for i in inputs.differentiable],
        )
    return inputs.differentiable[0]


def positions_shape(array: np.ndarray) -> tuple[int, ...]:
    """The shape of the positions of a sample: without channels, if it has them."""
    if array.ndim not in _WITH_CHANNELS:
        return array.shape[1:]
    return array.shape[1:-1] if _last(array) else array.shape[2:]


def position_axes(array: np.ndarray) -> tuple[int, ...]:
    """The axes of an array of samples that are positions."""
    first = 1 if array.ndim not in _WITH_CHANNELS or _last(array) else 2
    return tuple(range(first, first + len(positions_shape(array))))


def _last(array):
    return array.ndim == 3 or keras.config.image_data_format() == "channels_last"


def over_channels(masks: np.ndarray, array: np.ndarray) -> np.ndarray:
    """Masks `(samples, *positions)` as arrays that go with the samples."""
    if array.ndim not in _WITH_CHANNELS:
        return masks
    return np.expand_dims(masks, -1 if _last(array) else 1)


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
