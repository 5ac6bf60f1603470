"""Regularizers for existing models."""

import dataclasses
from typing import Any, Literal

import keras

from keras_strategies._internal import checks, keras_private
from keras_strategies._internal.model_graph import clone_model
from keras_strategies._internal.select import (
    Selection,
    Selector,
    Target,
    layer_targets,
    weight_target,
)
from keras_strategies._internal.traversal import all_layers, check_built
from keras_strategies._internal.types import Regularizer

# Attributes with a weight, and those with its regularizer that a config is made of.
_KERNELS = (
    ("kernel", "kernel_regularizer"),
    ("kernel", "depthwise_regularizer"),
    ("depthwise_kernel", "depthwise_regularizer"),
    ("pointwise_kernel", "pointwise_regularizer"),
    ("recurrent_kernel", "recurrent_regularizer"),
)
_BIASES = (("bias", "bias_regularizer"),)
# They call the layers inside them once a time step, where Keras loses activity losses.
_LOOPS = (keras.layers.RNN, keras.layers.TimeDistributed)


def apply(
    model: keras.Model,
    kernel: Regularizer | Literal[False] | None = None,
    bias: Regularizer | Literal[False] | None = None,
    activity: Regularizer | Literal[False] | None = None,
    include: Selector | None = None,
    exclude: Selector | None = None,
    copy: bool = False,
) -> keras.Model:
    """Adds regularizers to an existing model, or replaces or removes them, in place.

    Keras takes regularizers when layers are constructed; a model from
    `keras.applications` or from a file has none, and assigning
    `layer.kernel_regularizer` afterwards has no effect. This function sets them so that
    they take effect: weights and optimizer keep their values, a compiled model stays
    compiled and its next `fit` has the penalties in its loss, and a saved model has
    them in its file.

    `kernel` is for the kernels of Dense, EinsumDense, convolutional (also depthwise and
    pointwise), recurrent and attention layers and of custom layers that name them as
    Keras does, also in nested models and wrappers. `bias` is for their biases,
    `activity` for the outputs of these layers (of a layer that runs over time steps as
    a whole). Keras does not penalize weights of frozen layers until they are unfrozen.
    `SimpleRNN` of Keras loses its `activity_regularizer` when it is loaded: apply it
    again there.

    Args:
        model: A built `keras.Model` of any kind, compiled or not.
        kernel: A regularizer, or its name as Keras takes it (`"l2"`), for kernels.
            `False` removes regularizers, `None` does not change them. Defaults to
            `None`.
        bias: The same for biases. Defaults to `None`.
        activity: The same for outputs. Defaults to `None`.
        include: The weights, or for `activity` the layers, to regularize: a regular
            expression that is searched in the path of a weight
            (`"block_1/dense/kernel"`) or layer (`"block_1/dense"`), a layer or model, a
            weight, a function of a layer, or a list of these. Defaults to `None`, all.
        exclude: The weights or layers to leave unchanged, as in `include`, which it
            overrides. Defaults to `None`.
        copy: Whether to work on a copy of the model, compiled alike, and leave the
            model unchanged. Defaults to `False`.

    Returns:
        `model` itself, or its copy.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If the model is not built, if no regularizer is given, if no layer
            has the attribute of one or `include` and `exclude` leave none, if an entry
            of these matches nothing, or if they select only a part of the kernels of a
            multi-head attention, whose config has one regularizer for all. The model
            is unchanged then.

    Example:

    ```python
    import keras
    from keras_strategies import regularizers

    model = keras.Sequential([
        keras.Input((8,)),
        keras.layers.Dense(16, activation="relu"),
        keras.layers.Dense(1, name="head"),
    ])
    model.compile("adam", "mse")
    regularizers.apply(model, kernel=keras.regularizers.L2(1e-4))
    regularizers.apply(model, kernel=False, include="head")
    print(len(model.losses))  # 1
    ```
    """
    checks.instance("model", model, keras.Model)
    checks.boolean("copy", copy)
    selection = Selection(include, exclude)
    requested = {"kernel": kernel, "bias": bias, "activity": activity}
    regularizers = {
        name: _regularizer(name, value)
        for name, value in requested.items()
        if value is not None
    }
    if not regularizers:
        checks.fail(
            "One of `kernel`, `bias` and `activity` must be given",
            fix="`False` removes a regularizer.",
            **requested,
        )
    attributes = {attribute for _, attribute in _KERNELS + _BIASES}
    check_built(model, lambda layer: any(hasattr(layer, name) for name in attributes))
    slots = {name: _slots(model, name) for name in regularizers}
    selection.check_used(
        [slot.target for each in slots.values() for slot in each], "weight or layer"
    )
    masks = {name: _mask(model, name, slots[name], selection) for name in slots}
    if copy:
        # Selected in the model, whose layers and weights the user may have given.
        model = clone_model(model)
        slots = {name: _slots(model, name) for name in regularizers}
    for name, regularizer in regularizers.items():
        pairs = zip(slots[name], masks[name], strict=True)
        _set(model, name, regularizer, [slot for slot, is_in in pairs if is_in])
    _trace_again(model)
    return model


def _regularizer(name: str, value: Any) -> Any:
    if value is False:
        return None
    if value is True or not (isinstance(value, str | dict) or callable(value)):
        checks.fail(
            f"`{name}` must be a regularizer, its name, False or None",
            error=TypeError,
            **{name: value},
        )
    return keras.regularizers.get(value)


@dataclasses.dataclass(frozen=True)
class _Slot:
    """An attribute of a layer that takes a regularizer.

    Attributes:
        target: The weight, or the layer for `activity`, that may be selected.
        layer: The layer.
        attribute: Name of the attribute.
        weight: The weight, or `None` for `activity`.
    """

    target: Target
    layer: keras.layers.Layer
    attribute: str
    weight: keras.Variable | None = None

    def set(self, regularizer: Any) -> None:
        # The layer is saved with its attribute, the loss is that of the variable.
        setattr(self.layer, self.attribute, regularizer)
        if self.weight is not None:
            self.weight.regularizer = regularizer


def _slots(model: keras.Model, name: str) -> list[_Slot]:
    """Returns what may have a `name` ("kernel", "bias", "activity") regularizer."""
    targets = [Target("", model, model), *layer_targets(model)]
    if name == "activity":
        layers = _output_layers([target.item for target in targets])
        return [
            _Slot(target, target.item, "activity_regularizer")
            for target in targets
            if id(target.item) in layers
        ]
    pairs = _KERNELS if name == "kernel" else _BIASES
    return [
        _Slot(weight_target(target, weight), target.item, attribute, weight)
        for target in targets
        for attribute, weight in _weights(target.item, pairs)
    ]


def _output_layers(layers: list[keras.layers.Layer]) -> set[int]:
    """Returns the ids of layers with kernels, and of loops instead of those inside."""
    loops = [layer for layer in layers if isinstance(layer, _LOOPS)]
    inside = {id(layer) for loop in loops for layer in all_layers(loop)}
    return {
        id(layer)
        for layer in layers
        if id(layer) not in inside
        and (isinstance(layer, _LOOPS) or _weights(layer, _KERNELS))
    }


def _weights(
    layer: keras.layers.Layer, pairs: tuple[tuple[str, str], ...]
) -> list[tuple[str, keras.Variable]]:
    """Returns `[(attribute of the regularizer, weight)]` of the layer itself."""
    return [
        (attribute, getattr(layer, name))
        for name, attribute in pairs
        if hasattr(layer, attribute)
        and isinstance(getattr(layer, name, None), keras.Variable)
    ]


def _mask(
    model: keras.Model, name: str, slots: list[_Slot], selection: Selection
) -> list[bool]:
    """Returns for each slot whether it is selected, after all checks."""
    selected = [selection(slot.target) for slot in slots]
    if not any(selected):
        checks.fail(
            f"`include` and `exclude` must leave a place for `{name}`"
            if slots
            else f"`model` must have a layer with a place for `{name}`",
            fix="A regular expression is searched in these paths." if slots else "",
            **selection.received,
            paths=[slot.target.path for slot in slots],
        )
    pairs = zip(slots, selected, strict=True)
    selected_ids = {id(slot.layer) for slot, is_in in pairs if is_in}
    unselected_ids = {id(slot.layer) for slot in slots} - selected_ids
    for layer in _attention_layers(model, selected_ids):
        if {id(inner) for inner in all_layers(layer)} & unselected_ids:
            checks.fail(
                f"`include` and `exclude` must select all places for `{name}` in an "
                "attention layer, or none",
                fix="Its config has one regularizer for all of them.",
                layer=layer.path,
            )
    return selected


def _attention_layers(
    model: keras.Model, selected_ids: set[int]
) -> list[keras.layers.Layer]:
    """Returns the attention layers with selected layers inside them.

    Their kernels belong to layers that are constructed anew from the config of the
    attention layer, which has one regularizer for all of them.
    """
    return [
        layer
        for layer in all_layers(model)
        if keras_private.has_inner_regularizers(layer)
        and {id(inner) for inner in all_layers(layer)} & selected_ids
    ]


def _set(model: keras.Model, name: str, regularizer: Any, slots: list[_Slot]) -> None:
    for slot in slots:
        slot.set(regularizer)
    for layer in _attention_layers(model, {id(slot.layer) for slot in slots}):
        keras_private.set_inner_regularizer(layer, f"{name}_regularizer", regularizer)


def _trace_again(model: keras.Model) -> None:
    """Traces compiled steps again: they read the regularizers when they are traced."""
    if getattr(model, "train_function", None) is not None:
        model.make_train_function(force=True)
    if getattr(model, "test_function", None) is not None:
        model.make_test_function(force=True)
