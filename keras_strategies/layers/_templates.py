"""Layers given as patterns, of which a block makes fresh copies."""

import json

import keras

from keras_strategies._internal import checks


def keep(name, value):
    """The serialized form of a layer, or `None`; takes that form too."""
    if value is None or isinstance(value, dict):
        return value
    if not isinstance(value, keras.layers.Layer):
        checks.fail(
            f"`{name}` must be a layer, of which the block makes copies",
            error=TypeError,
            **{name: value},
            fix="Pass an instance, such as keras.layers.LayerNormalization().",
        )
    if value.built:
        checks.fail(
            f"`{name}` must not be built: it is a pattern, its weights are not used",
            **{name: value},
        )
    return keras.saving.serialize_keras_object(value)


def keep_activation(value):
    """The serialized form of an activation or of a layer that acts as one."""
    if isinstance(value, keras.layers.Layer | dict):
        return keep("activation", value)
    return keras.activations.serialize(keras.activations.get(value))


def fresh(kept, name, policy, **changes):
    """A new layer from its serialized form, under another name."""
    kept = json.loads(json.dumps(kept))
    dtype = keras.saving.serialize_keras_object(policy)
    kept["config"].update(changes, name=name, dtype=dtype)
    kept.pop("build_config", None)
    return keras.saving.deserialize_keras_object(kept)


def fresh_activation(kept, name, policy):
    """An activation layer from what `keep_activation` kept."""
    if isinstance(kept, dict) and "module" in kept and _is_layer(kept):
        return fresh(kept, name, policy)
    function = keras.activations.get(kept)
    return keras.layers.Activation(function, name=name, dtype=policy)


def _is_layer(kept):
    thing = keras.saving.deserialize_keras_object(json.loads(json.dumps(kept)))
    return isinstance(thing, keras.layers.Layer)


def build_all(layers, shape):
    """Builds layers that follow each other and returns the shape behind them."""
    for layer in layers:
        layer.build(shape)
        shape = layer.compute_output_shape(shape)
    return shape
