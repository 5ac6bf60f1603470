"""A compiled training step that trains models which were built alike."""

import hashlib
import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np

from keras_strategies._internal.keras_private.initial_draws import has_global_generator
from keras_strategies._internal.keras_private.training import compile_arguments
from keras_strategies._internal.references import can_reach
from keras_strategies._internal.traversal import (
    all_layers,
    all_variables,
    base_optimizers,
    optimizer_paths,
    optimizer_variables,
)
from keras_strategies._internal.variable_values import assign_values, host_values
from keras_strategies.training._fingerprint import fingerprint

# Functions of these packages are told by their names.
_LIBRARIES = ("keras", "tensorflow", "jax", "numpy")
# Attributes that tell whether and how an object was used.
_USED = (
    *("_lock", "built", "_built", "_called"),
    *("stop_training", "stop_evaluating", "stop_predicting"),
    *("train_function", "test_function", "predict_function"),
)


class SharedProgram:
    """A model that trains in the place of others, so that they are not compiled.

    `build_fn()` for another seed gives a model that differs from the last one in the
    values of its variables; to trace and compile its step again takes longer than a
    short training. This one takes over the values of another one, is trained in its
    place, and gives what that would have given. What would make a difference is looked
    for, and such a model has to be trained by itself:

    - another architecture, config, number or array of a layer, loss, metric or
      optimizer, which are constants of the compiled step;
    - callbacks or data that reach the other model, beyond `set_model`;
    - draws from Keras's global generator, which the compiled step keeps.

    Args:
        model: Built and compiled model that has not been trained.
    """

    def __init__(self, model: keras.Model):
        self.model = model
        self._optimizer = model.optimizer
        # What its first step would make: values of slots are not always 0.
        self._optimizer.build(model.trainable_variables)
        self._optimizer_values = host_values(optimizer_variables(self._optimizer))
        self._function: Any = None

    def has_trained(self) -> bool:
        """Notes what the first training compiled; whether others can be trained."""
        self._function = self.model.train_function
        return self._function is not None and not has_global_generator()

    def obstacle(self, other: keras.Model, roots: Iterable[Any]) -> str | None:
        """Why `other` has to be trained by itself, `None` if it need not be.

        If there is none, this model has the values of `other` afterwards.

        Args:
            other: A model that was built and compiled, and not trained.
            roots: What the training of `other` would be given: callbacks, data.
        """
        if self.model.train_function is not self._function:
            return "its step was compiled anew"
        if self.model.optimizer is not self._optimizer:
            return "its optimizer was exchanged"
        mine, others = all_variables(self.model), all_variables(other)
        if [_form(v) for v in mine] != [_form(v) for v in others]:
            return "it has other variables"
        parts = [other, *all_layers(other), *others, other.optimizer]
        if can_reach(roots, parts):
            return "callbacks or data refer to it"
        if other.optimizer.built:
            return "its optimizer has a state"
        assign_values(optimizer_variables(self._optimizer), self._optimizer_values)
        assign_values(mine, host_values(others))
        self.model.reset_metrics()
        self.model.stop_training = False
        self.model.history = None
        if description(self.model) != description(other):
            return "it is not built alike"
        return None


def description(model: keras.Model) -> str:
    """A hash of all that a compiled step of a model computes with but its variables."""
    compiled = compile_arguments(model)
    optimizers = [item for path in optimizer_paths(model.optimizer) for item in path]
    parts = {
        "fingerprint": fingerprint(model),
        "layers": [_numbers(layer) for layer in [model, *all_layers(model)]],
        "optimizers": [
            [_text(item.get_config()), _text(item)]
            for item in [*optimizers, *base_optimizers(model.optimizer)]
        ],
        "compiled": _text(
            {
                name: compiled.get(name)
                for name in ("loss", "loss_weights", "metrics", "weighted_metrics")
            }
        ),
        "flags": [bool(layer.trainable) for layer in all_layers(model)],
        "policies": [layer.dtype_policy.name for layer in all_layers(model)],
        "run": [model.jit_compile, model.run_eagerly, model.steps_per_execution],
    }
    return hashlib.sha256(repr(sorted(parts.items())).encode()).hexdigest()


def _form(variable):
    return tuple(variable.shape), str(variable.dtype), bool(variable.trainable)


def _numbers(layer):
    """Numbers, arrays and functions among the attributes of a layer."""
    return [
        (name, _text(value))
        for name, value in sorted(vars(layer).items())
        if name not in _USED and _is_plain(value)
    ]


def _is_plain(value):
    if isinstance(value, keras.Variable):  # its value is taken over; made by `build`
        return False
    return (
        isinstance(value, bool | int | float | complex | np.ndarray | np.generic)
        or inspect.isfunction(value)
        or (keras.ops.is_tensor(value) and not isinstance(value, keras.KerasTensor))
    )


def _text(value: Any, within: tuple[int, ...] = ()) -> str:
    """A text that is the same for what computes the same, where that can be said."""
    if id(value) in within:  # a function that refers to itself
        return f"^{within.index(id(value))}"
    within = (*within, id(value))
    if isinstance(value, Mapping):
        items = sorted((str(key), item) for key, item in value.items())
        return repr(
            [(key, _text(item, within)) for key, item in items if key != "name"]
        )
    if isinstance(value, list | tuple):
        return repr([_text(item, within) for item in value])
    if value is None or isinstance(value, bool | int | float | complex | str):
        return repr(value)
    if isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value)
        return hashlib.sha256(array.tobytes()).hexdigest() + str(array.shape)
    if isinstance(value, keras.Variable):
        return "variable"
    if keras.ops.is_tensor(value):
        return _text(keras.ops.convert_to_numpy(value))
    if inspect.isfunction(value):
        return _function_text(value, within)
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    if hasattr(value, "get_config"):
        own = {
            key: item
            for key, item in vars(value).items()
            if key not in _USED and _is_plain(item)
        }
        return repr([name, _text(value.get_config(), within), _text(own, within)])
    return name


def _function_text(function, within):
    name = f"{function.__module__}.{function.__qualname__}"
    if name.partition(".")[0] in _LIBRARIES:
        return name
    used = inspect.getclosurevars(function)
    inside = [used.nonlocals, function.__defaults__, function.__kwdefaults__]
    return name + _text([_code(function.__code__), *inside], within)


def _code(code):
    inner = [_code(item) for item in code.co_consts if inspect.iscode(item)]
    plain = [repr(item) for item in code.co_consts if not inspect.iscode(item)]
    return [code.co_code.hex(), list(code.co_names), plain, inner]
