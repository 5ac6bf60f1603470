"""One compiled prediction for one shape, on each backend.

A program takes flat lists of arrays and returns flat lists of tensors. It reads the
weights when it is called, so that what assigns to them is seen by the next call.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_strategies._internal.keras_private.variables import raw_values
from keras_strategies._internal.traversal import all_variables


class NotTraceableError(RuntimeError):
    """The trace of a model would not be the model."""


def not_compiled() -> tuple[type[Exception], ...]:
    """Errors after which the next kind of program is tried."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # XLA lacks some operations.
        errors = tf.errors
        return errors.InvalidArgumentError, errors.UnimplementedError
    return (RuntimeError,)


Program = Callable[[Sequence[np.ndarray]], list[Any]]


def make_program(
    model: keras.Model, structure: Any, arrays: Sequence[np.ndarray], kind: str
) -> Program:
    """Returns the program of `kind` for inputs shaped as `arrays`.

    Args:
        model: Built model.
        structure: Nested structure of the inputs, as the model takes it.
        arrays: Flat inputs of one batch.
        kind: `"xla"`, `"graph"` (TensorFlow), `"trace"` (Torch) or `"eager"`.
    """
    backend = keras.backend.backend()
    make = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[backend]
    return make(model, structure, arrays, kind)


def plain_call(model: keras.Model, inputs: Any) -> Any:
    """Returns the model's outputs as its backend computes them, state moved too."""
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
        for variable, value in zip(non_trainable, after, strict=True):
            variable.assign(value)
        return outputs
    if keras.backend.backend() == "torch":
        import torch

        model.eval()
        with torch.no_grad():
            return model.predict_step((_tensors(inputs),))
    return model.predict_step((_tensors(inputs),))


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


def _tensorflow(model, structure, arrays, kind):
    import tensorflow as tf

    step = _flat_step(model, structure)
    if kind == "eager":
        return lambda arrays: step(*map(tf.convert_to_tensor, arrays))
    function = tf.function(step, jit_compile=kind == "xla", autograph=False)
    # A concrete function skips the search for a matching trace, a third of the call.
    concrete = function.get_concrete_function(
        *(tf.TensorSpec(a.shape, tf.as_dtype(a.dtype)) for a in arrays)
    )
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
    with torch.no_grad(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        traced = torch.jit.trace(
            module,
            tuple(map(convert, arrays)),
            check_trace=False,
        )
    # A branch on values is frozen by a trace: such a model runs as it is written.
    if any("Python boolean" in str(w.message) for w in caught):
        raise NotTraceableError
    inference = torch.inference_mode

    def program(arrays):
        with inference():
            return list(traced(*[convert(array) for array in arrays]))

    return program
