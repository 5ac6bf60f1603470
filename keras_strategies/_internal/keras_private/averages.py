"""Averages of weights on the device."""

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from keras.src.utils.module_utils import tensorflow as lazy_tensorflow

from keras_strategies._internal.keras_private.step_blocks import is_distributed
from keras_strategies._internal.keras_private.training import (
    compile_function,
    current_values,
)
from keras_strategies._internal.weights.values import host_values


class DeviceAverages:
    """Averages in at least 32 bits, moved towards the weights in one call.

    Keras compiles only whole training steps. TensorFlow comes from Keras's own lazy
    import; there the averages are variables that are updated in place, which takes
    half the time of a function from lists to lists, and half of that again with XLA
    (which compiles a hundred variables as fast as TensorFlow). Keras 3.12 to 3.15.
    """

    def __init__(self, arrays: Iterable[np.ndarray]) -> None:
        arrays = [
            np.asarray(a, "float64" if a.dtype == "float64" else "float32")
            for a in arrays
        ]
        self._in_place = keras.backend.backend() == "tensorflow"
        if self._in_place:
            make = lazy_tensorflow.Variable
            self._averages = [make(array, trainable=False) for array in arrays]
        else:
            self._averages = [ops.convert_to_tensor(array) for array in arrays]
        self._move, self._moves = None, []

    def assign(self, arrays: Sequence[np.ndarray]) -> bool:
        """Sets the averages; returns whether they have the shapes of `arrays`."""
        old = [tuple(average.shape) for average in self._averages]
        if old != [np.shape(array) for array in arrays]:
            return False
        if self._in_place:
            for average, array in zip(self._averages, arrays, strict=True):
                average.assign(np.asarray(array, average.dtype.as_numpy_dtype))
            return True
        dtypes = [keras.backend.standardize_dtype(a.dtype) for a in self._averages]
        pairs = zip(arrays, dtypes, strict=True)
        self._averages = [ops.convert_to_tensor(np.asarray(a, d)) for a, d in pairs]
        return True

    def arrays(self) -> list[np.ndarray]:
        """The averages as NumPy arrays."""
        return host_values(self._averages)

    @property
    def tensors(self) -> list[Any]:
        """The averages on the device: variables on TensorFlow, else arrays."""
        return self._averages

    @tensors.setter
    def tensors(self, tensors: Sequence[Any]) -> None:
        self._averages = list(tensors)

    def move(
        self, model: keras.Model, variables: Sequence[keras.Variable], weight: float
    ) -> None:
        """Moves each average by `weight` of the way to its variable."""
        if not self._in_place:
            if self._move is None:
                self._move = compile_function(moved_averages)
            values = current_values(model, variables)
            self._averages = self._move(self._averages, values, np.float32(weight))
            return
        same = len(variables) == len(self._moves) and all(
            a is b for a, b in zip(variables, self._moves, strict=True)
        )
        if not same:
            self._move = self._compiled(variables, not is_distributed(model))
            self._moves = list(variables)
        self._move(lazy_tensorflow.constant(weight, "float32"))

    def _compiled(self, variables, jit_compile):
        """A function of the weight alone: the variables are caught, not passed."""
        averages, values = self._averages, [variable.value for variable in variables]

        def move(weight):
            moved = moved_averages(averages, values, weight)
            for average, new in zip(averages, moved, strict=True):
                average.assign(new)

        scalar = lazy_tensorflow.TensorSpec((), "float32")
        function = lazy_tensorflow.function(move, jit_compile=jit_compile)
        return function.get_concrete_function(scalar)


def moved_averages(
    averages: Sequence[Any], values: Sequence[Any], weight: Any
) -> list[Any]:
    """Each average, moved by `weight` of the way to its value."""
    moved = []
    for average, value in zip(averages, values, strict=True):
        average = ops.convert_to_tensor(average)
        value = ops.cast(ops.stop_gradient(value), average.dtype)
        moved.append(average + ops.cast(weight, average.dtype) * (value - average))
    return moved
