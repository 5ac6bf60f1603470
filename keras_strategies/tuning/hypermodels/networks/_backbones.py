"""Backbones of keras.applications: their names, their inputs, how much is frozen."""

import keras

from keras_strategies._internal import checks

_CAFFE_MEANS = (103.939, 116.779, 123.68)  # blue, green, red
_TORCH_MEANS, _TORCH_STDS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def application_names():
    """Names of the networks in `keras.applications`."""
    return [name for name, thing in vars(keras.applications).items() if callable(thing)]


def preprocess(x, name):
    """Pixels 0 to 255 as the network `name` was trained on them.

    As operations of a graph, so that a saved model has them. Networks that are not
    named here do it themselves.
    """
    if name.startswith(("DenseNet",)):
        x = x / 255.0 - keras.ops.convert_to_tensor(_channels(_TORCH_MEANS))
        return x / keras.ops.convert_to_tensor(_channels(_TORCH_STDS))
    if name.startswith("VGG") or (name.startswith("ResNet") and name[-2:] != "V2"):
        axis = _axis()
        x = keras.ops.flip(x, axis=axis)
        return x - keras.ops.convert_to_tensor(_channels(_CAFFE_MEANS))
    own = name.startswith(("EfficientNet", "ConvNeXt", "MobileNetV3"))
    return x if own else x / 127.5 - 1.0


def three_channels(x):
    """Grey images as three equal channels."""
    axis = _axis()
    return keras.ops.repeat(x, 3, axis=axis) if x.shape[axis] == 1 else x


def _axis():
    return -1 if keras.config.image_data_format() == "channels_last" else 1


def _channels(values):
    import numpy as np

    shape = (3,) if _axis() == -1 else (3, 1, 1)
    return np.array(values, "float32").reshape(shape)


def unfreeze(backbone, fraction):
    """Makes the last `fraction` of the layers that have weights trainable."""
    backbone.trainable = True
    layers = [layer for layer in backbone.layers if layer.weights]
    for layer in layers[: len(layers) - round(fraction * len(layers))]:
        layer.trainable = False
    if fraction == 0:
        backbone.trainable = False


def check_backbone(value):
    """One model, one function that makes a model, or names, which may be several."""
    if isinstance(value, keras.Model) and not value.built:
        checks.fail(
            "`backbone` must be built",
            fix="Begin a Sequential model with keras.Input.",
            backbone=value.name,
        )
    if callable(value):  # a model, too
        return value
    from keras_strategies.tuning._space import ranges as _ranges

    try:
        return _ranges.names("backbone", value, application_names())
    except TypeError as error:
        text = checks.message(
            "`backbone` must be names of keras.applications, a model or a function",
            {"backbone": value},
        )
        raise TypeError(text) from error
