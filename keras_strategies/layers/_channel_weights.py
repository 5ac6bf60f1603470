import keras
from keras import ops

from keras_strategies._internal import checks
from keras_strategies.layers import _axes


class ChannelWeights(keras.layers.Layer):
    """Base of layers that do nothing but act on each channel with own weights."""

    def __init__(self, axis=-1, **kwargs):
        super().__init__(**kwargs)
        self.axis = checks.integer("axis", axis)
        self.supports_masking = True

    def add_channel_weight(self, input_shape, name, initializer):
        kind = type(self).__name__
        _, axis = _axes.rank_and_axis(input_shape, self.axis, kind)
        shape = (_axes.known(input_shape, axis, kind),)
        return self.add_weight(name=name, shape=shape, initializer=initializer)

    def along_axis(self, weight, inputs):
        rank = len(inputs.shape)
        return _axes.along(ops.cast(weight, inputs.dtype), rank, self.axis % rank)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "axis": self.axis}
