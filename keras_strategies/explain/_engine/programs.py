"""Functions of a model, compiled once and kept as long as the model lives."""

import functools
import weakref
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import keras_private
from keras_strategies._internal.types import Tensor

#: `function(model, arrays)` on `keras.ops`, which returns a flat list of tensors.
Function = Callable[[keras.Model, list[Tensor]], list[Tensor]]

# The programs of a model by what they compute. They hold the model weakly: what a
# WeakKeyDictionary keeps must not keep its key.
_PROGRAMS: weakref.WeakKeyDictionary[
    keras.Model, dict[tuple[Any, ...], Callable[[list[Any]], list[Any]]]
] = weakref.WeakKeyDictionary()
# Of a model, the last ones: a function as the target is a new one in each call.
_MOST = 64


def program(
    model: keras.Model, key: Hashable, function: Function
) -> Callable[[Sequence[Any]], list[np.ndarray]]:
    """Returns `function` of a model as a function from arrays to arrays.

    It is traced once for each shape of the arrays, on TensorFlow whatever the number
    of samples, and again when the model has other
    variables than before, as after `quantize` or `enable_lora`. The model is left as
    it is: losses of activations are not recorded.

    Args:
        model: The model.
        key: What the function computes; equal keys share one program.
        function: The function. It must not refer to `model` otherwise than by its
            argument.
    """
    programs = _PROGRAMS.setdefault(model, {})
    full_key = (key, tuple(id(variable) for variable in model.variables))
    if full_key not in programs:
        # Variables have been exchanged since (a layer was built again, LoRA): it would
        # compute with the old ones.
        for old in [other for other in programs if other[0] == key]:
            del programs[old]
        while len(programs) >= _MOST:
            del programs[next(iter(programs))]
        programs[full_key] = _compiled(weakref.ref(model), function)
    compiled = programs[full_key] = programs.pop(full_key)  # the last used is last

    def run(arrays: Sequence[Any]) -> list[np.ndarray]:
        tensors = [keras.ops.convert_to_tensor(array) for array in arrays]
        with keras_private.preserved_losses(model):
            results = compiled(tensors)
        return [keras.ops.convert_to_numpy(result) for result in results]

    return run


def _compiled(model, function):
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return _compiled_by_tensorflow(model, function)
    if backend == "jax":
        return _compiled_by_jax(model, function)
    if backend == "torch":
        return _eager_torch(model, function)
    return lambda arrays: function(model(), arrays)


def _compiled_by_tensorflow(model, function):
    import tensorflow as tf

    traced: dict[Any, Any] = {}

    def run(arrays):
        # One trace for all numbers of samples.
        specs = tuple((x.dtype, tuple(x.shape[1:])) for x in arrays)
        if specs not in traced:
            signature = [tf.TensorSpec([None, *shape], kind) for kind, shape in specs]
            # A partial, as TensorFlow warns of many traces by the code they come from.
            traced[specs] = tf.function(
                functools.partial(_call, model, function),
                input_signature=signature,
                autograph=False,
            )
        return traced[specs](*arrays)

    return run


def _call(model, function, *tensors):
    return function(model(), list(tensors))


def _compiled_by_jax(model, function):
    import jax

    @jax.jit
    def run(values, arrays):
        pairs = list(zip(model().variables, values, strict=True))
        with keras.StatelessScope(pairs):
            return function(model(), arrays)

    # The weights are arguments: a program would keep their values as constants.
    return lambda arrays: run([v.value for v in model().variables], arrays)


def _eager_torch(model, function):
    import torch

    def run(arrays):
        with torch.no_grad():
            return function(model(), arrays)

    return run
