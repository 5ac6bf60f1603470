"""Axes, data formats and shapes of weights per channel."""

from typing import Any

import keras
from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.types import Shape, Tensor

FORMATS = ("channels_last", "channels_first")


def data_format(value: Any) -> str:
    """Checks a data format; `None` stands for Keras's global setting."""
    if value is None:
        return keras.config.image_data_format()
    return checks.choice("data_format", value, FORMATS)


def channel_axis(data_format: str, rank: int) -> int:
    """Returns the axis of the channels."""
    return rank - 1 if data_format == "channels_last" else 1


def spatial_axes(data_format: str, rank: int) -> tuple[int, ...]:
    """Returns the axes between batch and channels."""
    return tuple(
        range(1, rank - 1) if data_format == "channels_last" else range(2, rank)
    )


def rank_and_axis(
    input_shape: Shape, axis: int, name: str, lowest: int = 2
) -> tuple[int, int]:
    """Checks the rank of an input; returns it and the non-negative `axis`."""
    rank = len(input_shape)
    if rank < lowest:
        checks.fail(
            f"The input of {name} must have {lowest} axes or more, the batch included",
            input_shape=tuple(input_shape),
        )
    if not -rank <= axis < rank or axis % rank == 0:
        checks.fail(
            f"`axis` must be an axis of the input other than the batch, for {name}",
            axis=axis,
            input_shape=tuple(input_shape),
        )
    return rank, axis % rank


def static_size(input_shape: Shape, axis: int, name: str) -> int:
    """Returns the size of an axis that weights depend on; it must be known."""
    if input_shape[axis] is None:
        checks.fail(
            f"The channels of the input of {name} must be known",
            input_shape=tuple(input_shape),
            fix="Give keras.Input a shape with the number of channels.",
        )
    return int(input_shape[axis])


def broadcast_along(weight: Tensor, rank: int, axis: int) -> Tensor:
    """Reshapes a vector so that it broadcasts along `axis` of `rank` axes."""
    if axis == rank - 1:
        return weight
    return ops.reshape(weight, [-1 if i == axis else 1 for i in range(rank)])


def gate_along(gate: Tensor, rank: int, axis: int) -> Tensor:
    """Reshapes `(batch, channels)` so that it broadcasts against `rank` axes."""
    channels = gate.shape[-1]
    shape = [channels if i == axis else 1 for i in range(rank)]
    return ops.reshape(gate, [-1, *shape[1:]])
