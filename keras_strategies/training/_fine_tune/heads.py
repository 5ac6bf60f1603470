"""A new head on a backbone, with the backbone's own preprocessing inside."""

import os
from collections.abc import Callable
from typing import Any, Literal

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import input_signature
from keras_strategies.layers import AttentionPooling
from keras_strategies.training._fine_tune import families

Pooling = Literal["avg", "max", "flatten", "attention"]
_POOLINGS = ("avg", "max", "flatten", "attention")
_PREPROCESSINGS = ("auto", "inside", *families.MODES)


def attach_head(
    backbone: keras.Model | str | os.PathLike[str],
    classes: int | None = None,
    units: int | None = None,
    *,
    pooling: Pooling = "avg",
    dropout: float = 0.2,
    activation: str | Callable[[Any], Any] | None = "auto",
    preprocessing: str | None = "auto",
    max_value: float = 255.0,
    output_layer: str | None = None,
    name: str | None = None,
) -> keras.Model:
    """Puts a new head on a trained backbone, for `fine_tune`.

    The networks of `keras.applications` were trained on inputs in three different
    ranges, and Keras leaves it to the caller to remember which; images that were
    scaled twice, or never, cost accuracy without an error. Here the network is
    recognized by its layers, whatever its name, and what its weights need becomes the
    first part of the model, so that the model takes plain images and a saved file
    does, too.

    ```
    images -> preprocessing -> backbone -> pooling -> dropout -> Dense
    ```

    The layers of the backbone are shared, not copied: training the model trains them.

    Args:
        backbone: A built model without its classifier: of `keras.applications`
            (`include_top=False`), KerasHub or your own, with `weights=None` or others;
            or the path of a `.keras` file.
        classes: Number of classes, at least 2: the head ends in that many
            probabilities. Give this or `units`. Defaults to `None`.
        units: Number of values to predict, at least 1: the head ends in that many
            numbers. Defaults to `None`.
        pooling: What is made of a feature map or sequence: `"avg"` or `"max"` over all
            places, `"flatten"`, or `"attention"`, an average whose weights are
            learned (`layers.AttentionPooling`). Features without places are taken as
            they are. Defaults to `"avg"`.
        dropout: Dropped fraction before the last layer, in [0, 1). Defaults to `0.2`.
        activation: Activation of the last layer. Defaults to `"auto"`: softmax for
            `classes`, none for `units`.
        preprocessing: What the backbone's weights need: `"caffe"`, `"tf"` or
            `"torch"`, as in `keras.applications`; `"inside"` if it has its own;
            `None` for none. Defaults to `"auto"`: that of the network if it is one of
            `keras.applications`, else none.
        max_value: The largest value of the images that the model will be given, such
            as 255 or 1. Defaults to `255.0`.
        output_layer: Name of the layer, or key of the output, whose output is used.
            Defaults to `None`, the output of the backbone.
        name: Name of the model. Defaults to `None`, the backbone's with `_head`.

    Returns:
        A model that is not compiled: the backbone as one nested model, then layers
        called `head_pooling`, `head_dropout` and `head_output`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, the backbone is not built, has
            several outputs, has no layer `output_layer`, or ends in a classifier.

    Example:

    ```python
    import keras
    from keras_strategies import training

    network = keras.applications.MobileNetV2(
        weights=None, include_top=False, input_shape=(32, 32, 3)
    )
    model = training.attach_head(network, classes=5)
    print(model.output_shape)  # (None, 5)
    ```
    """
    size, activation = _checked_size(classes, units, activation)
    checks.choice("pooling", pooling, _POOLINGS)
    checks.real("dropout", dropout, low=0, high=1, high_open=True)
    checks.real("max_value", max_value, low=0, low_open=True)
    if preprocessing is not None:
        checks.choice("preprocessing", preprocessing, _PREPROCESSINGS)
    network = _opened(backbone)
    mode = _mode(network, preprocessing)
    inputs = _inputs(network)
    x = _preprocessed(inputs, mode, float(max_value))
    x = _features(_cut(network, output_layer)(x), output_layer)
    x = _pooled(x, pooling)
    if dropout:
        x = keras.layers.Dropout(dropout, name="head_dropout")(x)
    # In mixed precision probabilities and losses are computed in float32.
    head = keras.layers.Dense(size, activation, name="head_output", dtype="float32")
    return keras.Model(inputs, head(x), name=name or f"{network.name}_head")


def _checked_size(classes, units, activation):
    if (classes is None) == (units is None):
        checks.fail(
            "Either `classes` or `units` must be given",
            fix="`classes` for probabilities, `units` for numbers.",
            classes=classes,
            units=units,
        )
    if classes is not None:
        size = checks.integer("classes", classes, low=2)
    else:
        size = checks.integer("units", units, low=1)
    if activation == "auto":
        activation = "softmax" if classes is not None else None
    return size, keras.activations.get(activation)


def _opened(backbone):
    if isinstance(backbone, str | os.PathLike):
        backbone = keras.models.load_model(os.fspath(backbone), compile=False)
    fix = "Give a Keras model or the path of a .keras file."
    checks.instance("backbone", backbone, keras.Model, fix=fix)
    if not backbone.built:
        checks.fail(
            "`backbone` must be built",
            fix="Begin a Sequential model with keras.Input, or call the model once.",
            backbone=backbone.name,
        )
    return backbone


def _mode(network, preprocessing):
    if preprocessing != "auto":
        return preprocessing
    mode = families.preprocessing_mode(network)
    if mode == "unknown":
        checks.fail(
            "`preprocessing` must be given for a network without its own whose "
            "variants differ",
            fix='Give "torch" for EfficientNetV2B0 to B3, "tf" for S, M and L, or make '
            "the network with include_preprocessing=True.",
            backbone=network.name,
            preprocessing=preprocessing,
        )
    return mode


def _inputs(network):
    """New inputs like those of a model, with their names."""
    structure = input_signature(network)
    structure = structure[0] if len(structure) == 1 else structure
    return keras.tree.map_structure(
        lambda spec: keras.Input(spec.shape[1:], dtype=spec.dtype, name=spec.name),
        structure,
    )


def _preprocessed(inputs, mode, max_value):
    flat = keras.tree.flatten(inputs)
    if mode is None:
        return inputs
    if len(flat) != 1 or len(flat[0].shape) != 4:
        checks.fail(
            "`preprocessing` is for one input of images",
            fix="Give preprocessing=None.",
            preprocessing=mode,
            input_shapes=[x.shape for x in flat],
        )
    part = families.preprocessing(mode, flat[0].shape[1:], max_value)
    return inputs if part is None else part(inputs)


def _cut(network, output_layer):
    """The network up to a layer; the network itself for `None` or an output's key."""
    if output_layer is None:
        _refuse_classifier(network)
        return network
    keys = getattr(network, "output", None)
    if isinstance(keys, dict) and output_layer in keys:
        return network
    names = [layer.name for layer in network.layers]
    if output_layer not in names or not hasattr(network, "inputs"):
        checks.fail(
            "`output_layer` must be the name of a layer of the backbone, a Functional "
            "or Sequential model",
            output_layer=output_layer,
            layers=names,
        )
    output = network.get_layer(output_layer).output
    return keras.Model(network.inputs, output, name=network.name)


def _refuse_classifier(network):
    last = network.layers[-1] if network.layers else None
    activation = getattr(last, "activation", None)
    if activation in (keras.activations.softmax, keras.activations.sigmoid) and (
        isinstance(last, keras.layers.Dense)
    ):
        checks.fail(
            "`backbone` must not end in a classifier",
            fix="Make it with include_top=False, or name the layer before the "
            "classifier as `output_layer`.",
            last_layer=last.name,
            layers=[layer.name for layer in network.layers[-4:]],
        )


def _features(outputs, output_layer):
    if isinstance(outputs, dict) and output_layer in outputs:
        return outputs[output_layer]
    if len(keras.tree.flatten(outputs)) != 1:
        keys = list(outputs) if isinstance(outputs, dict) else len(outputs)
        checks.fail(
            "`backbone` must have one output, or `output_layer` must name one",
            outputs=keys,
            output_layer=output_layer,
        )
    return keras.tree.flatten(outputs)[0]


def _pooled(x, pooling):
    rank = len(x.shape)
    if rank == 2:
        return x
    if pooling == "flatten":
        return keras.layers.Flatten(name="head_pooling")(x)
    if pooling == "attention":
        if rank > 3 and keras.config.image_data_format() == "channels_first":
            order = (*range(2, rank), 1)
            x = keras.layers.Permute(order, name="head_channels_last")(x)
        return AttentionPooling(name="head_pooling")(x)
    word = {"avg": "Average", "max": "Max"}[pooling]
    layer = getattr(keras.layers, f"Global{word}Pooling{rank - 2}D")
    return layer(name="head_pooling")(x)
