"""Marks that depend on the backend."""

import keras
import pytest


def compile_modes(steps=None):
    """Arguments of `compile`: the default and several steps, where anything compiles.

    `jit_compile=True` is what the default, `"auto"`, means for these models: slow.
    """
    if keras.backend.backend() == "torch":
        return [{}]
    modes = []
    for plain in ({}, *([] if steps is None else [{"steps_per_execution": steps}])):
        xla = plain | {"jit_compile": True}
        modes += [plain, pytest.param(xla, marks=pytest.mark.slow)]
    return modes


def slow_on_jax(test):
    """For what takes seconds on JAX only, which compiles each operation and shape."""
    return pytest.mark.slow(test) if keras.backend.backend() == "jax" else test


def slow_where_compiled(test):
    """For trainings that Torch, which compiles nothing, shows at once."""
    return test if keras.backend.backend() == "torch" else pytest.mark.slow(test)
