"""Pairs of layers between which the scale of a channel may be moved.

If `f(s x) = s f(x)` for `s > 0` holds for all that lies between two layers, channel by
channel, then dividing an output channel of the first by `s` and multiplying the same
input channel of the second leaves the function of the model as it is.
"""

import dataclasses
from typing import Any

import keras
import numpy as np

from keras_strategies._internal.model_graph import Call, read
from keras_strategies.export.rescue import _kernels
from keras_strategies.export.rescue._flat_copy import activation_of, weighted_layers

_LAYERS = keras.layers
# Functions of one channel each that hand a positive factor on.
_CHANNELWISE = (
    _LAYERS.AveragePooling1D,
    _LAYERS.AveragePooling2D,
    _LAYERS.Cropping1D,
    _LAYERS.Cropping2D,
    _LAYERS.Dropout,
    _LAYERS.GlobalAveragePooling1D,
    _LAYERS.GlobalAveragePooling2D,
    _LAYERS.GlobalMaxPooling1D,
    _LAYERS.GlobalMaxPooling2D,
    _LAYERS.Identity,
    _LAYERS.LeakyReLU,
    _LAYERS.MaxPooling1D,
    _LAYERS.MaxPooling2D,
    _LAYERS.SpatialDropout1D,
    _LAYERS.SpatialDropout2D,
    _LAYERS.UpSampling1D,
    _LAYERS.UpSampling2D,
    _LAYERS.ZeroPadding1D,
    _LAYERS.ZeroPadding2D,
)
_HOMOGENEOUS = (
    keras.activations.linear,
    keras.activations.relu,
    keras.activations.leaky_relu,
)


@dataclasses.dataclass(frozen=True)
class Link:
    """Two weighted layers and what lies between them.

    Attributes:
        first: The layer whose outputs are scaled.
        second: The layer whose inputs are scaled.
        between: The layers in between, in order.
    """

    first: Any
    second: Any
    between: tuple[Any, ...]

    def expand(self, values: np.ndarray) -> np.ndarray:
        """One number for each input channel of the second layer.

        After Flatten these are the channels of the first, once for each position.
        """
        return np.tile(values, self.second.kernel.shape[-2] // len(values))

    def second_ranges(self, kernel: np.ndarray) -> np.ndarray:
        """The largest `|w|` on each output channel of the first layer."""
        ranges = _kernels.input_ranges(self.second, kernel)
        channels = _kernels.num_outputs(self.first)
        return ranges.reshape(-1, channels).max(axis=0)


def find_links(model: keras.Model) -> list[Link]:
    """The links of a flat copy."""
    weighted = {id(layer) for layer in weighted_layers(model)}
    links = []
    for call in read(model).calls:
        layer = call.operation
        if id(layer) in weighted and activation_of(layer) in _HOMOGENEOUS:
            link = _follow(call, weighted)
            if link is not None:
                links.append(link)
    return links


def _follow(call: Call, weighted: set[int]) -> Link | None:
    first, between = call.operation, []
    while True:
        [output] = call.outputs
        if output.is_output or len(output.consumers) != 1:
            return None
        [call] = output.consumers
        layer = call.operation
        if len(call.inputs) != 1 or len(call.outputs) != 1:
            return None
        if id(layer) in weighted:
            return _link(first, layer, between)
        if not _is_channelwise(layer):
            return None
        between.append(layer)


def _link(first, second, between):
    if getattr(second, "groups", 1) != 1:
        return None
    formats = {
        getattr(layer, "data_format", "channels_last") or "channels_last"
        for layer in (first, *between, second)
    }
    flattens = any(isinstance(layer, _LAYERS.Flatten) for layer in between)
    if len(formats) > 1 or (flattens and formats != {"channels_last"}):
        return None
    # A convolution behind Flatten would have no channels of the first layer.
    if second.kernel.shape[-2] % _kernels.num_outputs(first):
        return None
    return Link(first, second, tuple(between))


def _is_channelwise(layer):
    if not type(layer).__module__.startswith("keras."):
        return False
    if isinstance(layer, _LAYERS.ReLU):
        return layer.max_value is None and not layer.threshold
    if isinstance(layer, _LAYERS.Activation):
        return layer.activation in _HOMOGENEOUS
    if isinstance(layer, _LAYERS.UpSampling2D):
        return layer.interpolation == "nearest"
    return isinstance(layer, (*_CHANNELWISE, _LAYERS.Flatten))
