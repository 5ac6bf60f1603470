"""State of a model that is the same after a measurement."""

import contextlib
import random
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from keras_strategies._internal.keras_private.step_blocks import (
    global_seed_state,
    set_global_seed_state,
)
from keras_strategies._internal.traversal import (
    all_layers,
    all_variables,
    optimizer_variables,
)
from keras_strategies._internal.weights.values import assign_values, host_values

_ATTRIBUTES = (
    "history",
    "stop_training",
    "stop_evaluating",
    "stop_predicting",
    "train_function",
    "test_function",
    "predict_function",
)

# Levels of lists and dicts in an attribute that are looked into.
_DEPTH = 3


def state_variables(model: keras.Model) -> list[keras.Variable]:
    """Returns weights, states, metrics and the optimizer's variables, each once."""
    variables = {id(variable): variable for variable in all_variables(model)}
    variables.update((id(variable), variable) for variable in model.metrics_variables)
    if model.optimizer is not None:
        variables.update((id(v), v) for v in optimizer_variables(model.optimizer))
    return list(variables.values())


def raw_state(model: keras.Model) -> list[Any]:
    """Returns TensorFlow's own variables in attributes of layers and the optimizer.

    Keras lists its own variables only. A `tf.random.Generator` has its state in one.
    """
    if keras.backend.backend() != "tensorflow":
        return []
    import tensorflow as tf

    found: dict[int, Any] = {}

    def look(value: Any, depth: int = 0) -> None:
        if isinstance(value, tf.random.Generator):
            value = value.state
        if isinstance(value, tf.Variable):
            found[id(value)] = value
        elif isinstance(value, dict) and depth < _DEPTH:
            for item in list(value.values()):
                look(item, depth + 1)
        elif isinstance(value, list | tuple) and depth < _DEPTH:
            for item in value:
                look(item, depth + 1)

    for owner in [model, *all_layers(model), model.optimizer]:
        for value in list(vars(owner).values()) if owner is not None else []:
            look(value)
    return list(found.values())


@contextlib.contextmanager
def preserve_state(model: keras.Model) -> Iterator[Callable[[], None]]:
    """Restores the model, its optimizer and all random states at the end of the block.

    Yields a function that restores the variables within the block.
    """
    variables = state_variables(model)
    values = host_values(variables)
    raw = raw_state(model)
    raw_values = [variable.numpy() for variable in raw]
    attributes = {
        name: model.__dict__[name] for name in _ATTRIBUTES if name in model.__dict__
    }
    python, numpy = random.getstate(), np.random.get_state()
    seed = global_seed_state()

    def restore():
        assign_values(variables, values)
        assign_values(raw, raw_values)

    try:
        yield restore
    finally:
        restore()
        for name in _ATTRIBUTES:
            if name in attributes:
                model.__dict__[name] = attributes[name]
            else:
                model.__dict__.pop(name, None)
        random.setstate(python)
        np.random.set_state(numpy)
        set_global_seed_state(seed)
