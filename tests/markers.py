"""Marks that depend on the backend."""

import keras
import pytest


def slow_on_jax(test):
    """For what takes seconds on JAX only, which compiles each operation and shape."""
    return pytest.mark.slow(test) if keras.backend.backend() == "jax" else test


def slow_where_compiled(test):
    """For trainings that Torch, which compiles nothing, shows at once."""
    return test if keras.backend.backend() == "torch" else pytest.mark.slow(test)
