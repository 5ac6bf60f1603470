"""Gradients of a function of tensors and of embeddings, which differ by backend."""

import keras
from keras.src.utils.module_utils import tensorflow as lazy_tensorflow


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


def dense_gradient(gradient):
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


def _torch(function, tensors):
    import torch

    with torch.enable_grad():
        leaves = [tensor.detach().requires_grad_() for tensor in tensors]
        value, aux = function(leaves)
        if not value.requires_grad:
            return value, aux, [None] * len(leaves)
        results = torch.autograd.grad(
            value, leaves, create_graph=True, allow_unused=True
        )
    return value, aux, results


_BACKENDS = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
