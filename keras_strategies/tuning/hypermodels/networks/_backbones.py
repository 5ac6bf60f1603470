"""Backbones of keras.applications: names, inputs, and layers to train."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import direct_layers
from keras_strategies._internal.traversal import all_layers
from keras_strategies.training._fine_tune import depth
from keras_strategies.training._fine_tune.plan import NORMALIZATIONS
from keras_strategies.tuning._space import ranges
from keras_strategies.tuning.hypermodels._images import channel_axis

_CAFFE_MEANS = (103.939, 116.779, 123.68)  # blue, green, red
_TORCH_MEANS, _TORCH_STDS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def application_names() -> list[str]:
    """Names of the networks in `keras.applications`."""
    return [name for name, item in vars(keras.applications).items() if callable(item)]


def preprocess(x: Any, name: str) -> Any:
    """Scales pixels 0 to 255 as the network `name` was trained on them.

    The three modes of `keras.applications.imagenet_utils.preprocess_input`, as
    operations of a graph, so that a saved model contains them. EfficientNet, ConvNeXt
    and MobileNetV3 scale their inputs themselves.
    """
    if name.startswith(("DenseNet",)):
        x = x / 255.0 - keras.ops.convert_to_tensor(_per_channel(_TORCH_MEANS))
        return x / keras.ops.convert_to_tensor(_per_channel(_TORCH_STDS))
    if name.startswith("VGG") or (name.startswith("ResNet") and name[-2:] != "V2"):
        x = keras.ops.flip(x, axis=channel_axis())  # to blue, green, red
        return x - keras.ops.convert_to_tensor(_per_channel(_CAFFE_MEANS))
    scales_itself = name.startswith(("EfficientNet", "ConvNeXt", "MobileNetV3"))
    return x if scales_itself else x / 127.5 - 1.0


def to_three_channels(x: Any) -> Any:
    """Repeats the channel of grey images three times."""
    axis = channel_axis()
    return keras.ops.repeat(x, 3, axis=axis) if x.shape[axis] == 1 else x


def _per_channel(values: Sequence[float]) -> np.ndarray:
    shape = (3,) if channel_axis() == -1 else (3, 1, 1)
    return np.array(values, "float32").reshape(shape)


def unfreeze(backbone: keras.Model, fraction: float) -> None:
    """Makes those layers trainable that are nearest to the output: a fraction of all.

    BatchNormalization keeps the statistics it was trained with: in `fit` only its flag
    holds it at inference, not the `training=False` that the backbone was called with.
    """
    layers = [layer for layer in all_layers(backbone) if not direct_layers(layer)]
    weighted = depth.weighted(layers)
    chosen = depth.nearest_output(weighted, fraction, depth.depths(backbone))
    trained = {id(layer) for layer in chosen if not isinstance(layer, NORMALIZATIONS)}
    backbone.trainable = True
    # One by one: on TensorFlow a model that is trainable already does not hand it on.
    for layer in layers:
        layer.trainable = not layer.weights or id(layer) in trained
    if not trained:
        backbone.trainable = False


def check_backbone(value: Any) -> Any:
    """Checks a model, a function that makes one, or one or several names."""
    if isinstance(value, keras.Model) and not value.built:
        checks.fail(
            "`backbone` must be built",
            fix="Begin a Sequential model with keras.Input.",
            backbone=value.name,
        )
    if callable(value):  # models are callable, too
        return value
    try:
        return ranges.names("backbone", value, application_names())
    except TypeError as error:
        text = checks.message(
            "`backbone` must be names of keras.applications, a model or a function",
            {"backbone": value},
        )
        raise TypeError(text) from error
