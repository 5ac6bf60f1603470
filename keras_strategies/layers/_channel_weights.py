"""Base class of layers with one weight per channel."""

from typing import Any

import keras
from keras import ops

from keras_strategies._internal import bases, checks
from keras_strategies._internal.types import Config, Initializer, Shape, Tensor
from keras_strategies.layers import _axes


class ChannelWeights(bases.Layer):
    """Base of layers that act on each channel with weights of that channel."""

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis: int = checks.integer("axis", axis)
        self.supports_masking: bool = True

    def add_channel_weight(
        self, input_shape: Shape, name: str, initializer: Initializer
    ) -> keras.Variable:
        """Adds a weight with one value for each channel."""
        kind = type(self).__name__
        _, axis = _axes.rank_and_axis(input_shape, self.axis, kind)
        shape = (_axes.static_size(input_shape, axis, kind),)
        return self.add_weight(name=name, shape=shape, initializer=initializer)

    def along_axis(self, weight: Tensor, inputs: Tensor) -> Tensor:
        """Returns a channel weight in the dtype of `inputs`, broadcastable to it."""
        rank = len(inputs.shape)
        return _axes.broadcast_along(
            ops.cast(weight, inputs.dtype), rank, self.axis % rank
        )

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> Config:
        return {**super().get_config(), "axis": self.axis}
