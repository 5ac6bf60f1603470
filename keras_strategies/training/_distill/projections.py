"""Layers that bring the features of a student to the channels of the teacher's."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_strategies.training._distill.capturing import feature_shapes
from keras_strategies.training._distill.losses import channels_last


def channels(model: keras.Model, layers: Sequence[Any]) -> list[int]:
    """The channels of the outputs of layers in a model."""
    return [channels_of(shape) for shape in feature_shapes(model, layers)]


def channels_of(shape: Sequence[int | None]) -> int:
    """The channels of features: the first axis of images may be theirs."""
    return shape[-1 if channels_last() or len(shape) < 4 else 1]


def projections(own: Sequence[int], theirs: Sequence[int]) -> list[Any]:
    """A linear layer for each pair of channels."""
    made = []
    for number, (size, target) in enumerate(zip(own, theirs, strict=True)):
        layer = keras.layers.Dense(target, name=f"projection_{number}", dtype="float32")
        layer.build((None, size))
        made.append(layer)
    return made
