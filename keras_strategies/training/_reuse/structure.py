"""What a compiled step is made of, as a key: models of one key share a program."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import keras

from keras_strategies._internal.keras_private.compiled_step import (
    excludes_from_weight_decay,
)
from keras_strategies._internal.keras_private.step_blocks import is_distributed
from keras_strategies._internal.keras_private.training import compile_arguments
from keras_strategies._internal.model_graph.predicates import functional_class
from keras_strategies._internal.traversal import all_layers

# Rooms of Keras's layers whose config is all that they are made of: none with tables,
# adapted statistics or functions of the user's.
_LAYER_ROOMS = (
    "activations",
    "attention",
    "convolutional",
    "core",
    "merging",
    "normalization",
    "pooling",
    "regularization",
    "reshaping",
    "rnn",
)
_REFUSED_LAYERS = (keras.layers.Lambda, keras.layers.Wrapper)
_OPTIMIZERS = (
    "SGD",
    "Adam",
    "AdamW",
    "Adamax",
    "Nadam",
    "RMSprop",
    "Adagrad",
    "Adadelta",
    "Lion",
    "Ftrl",
    "Lamb",
)
_REGULARIZERS = {"L1": ("l1",), "L2": ("l2",), "L1L2": ("l1", "l2")}
_OWN_METHODS = (
    "call",
    "train_step",
    "test_step",
    "compute_loss",
    "compute_metrics",
    "fit",
    "evaluate",
    "make_train_function",
)
_HELD = "<number>"


class NotUnderstoodError(Exception):
    """A model has something whose effect on its compiled step is not known."""


class Structure(NamedTuple):
    """What models that share a program have in common, and where they differ.

    Attributes:
        key: All that a compiled step is made of, without the numbers.
        numbers: `{place: number}` of what a program can take as a variable: dropout
            rates, factors of regularizers, weight decay and momentum.
    """

    key: str
    numbers: dict[str, float]


def structure(model: keras.Model, holds_numbers: bool) -> Structure:
    """Returns the structure of a compiled, built model of Keras's own parts.

    Only classes of Keras's are taken: the config of another class may leave out what
    it computes with, and two models would be confused.

    Args:
        model: The model.
        holds_numbers: Whether numbers may be variables of a program; else they belong
            to the key.

    Raises:
        NotUnderstoodError: If a part is of another kind; the message names it.
    """
    if not _is_plain_model(type(model)) or not model.built:
        raise NotUnderstoodError(f"{type(model).__name__} is no built functional model")
    _check_own_methods(model)
    if is_distributed(model):
        raise NotUnderstoodError("training is distributed over devices")
    numbers: dict[str, float] = {}
    for position, layer in enumerate(all_layers(model)):
        _check_layer(layer)
        if holds_numbers:
            numbers |= {
                f"{position}.{name}": number
                for name, number in _layer_numbers(layer).items()
            }
    parts = {
        "model": _plain(model.get_config(), holds_numbers),
        "variables": [
            [variable.path, list(variable.shape), variable.dtype, variable.trainable]
            for variable in model.variables
        ],
        "compile": _compiled(model),
        "optimizer": _optimizer(model.optimizer, numbers, holds_numbers),
        "policy": _plain(keras.config.dtype_policy().get_config(), False),
    }
    return Structure(json.dumps(parts, sort_keys=True), numbers)


def _is_plain_model(kind):
    is_functional = issubclass(kind, keras.Function) and kind is functional_class(kind)
    return is_functional or kind is keras.Sequential


def _check_own_methods(thing):
    for name in _OWN_METHODS:
        if name in vars(thing):
            raise NotUnderstoodError(f"{thing.name} has a `{name}` of its own")


def _check_layer(layer):
    rooms = type(layer).__module__.split(".")
    is_known = rooms[:3] == ["keras", "src", "layers"] and rooms[3] in _LAYER_ROOMS
    is_container = rooms[:3] == ["keras", "src", "models"]
    refused = type(layer) in _REFUSED_LAYERS or getattr(layer, "lora_enabled", False)
    if refused or not (is_known or is_container):
        raise NotUnderstoodError(f"{layer.name} is a {type(layer).__name__}")
    _check_own_methods(layer)


def _layer_numbers(layer):
    """`{attribute: number}` of a layer's own numbers that a variable can replace."""
    numbers = {}
    if type(layer) is keras.layers.Dropout and layer.rate > 0:
        numbers["rate"] = float(layer.rate)
    for kind, regularizer in regularizers_of(layer):
        for name in _REGULARIZERS[type(regularizer).__name__]:
            if value := float(getattr(regularizer, name)):
                numbers[f"{kind}.{name}"] = value
    return numbers


def regularizers_of(layer: Any) -> list[tuple[str, Any]]:
    """Returns `(attribute, regularizer)` of Keras's L1, L2 and L1L2 of a layer."""
    kinds = (keras.regularizers.L1, keras.regularizers.L2, keras.regularizers.L1L2)
    return [
        (name, value)
        for name, value in sorted(vars(layer).items())
        if name.endswith("_regularizer") and type(value) in kinds
    ]


def _plain(value, holds_numbers):
    """A config as JSON values; numbers that are held are replaced by a mark."""
    if isinstance(value, Mapping):
        if "class_name" in value and "config" in value:
            _check_serialized(value)
        items = {str(key): _plain(item, holds_numbers) for key, item in value.items()}
        if holds_numbers and isinstance(value.get("config"), Mapping):
            _mark_numbers(value["class_name"], items["config"])
        return items
    if isinstance(value, list | tuple):
        return [_plain(item, holds_numbers) for item in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise NotUnderstoodError(f"a config has a {type(value).__name__}")


def _check_serialized(value):
    module, name = str(value.get("module")), value["class_name"]
    registered = value.get("registered_name")
    if name in ("__tuple__", "__keras_tensor__"):
        return
    # Functional models are registered under their own name.
    is_named = registered not in (None, "Functional", "Sequential")
    if is_named or module.split(".")[0] != "keras":
        raise NotUnderstoodError(f"a config has a {name} of {module}")


def _mark_numbers(name, config):
    names = _REGULARIZERS.get(name, ("rate",) if name == "Dropout" else ())
    for attribute in names:
        if config.get(attribute):
            config[attribute] = _HELD


def _compiled(model):
    arguments = dict(compile_arguments(model))
    arguments.pop("optimizer", None)
    described = {name: _described(value) for name, value in arguments.items()}
    if described.get("run_eagerly") or described.get("steps_per_execution", 1) != 1:
        raise NotUnderstoodError("the model runs eagerly or several steps at once")
    return described | {"jit_compile": model.jit_compile}


def _described(value):
    """Losses and metrics, which are objects, as JSON values."""
    if isinstance(value, Mapping):
        return {str(key): _described(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_described(item) for item in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    owner = value if callable(value) and hasattr(value, "__qualname__") else type(value)
    if owner.__module__.split(".")[0] != "keras":
        raise NotUnderstoodError(f"the model is compiled with {owner.__qualname__}")
    name = f"{owner.__module__}.{owner.__qualname__}"
    if owner is value:
        return name
    try:
        return [name, _plain(value.get_config(), False)]
    except NotImplementedError as error:  # `model.metrics` handed to `compile`
        text = f"the model is compiled with {owner.__qualname__}"
        raise NotUnderstoodError(text) from error


def _optimizer(optimizer, numbers, holds_numbers):
    name = type(optimizer).__name__
    is_known = type(optimizer) is getattr(keras.optimizers, name, None)
    if name not in _OPTIMIZERS or not is_known:
        raise NotUnderstoodError(f"the optimizer is a {name}")
    config = dict(optimizer.get_config())
    if config.get("use_ema") or excludes_from_weight_decay(optimizer):
        raise NotUnderstoodError("the optimizer averages or decays some weights only")
    if isinstance(config["learning_rate"], int | float):
        config["learning_rate"] = _HELD  # a variable in Keras too
    if holds_numbers:
        for attribute in ("weight_decay", "momentum"):
            if isinstance(config.get(attribute), float) and config[attribute]:
                numbers[f"optimizer.{attribute}"] = config[attribute]
                config[attribute] = _HELD
    return [name, _plain(config, False)]
