"""Layers passed as templates, of which a block creates new copies."""

import json
from collections.abc import Sequence
from typing import Any

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.types import Serialized, Shape


def to_template(name: str, value: Any) -> Serialized | None:
    """Checks a layer, its serialized form or `None`; returns the serialized form."""
    if value is None or isinstance(value, dict):
        return value
    if not isinstance(value, keras.layers.Layer):
        checks.fail(
            f"`{name}` must be a layer, of which the block creates copies",
            error=TypeError,
            **{name: value},
            fix="Pass an instance, such as keras.layers.LayerNormalization().",
        )
    if value.built:
        checks.fail(
            f"`{name}` must not be built: it is a template, its weights are not used",
            **{name: value},
        )
    return keras.saving.serialize_keras_object(value)


def to_activation_template(value: Any) -> Any:
    """Returns the serialized form of an activation or of a layer used as one."""
    if isinstance(value, keras.layers.Layer | dict):
        return to_template("activation", value)
    return keras.activations.serialize(keras.activations.get(value))


def create(template: Any, name: str, policy: Any, **changes: Any) -> keras.layers.Layer:
    """Creates a layer from a template, with another name and config entries."""
    serialized = _copy(template)
    dtype = keras.saving.serialize_keras_object(policy)
    serialized["config"].update(changes, name=name, dtype=dtype)
    serialized.pop("build_config", None)
    return keras.saving.deserialize_keras_object(serialized)


def create_activation(template: Any, name: str, policy: Any) -> keras.layers.Layer:
    """Creates an activation layer from a result of `to_activation_template`."""
    if isinstance(template, dict) and "module" in template and _is_layer(template):
        return create(template, name, policy)
    function = keras.activations.get(template)
    return keras.layers.Activation(function, name=name, dtype=policy)


def _is_layer(template: Any) -> bool:
    value = keras.saving.deserialize_keras_object(_copy(template))
    return isinstance(value, keras.layers.Layer)


def _copy(template: Any) -> Any:
    # Deserialization changes its argument. A copy through JSON is what a file has.
    return json.loads(json.dumps(template))


def build_all(layers: Sequence[keras.layers.Layer], shape: Shape) -> Shape:
    """Builds layers in sequence and returns the shape of the last output."""
    for layer in layers:
        layer.build(shape)
        shape = layer.compute_output_shape(shape)
    return shape
