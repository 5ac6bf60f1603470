"""One compiled prediction for one shape, on each backend.

A program takes flat lists of arrays and returns flat lists of tensors. It reads the
weights when it is called, so that what assigns to them is seen by the next call.
"""

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_strategies._internal.graph_operations import operation_names
from keras_strategies._internal.keras_private.variables import raw_values
from keras_strategies._internal.traversal import all_variables


class NotTraceableError(RuntimeError):
    """The trace of a model would not be the model."""


class ChangesStateError(Exception):
    """A call of the model changes variables or draws random numbers."""


# Operations of TensorFlow that raise for bad values in a graph. XLA leaves them out:
# an index that is out of range reads another row.
_CHECKS = ("Assert", "CheckNumerics", "Gather", "ResourceGather")
_CHANGES = (
    *("Assign", "ResourceScatter", "ResourceApply", "Random", "TruncatedNormal"),
    *("ParameterizedTruncatedNormal", "Multinomial", "Rng", "StatefulStandard"),
    *("StatefulUniform", "StatefulTruncated", "StatefulRandom"),
)


def not_compiled() -> tuple[type[Exception], ...]:
    """Errors after which the next kind of program is tried."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # XLA lacks some operations.
        errors = tf.errors
        return (
            errors.InvalidArgumentError,
            errors.UnimplementedError,
            NotTraceableError,
        )
    return (RuntimeError,)


# What Torch says of values that Python reads without an operation for it.
_READS = (
    *("to a NumPy array", "to a Python list", "Using len to get tensor shape"),
    "torch.tensor results",
)

Program = Callable[[Sequence[np.ndarray]], list[Any]]


def make_program(
    model: keras.Model,
    structure: Any,
    arrays: Sequence[np.ndarray],
    kind: str,
    stateful: bool = False,
) -> Program:
    """Returns the program of `kind` for inputs shaped as `arrays`.

    Args:
        model: Built model.
        structure: Nested structure of the inputs, as the model takes it.
        arrays: Flat inputs of one batch.
        kind: `"xla"`, `"graph"` (TensorFlow), `"trace"` (Torch) or `"eager"`.
        stateful: Whether it is known that a call changes the state.

    Raises:
        ChangesStateError: If a call changes it all the same. Seen on TensorFlow.
        NotTraceableError: If another kind of program is needed.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return _tensorflow(model, structure, arrays, kind, stateful)
    make = {"jax": _jax, "torch": _torch}[backend]
    return make(model, structure, arrays, kind)


def plain_call(model: keras.Model, inputs: Any) -> tuple[Any, bool]:
    """Returns the model's outputs as its backend computes them, state moved too.

    The second result tells whether the call has assigned to a variable, be it the
    value that it had, or has drawn from Torch's generator. On TensorFlow a program
    tells.
    """
    if keras.backend.backend() == "jax":
        if not model.built:
            model(inputs, training=False)
            # Recurrent state is in no list of variables, so that Keras's steps on JAX
            # begin from it and never move it: the construction must not, either.
            tracked = {id(variable) for variable in model.variables}
            for variable in all_variables(model):
                if id(variable) not in tracked:
                    variable.assign(keras.ops.zeros_like(variable.value))
        model.jax_state_sync()
        non_trainable = list(model.non_trainable_variables)
        state = (
            [v.value for v in model.trainable_variables],
            [v.value for v in non_trainable],
        )
        outputs, after = model.predict_step(state, (inputs,))
        moved = False
        for variable, before, value in zip(non_trainable, state[1], after, strict=True):
            if value is not before:
                variable.assign(value)
                moved = True
        return outputs, moved
    if keras.backend.backend() == "torch":
        import torch

        model.eval()
        tensors = [variable.value for variable in all_variables(model)]
        versions = [tensor._version for tensor in tensors]
        drawn = torch.get_rng_state()
        with torch.no_grad():
            outputs = model.predict_step((_tensors(inputs),))
        moved = versions != [tensor._version for tensor in tensors]
        return outputs, moved or not torch.equal(drawn, torch.get_rng_state())
    return model.predict_step((_tensors(inputs),)), False


def _tensors(inputs):
    return keras.tree.map_structure(keras.ops.convert_to_tensor, inputs)


def to_numpy(tensor: Any) -> np.ndarray:
    """Returns a tensor as an array of its own."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return tensor.numpy()
    if backend == "jax":
        return np.array(tensor)
    return keras.ops.convert_to_numpy(tensor).copy()


def kinds(stateful: bool, eager: bool) -> tuple[str, ...]:
    """Returns the kinds of program of this backend, the one to prefer first.

    Args:
        stateful: A call changes variables of the model: recurrent state, seeds.
        eager: The model was compiled with `run_eagerly=True`.
    """
    if eager:
        return ("eager",)
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return ("graph",) if stateful else ("xla", "graph")
    if backend == "jax":
        return ("xla",)
    # A trace would freeze the state of the moment.
    return ("eager",) if stateful else ("trace", "eager")


def _flat_step(model, structure):
    """Returns `predict_step` on flat tensors."""

    def step(*flat):
        inputs = keras.tree.pack_sequence_as(structure, list(flat))
        return keras.tree.flatten(model.predict_step((inputs,)))

    return step


def _tensorflow(model, structure, arrays, kind, stateful):
    import tensorflow as tf

    step = _flat_step(model, structure)
    if kind == "eager":
        return lambda arrays: step(*map(tf.convert_to_tensor, arrays))
    function = tf.function(step, jit_compile=kind == "xla", autograph=False)
    # A concrete function skips the search for a matching trace, a third of the call.
    concrete = function.get_concrete_function(
        *(tf.TensorSpec(a.shape, tf.as_dtype(a.dtype)) for a in arrays)
    )
    operations = operation_names(concrete.graph)
    if not stateful and any(name.startswith(_CHANGES) for name in operations):
        raise ChangesStateError
    if kind == "xla" and any(name.startswith(_CHECKS) for name in operations):
        raise NotTraceableError
    convert = tf.convert_to_tensor
    return lambda arrays: concrete(*[convert(array) for array in arrays])


def _jax(model, structure, arrays, kind):
    import jax

    changed: list[int] = []

    def step(trainable, non_trainable, *flat):
        inputs = keras.tree.pack_sequence_as(structure, list(flat))
        outputs, after = model.predict_step((trainable, non_trainable), (inputs,))
        # Only what the call changed goes back: the same tracer is the same value.
        changed[:] = [i for i, v in enumerate(after) if v is not non_trainable[i]]
        return keras.tree.flatten(outputs), [after[i] for i in changed]

    run = step if kind == "eager" else jax.jit(step)
    trainable = list(model.trainable_variables)
    non_trainable = list(model.non_trainable_variables)

    def program(arrays):
        # Inside fit the values live in the trainer; callbacks may predict as well.
        model.jax_state_sync()
        outputs, after = run(raw_values(trainable), raw_values(non_trainable), *arrays)
        for index, value in zip(changed, after, strict=True):
            non_trainable[index].assign(value)
        return outputs

    return program


@functools.cache
def _value_reads():
    """The mode that notes whether Python reads a value of a tensor: a branch on it.

    Outside of a trace shapes are numbers of Python, so that what is read is a value.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    class ValueReads(TorchDispatchMode):
        are_read = False

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if func is torch.ops.aten._local_scalar_dense.default:
                self.are_read = True
            return func(*args, **(kwargs or {}))

    return ValueReads


def _torch(model, structure, arrays, kind):
    import torch

    step = _flat_step(model, structure)
    device = keras.ops.convert_to_tensor(np.zeros((), "float32")).device

    def convert(array):
        return torch.as_tensor(array, device=device)

    def eager(arrays):
        model.eval()
        with torch.no_grad():
            return step(*map(convert, arrays))

    if kind == "eager":
        return eager

    class Step(torch.nn.Module):
        """The model as a part: a trace keeps parameters of parts, not of closures."""

        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, *flat):
            return tuple(step(*flat))

    module = Step().eval()
    with torch.no_grad(), _value_reads()() as values:
        step(*map(convert, arrays))
    with torch.no_grad(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        traced = torch.jit.trace(
            module,
            tuple(map(convert, arrays)),
            check_trace=False,
        )
    # What Python reads of a value is frozen by a trace: such a model runs as it is
    # written. (Python reads integers and booleans of shapes in a trace, too.)
    texts = [str(warning.message) for warning in caught]
    if values.are_read or any(read in text for text in texts for read in _READS):
        raise NotTraceableError
    inference = torch.inference_mode

    def program(arrays):
        with inference():
            return list(traced(*[convert(array) for array in arrays]))

    return program
