"""Gradients of a function of tensors and of embeddings, which differ by backend."""

from typing import Any

import keras
from keras.src.utils.module_utils import tensorflow as lazy_tensorflow

from keras_strategies._internal.types import Tensor


def gradients(function, tensors):
    """`(value, aux, gradients)` of `value, aux = function(tensors)`.

    `value` is a scalar and `function` pure. The gradients can be differentiated
    again, inside a training step too; a tensor without influence has a gradient of
    zeros. On Torch `function` gets leaves of its own, cut off from what made
    `tensors`. TensorFlow comes from Keras's own lazy import, which costs nothing on
    other backends. Keras 3.12 to 3.15.
    """
    run = _BACKENDS.get(keras.backend.backend())
    if run is None:
        raise NotImplementedError(
            "Gradients need the TensorFlow, JAX or Torch backend. "
            f"Received: backend={keras.backend.backend()!r}."
        )
    tensors = [keras.ops.convert_to_tensor(tensor) for tensor in tensors]
    value, aux, results = run(function, tensors)
    pairs = zip(results, tensors, strict=True)
    return value, aux, [keras.ops.zeros_like(t) if g is None else g for g, t in pairs]


def dense_gradient(gradient: Any) -> Tensor | None:
    """A gradient as an ordinary tensor; `None` stays `None`.

    Gradients of embeddings are `IndexedSlices` on TensorFlow, with an entry for each
    use of a row. Keras's `convert_to_tensor` returns them as they are, its `square`
    and `sum` act on the entries and not on their sum by row, and Python's operators
    fail. TensorFlow comes from Keras's own lazy import. Keras 3.12 to 3.15.
    """
    if gradient is None:
        return None
    if keras.backend.backend() == "tensorflow":
        return lazy_tensorflow.convert_to_tensor(gradient)
    return keras.ops.convert_to_tensor(gradient, sparse=False)


def _tensorflow(function, tensors):
    with lazy_tensorflow.GradientTape() as tape:
        for tensor in tensors:
            tape.watch(tensor)
        value, aux = function(tensors)
    return value, aux, tape.gradient(value, tensors)


def _jax(function, tensors):
    import jax

    (value, aux), results = jax.value_and_grad(function, has_aux=True)(tensors)
    return value, aux, results


def _torch(function, tensors, create_graph=True):
    import torch

    with torch.enable_grad():
        leaves = [tensor.detach().requires_grad_() for tensor in tensors]
        value, aux = function(leaves)
        if not value.requires_grad:
            return value, aux, [None] * len(leaves)
        results = torch.autograd.grad(
            value, leaves, create_graph=create_graph, allow_unused=True
        )
    return value, aux, results


_BACKENDS = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}


def first_gradients(function, tensors):
    """`(value, aux, gradients)` as `gradients`, but not to differentiate again.

    Half the memory on Torch. A tensor that cannot have any influence has the gradient
    `None` on TensorFlow and Torch and zeros on JAX, which does not tell. Keras 3.12 to
    3.15.
    """
    backend = keras.backend.backend()
    if backend not in _BACKENDS:
        return gradients(function, tensors)  # which says that there are none
    if backend == "torch":
        return _torch(function, tensors, create_graph=False)
    return _BACKENDS[backend](function, tensors)


def gradients_within(function):
    """`(value, aux, tensors, gradients)` for tensors that arise inside a function.

    `value, aux = function(mark)`, where the function goes on with what `mark(tensor)`
    returns. Gradients are those of the scalar `value` by each marked tensor, and
    nothing before a mark is differentiated. The function is traced twice on JAX, which
    differentiates by arguments only: by a tensor of zeros that is added at the mark.
    Keras 3.12 to 3.15.
    """
    run = _WITHIN.get(keras.backend.backend())
    if run is None:
        return gradients(function, [])  # which says that there are none
    return run(function)


def _tensorflow_within(function):
    marked = []
    with lazy_tensorflow.GradientTape(watch_accessed_variables=False) as tape:

        def mark(tensor):
            tape.watch(tensor)
            marked.append(tensor)
            return tensor

        value, aux = function(mark)
    return value, aux, marked, tape.gradient(value, marked)


def _jax_within(function):
    import jax

    shapes = []

    def measure(tensor):
        shapes.append((tensor.shape, tensor.dtype))
        return tensor

    def shape_run():
        function(measure)
        return 0

    jax.eval_shape(shape_run)

    def run(additions):
        marked, left = [], list(additions)

        def mark(tensor):
            marked.append(tensor)
            return tensor + left.pop(0)

        value, aux = function(mark)
        return value, (aux, marked)

    zeros = [keras.ops.zeros(shape, dtype) for shape, dtype in shapes]
    (value, (aux, marked)), results = jax.value_and_grad(run, has_aux=True)(zeros)
    return value, aux, marked, results


def _torch_within(function):
    import torch

    marked = []

    def mark(tensor):
        # What comes before is not recorded; the block puts the mode back.
        torch.set_grad_enabled(True)
        marked.append(tensor.detach().requires_grad_())
        return marked[-1]

    with torch.no_grad():
        value, aux = function(mark)
        if not value.requires_grad:
            return value, aux, marked, [None] * len(marked)
        results = torch.autograd.grad(value, marked, allow_unused=True)
    return value, aux, [tensor.detach() for tensor in marked], list(results)


_WITHIN = {
    "tensorflow": _tensorflow_within,
    "jax": _jax_within,
    "torch": _torch_within,
}
