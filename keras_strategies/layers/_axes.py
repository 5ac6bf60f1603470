"""Axes, data formats and the shapes of weights that belong to channels."""

import keras
from keras import ops

from keras_strategies._internal import checks

FORMATS = ("channels_last", "channels_first")


def data_format(value):
    """The data format, Keras's setting where `value` is `None`."""
    if value is None:
        return keras.config.image_data_format()
    return checks.choice("data_format", value, FORMATS)


def channel_axis(data_format, rank):
    return rank - 1 if data_format == "channels_last" else 1


def spatial_axes(data_format, rank):
    return tuple(
        range(1, rank - 1) if data_format == "channels_last" else range(2, rank)
    )


def rank_and_axis(input_shape, axis, name, lowest=2):
    """Checks the rank of an input and returns it with the positive `axis`."""
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


def known(input_shape, axis, name):
    """The length of an axis that weights depend on."""
    if input_shape[axis] is None:
        checks.fail(
            f"The channels of the input of {name} must be known",
            input_shape=tuple(input_shape),
            fix="Give keras.Input a shape with the number of channels.",
        )
    return int(input_shape[axis])


def along(weight, rank, axis):
    """Shapes a vector so that it broadcasts along `axis` of `rank` axes."""
    if axis == rank - 1:
        return weight
    return ops.reshape(weight, [-1 if i == axis else 1 for i in range(rank)])


def gate_along(gate, rank, axis):
    """Shapes `(batch, channels)` so that it broadcasts against `rank` axes."""
    channels = gate.shape[-1]
    shape = [channels if i == axis else 1 for i in range(rank)]
    return ops.reshape(gate, [-1, *shape[1:]])
