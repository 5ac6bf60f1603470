"""Compiled loops of the current backend."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import keras

from keras_strategies._internal.keras_private.step_blocks import has_stock_step


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


def has_any_size_loop(model: keras.Model, kind: str, xla: bool) -> bool:
    """Whether one compiled loop can serve batches of any number of rows.

    XLA and JAX compile for each. With several outputs plain `fit` weights the losses of
    each by the rows of a batch only where it does not know them.
    """
    if is_jax() or xla or kind == "predict":
        return False
    outputs = getattr(model, "outputs", None)
    return has_stock_step(model, f"{kind}_step") and len(outputs or ()) == 1


def make_loop(
    model: keras.Model, kind: str, batch_size: int | None, xla: bool
) -> Callable[..., Any]:
    """Returns the compiled loop for one kind of step; `None` for any batch size."""
    module, name = device_module(), "Jax" if is_jax() else "TensorFlow"
    if batch_size is None:
        from keras_strategies.training._blocks.loop_any_size import (
            TensorFlowAnySizeLoop,
        )

        return TensorFlowAnySizeLoop(model, kind)
    if kind == "predict":
        return getattr(module, f"{name}Prediction")(model, batch_size, xla)
    return getattr(module, f"{name}Loop")(model, kind, batch_size, xla)
