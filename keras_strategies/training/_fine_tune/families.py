"""Networks of `keras.applications`: how they are recognized, and their inputs."""

import keras
from keras import ops

from keras_strategies._internal.keras_private import direct_layers
from keras_strategies.training._fine_tune.depth import calls_of

# Names of layers that only one family has. Names of models are up to the user; those of
# layers come with the weights. The value is the mode of Keras's `preprocess_input`;
# "inside" stands for networks that begin with their own Rescaling or Normalization.
_SIGNATURES = (
    ({"block1_conv1", "block1_pool", "block5_conv1"}, "caffe"),  # VGG
    ({"conv1_conv", "conv1_bn", "conv2_block1_add"}, "caffe"),  # ResNet
    ({"conv1_conv", "conv2_block1_preact_bn", "post_bn"}, "tf"),  # ResNetV2
    ({"conv1_conv", "conv2_block1_concat"}, "torch"),  # DenseNet
    ({"conv1", "conv_dw_1", "conv_pw_13"}, "tf"),  # MobileNet
    ({"Conv1", "expanded_conv_depthwise", "Conv_1"}, "tf"),  # MobileNetV2
    ({"conv", "expanded_conv_depthwise", "conv_1"}, "inside or tf"),  # MobileNetV3
    ({"stem_conv", "block1a_dwconv", "top_conv"}, "inside"),  # EfficientNet
    ({"stem_conv", "block1a_project_conv", "top_conv"}, "inside or unknown"),  # V2
    ({"mixed0", "mixed10"}, "tf"),  # InceptionV3
    ({"mixed_5b", "conv_7b"}, "tf"),  # InceptionResNetV2
    ({"block1_conv1", "block14_sepconv2"}, "tf"),  # Xception
    ({"stem_conv1", "stem_bn1"}, "tf"),  # NASNet
)
_CONVNEXT = "_stage_0_block_0_depthwise_conv"
_CAFFE_MEANS = (103.939, 116.779, 123.68)  # blue, green, red
_TORCH_MEANS, _TORCH_DEVIATIONS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

#: Names of the parts that `attach_head` puts in front of a backbone.
MODEL_NAME, SCALE_NAME = "preprocessing", "to_pixels"
MODES = ("caffe", "tf", "torch")


def preprocessing_mode(model: keras.Model) -> str | None:
    """The preprocessing that the weights of a network need.

    Returns:
        `"caffe"`, `"tf"` or `"torch"`, as Keras's `preprocess_input` calls them;
        `"inside"` if the network has it already; `"unknown"` for an EfficientNetV2
        without its own, which only its documentation knows; `None` for a network that
        is not of `keras.applications`.
    """
    network = _network(model)
    if network is None:
        return None
    names = {layer.name for layer in direct_layers(network)}
    if network is not model and _has_something_before(model, network):
        return "inside"
    mode = _mode(names)
    if mode is None or " or " not in mode:
        return mode
    # The same layers are there with and without the network's own scaling.
    inside, other = mode.split(" or ")
    return inside if _begins_with_scaling(network) else other


def _network(model):
    """The network of `keras.applications`: the model itself or one nested in it."""
    if _mode({layer.name for layer in direct_layers(model)}) is not None:
        return model
    for layer in direct_layers(model):
        if isinstance(layer, keras.Model):
            network = _network(layer)
            if network is not None:
                return network
    return None


def _mode(names):
    if any(name.endswith(_CONVNEXT) for name in names):
        own = any(name.endswith("_prestem_normalization") for name in names)
        return "inside" if own else "torch"
    for signature, mode in _SIGNATURES:
        if signature <= names:
            return mode
    return None


def _begins_with_scaling(network):
    scaling = (keras.layers.Rescaling, keras.layers.Normalization)
    layers = [x for x in network.layers if not isinstance(x, keras.layers.InputLayer)]
    return isinstance(layers[0], scaling)


def _has_something_before(model, network):
    """Whether anything but inputs is called before a nested network."""
    calls = calls_of(model)
    if calls is None:
        return False
    for operation, parents in calls:
        if operation is network:
            return bool(parents)
        if isinstance(operation, keras.Model) and network in direct_layers(operation):
            return _has_something_before(operation, network)
    return False


def preprocessing(
    mode: str, shape: tuple[int | None, ...], max_value: float
) -> keras.Model | None:
    """The preprocessing of a mode as a model of Keras layers; `None` for none.

    A saved model has it inside and loads without this package.

    Args:
        mode: `"caffe"`, `"tf"`, `"torch"` or `"inside"`.
        shape: Shape of the images without the batch.
        max_value: The largest value of the images as they will be given.
    """
    if mode == "inside" and max_value == 255.0:
        return None
    axis = -1 if keras.config.image_data_format() == "channels_last" else 1
    inputs = keras.Input(shape, name="images")
    x = keras.layers.Rescaling(255.0 / max_value, name=SCALE_NAME)(inputs)
    if mode == "caffe":
        x = ops.flip(x, axis=axis)
        x = _shifted(x, (1.0, 1.0, 1.0), [-mean for mean in _CAFFE_MEANS], axis)
    elif mode == "tf":
        x = keras.layers.Rescaling(1 / 127.5, -1.0, name="to_unit_range")(x)
    elif mode == "torch":
        scales = [1 / (255 * deviation) for deviation in _TORCH_DEVIATIONS]
        pairs = zip(_TORCH_MEANS, _TORCH_DEVIATIONS, strict=True)
        x = _shifted(x, scales, [-mean / deviation for mean, deviation in pairs], axis)
    return keras.Model(inputs, x, name=MODEL_NAME)


def _shifted(x, scales, offsets, axis):
    """`x * scales + offsets` along the channels, which may be the first axis."""
    if axis == 1:
        offsets = [[[offset]] for offset in offsets]
    return keras.layers.Rescaling(list(scales), offsets, name="to_standard_range")(x)


def expected_maximum(model: keras.Model) -> float | None:
    """The largest value of the images that a model takes; `None` if it is not known.

    Known for models of `attach_head` and for networks that scale pixels themselves.
    """
    for layer in direct_layers(model):
        if layer.name == MODEL_NAME and isinstance(layer, keras.Model):
            return 255.0 / layer.get_layer(SCALE_NAME).scale
    is_scaled_inside = preprocessing_mode(model) == "inside"
    return 255.0 if is_scaled_inside and not _scaled_by_user(model) else None


def _scaled_by_user(model):
    """Whether a nested network stands behind layers of the user's."""
    network = _network(model)
    return network is not model and _has_something_before(model, network)
