"""Frozen layers: nothing of them moves in training, also in a compiled model.

Keras's `trainable = False` holds the weights and BatchNormalization's statistics,
but only after another `compile`, and Dropout goes on drawing. Here a frozen layer has
no trainable variables and is called at inference; where the model is compiled, its
optimizer is built for the variables that are left, with what it knows of them, and the
training step is traced anew. Both also work between two epochs of `fit`.
"""

import hashlib
import types
from collections.abc import Iterable, Mapping
from typing import Any

import keras

from keras_strategies._internal import checks, keras_private
from keras_strategies._internal.select import Target, layer_targets
from keras_strategies._internal.weights.values import host_value

_RECORD = "_frozen_record"


def freeze_layers(model: keras.Model, layers: Iterable[keras.layers.Layer]) -> None:
    """Freezes layers of a model, each without the layers inside it, in place.

    Args:
        model: The model that is trained, compiled or not.
        layers: Layers of it, or itself.
    """
    _change(model, layers, _freeze_own)


def unfreeze_layers(model: keras.Model, layers: Iterable[keras.layers.Layer]) -> None:
    """Undoes `freeze_layers`, and `trainable = False`, for these layers."""
    _change(model, layers, _unfreeze_own)


def _change(model, layers, change):
    keras_private.sync_state(model)
    layers = list(layers)
    everything = [model, *(target.item for target in layer_targets(model))]
    before = [(layer, _flags(layer)) for layer in everything]
    try:
        for layer in layers:
            change(layer)
        _set_container_flags(model)
        refresh(model)
    except Exception:
        for layer, flags in before:
            _restore(layer, flags)
        raise


def refresh(model: keras.Model) -> None:
    """Lets a compiled model train what is trainable now, with the optimizer it has."""
    if not getattr(model, "compiled", False):
        return
    with keras_private.variables_scope(model):
        keras_private.rebuild_optimizer(model.optimizer, model.trainable_variables)
    keras_private.retrace_training(model)


def check_built(model: keras.Model) -> None:
    """Refuses a model some of whose layers have no weights yet."""
    unbuilt = [t.path for t in layer_targets(model) if not t.item.built]
    if unbuilt or not model.built:
        checks.fail(
            "All layers of the model must be built",
            fix="Give the model an Input, or call it once on a batch of data.",
            model=model.name,
            unbuilt=unbuilt,
        )


def is_frozen(layer: keras.layers.Layer) -> bool:
    """Whether nothing of a layer trains and it is called at inference."""
    return _RECORD in layer.__dict__


def trains(layer: keras.layers.Layer) -> bool:
    """Whether a variable of the layer itself is trainable."""
    trainable, _ = keras_private.own_variables_of_layer(layer)
    return any(variable.trainable for variable in trainable)


def digests(model: keras.Model, layers: Iterable[keras.layers.Layer]) -> dict[str, str]:
    """Returns a digest of each variable of these layers: weights, statistics, seeds.

    Of each layer without the layers inside it. The values themselves would take the
    memory of the model once more.
    """
    chosen = {id(layer) for layer in layers}
    found = {}
    for target in [Target("", model, model), *layer_targets(model)]:
        if id(target.item) not in chosen:
            continue
        trainable, others = keras_private.own_variables_of_layer(target.item)
        for number, variable in enumerate([*trainable, *others]):
            value = host_value(variable)
            digest = hashlib.blake2b(value.tobytes(), digest_size=16).hexdigest()
            found[f"{target.path}/{variable.name}#{number}"] = digest
    return found


def moved(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Returns the paths of the variables whose digests differ."""
    return [
        path.rpartition("#")[0]
        for path, value in after.items()
        if before.get(path) != value
    ]


def _freeze_own(layer):
    if is_frozen(layer):
        return
    flags = _flags(layer)
    for variable, _ in flags.variables:
        variable.trainable = False
    keras_private.set_own_flag(layer, False)
    # In an object, so that Keras does not track the variables as the layer's.
    record = types.SimpleNamespace(flags=flags, release=None)
    layer.__dict__[_RECORD] = record


def _unfreeze_own(layer):
    record = layer.__dict__.pop(_RECORD, None)
    if record is not None and record.release is not None:
        record.release()
    flags = _flags(layer) if record is None else record.flags
    # With LoRA the weights that it stands in for stay as they are.
    lora = ("kernel", "embeddings") if getattr(layer, "lora_enabled", False) else ()
    some_trained = any(trainable for _, trainable in flags.variables)
    for variable, trainable in flags.variables:
        # Where nothing trained before, the flags come from a file or the user.
        natural = variable.name not in lora
        variable.trainable = trainable if some_trained else natural
    keras_private.set_own_flag(layer, True)


def _flags(layer):
    trainable, _ = keras_private.own_variables_of_layer(layer)
    return types.SimpleNamespace(
        own=layer.trainable,
        variables=[(variable, variable.trainable) for variable in trainable],
        record=layer.__dict__.get(_RECORD),
    )


def _restore(layer, flags):
    """Puts a layer back after a change that failed."""
    current = layer.__dict__.pop(_RECORD, None)
    if current is not None and current is not flags.record and current.release:
        current.release()
    if flags.record is not None:
        layer.__dict__[_RECORD] = flags.record
        if flags.record.release is not None and current is not flags.record:
            flags.record.release = keras_private.hold_at_inference(layer)
    for variable, trainable in flags.variables:
        variable.trainable = trainable
    keras_private.set_own_flag(layer, flags.own)


def _set_container_flags(model):
    """Flags of layers around others, and calls at inference where all is frozen.

    A container whose flag is `False` hides the variables in it; one that is called at
    inference hands that on to all that is in it.
    """
    targets = layer_targets(model)
    inside: dict[int, list[Any]] = {id(model): [t.item for t in targets]}
    for target in targets:
        for _, around in target.around:
            inside.setdefault(id(around), []).append(target.item)
    for layer in [model, *(target.item for target in targets)]:
        record = layer.__dict__.get(_RECORD)
        content = inside.get(id(layer), [])
        all_frozen = record is not None and all(is_frozen(part) for part in content)
        if content and any(trains(part) for part in [layer, *content]):
            keras_private.set_own_flag(layer, True)
        if record is None:
            continue
        if all_frozen and record.release is None:
            record.release = keras_private.hold_at_inference(layer)
        elif not all_frozen and record.release is not None:
            record.release()
            record.release = None
