"""Compiled loops of the current backend."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import keras


def is_jax() -> bool:
    """Whether the backend is JAX, whose training functions have another signature."""
    return keras.backend.backend() == "jax"


def device_module() -> ModuleType:
    """Returns the module with `to_device` and `permutation` of the backend."""
    if is_jax():
        from keras_strategies.training._blocks import loop_jax as module
    else:
        from keras_strategies.training._blocks import loop_tensorflow as module
    return module


def make_loop(
    model: keras.Model, kind: str, batch_size: int, xla: bool
) -> Callable[..., Any]:
    """Returns the compiled loop for one kind of step."""
    module, name = device_module(), "Jax" if is_jax() else "TensorFlow"
    if kind == "predict":
        return getattr(module, f"{name}Prediction")(model, batch_size, xla)
    return getattr(module, f"{name}Loop")(model, kind, batch_size, xla)
