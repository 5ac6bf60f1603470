"""Trying things on a model without leaving a trace."""

import contextlib
import random

import keras
import numpy as np

from keras_strategies._internal.keras_private.launches import (
    global_seed_state,
    set_global_seed_state,
)

_ATTRIBUTES = (
    "history",
    "stop_training",
    "stop_evaluating",
    "stop_predicting",
    "train_function",
    "test_function",
    "predict_function",
)


def state_variables(model):
    """Weights, seeds, metrics and the optimizer's variables, each once."""
    found = {id(variable): variable for variable in model.variables}
    found.update((id(variable), variable) for variable in model.metrics_variables)
    if model.optimizer is not None:
        found.update((id(item), item) for item in model.optimizer.variables)
    return list(found.values())


@contextlib.contextmanager
def unchanged(model):
    """Puts the model, its optimizer and all random states back at the end.

    Gives a function that puts the variables back in between.
    """
    variables = state_variables(model)
    values = [np.array(keras.ops.convert_to_numpy(item)) for item in variables]
    held = {
        name: model.__dict__[name] for name in _ATTRIBUTES if name in model.__dict__
    }
    python, numpy = random.getstate(), np.random.get_state()
    seed = global_seed_state()

    def put_back():
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    try:
        yield put_back
    finally:
        put_back()
        for name in _ATTRIBUTES:
            if name in held:
                model.__dict__[name] = held[name]
            else:
                model.__dict__.pop(name, None)
        random.setstate(python)
        np.random.set_state(numpy)
        set_global_seed_state(seed)
