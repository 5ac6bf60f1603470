"""Observation of layers with kernels during a call of a model."""

import contextlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.interception import replacing
from keras_strategies._internal.traversal import all_layers, check_built
from keras_strategies._internal.types import Tensor, Tensors

KERNELS = ("kernel", "pointwise_kernel")
_WEIGHTS = (*KERNELS, "depthwise_kernel", "recurrent_kernel", "embeddings")
# They call their inner layers once a time step, in a loop that may be traced.
LOOPS = (keras.layers.RNN, keras.layers.TimeDistributed)


def check_model(model: keras.Model) -> None:
    """Checks for a model whose weights all exist."""
    checks.instance("model", model, keras.Model)
    check_built(model, lambda layer: any(hasattr(layer, name) for name in _WEIGHTS))


def outside_loops(model: keras.Model) -> list[keras.layers.Layer]:
    """Returns the layers of `model` with loops, but without those inside of loops."""
    layers = all_layers(model)
    loops = [layer for layer in layers if isinstance(layer, LOOPS)]
    inside = {id(layer) for loop in loops for layer in all_layers(loop)}
    return [layer for layer in layers if id(layer) not in inside]


def weight_of(
    layer: keras.layers.Layer, names: Sequence[str] = _WEIGHTS
) -> keras.Variable | None:
    """Returns the kernel of the layer itself, or `None`."""
    for name in names:
        weight = getattr(layer, name, None)
        if isinstance(weight, keras.Variable) and len(weight.shape) > 1:
            is_float = keras.backend.is_float_dtype(weight.dtype)
            return weight if is_float else None
    return None


def own_activation(layer: keras.layers.Layer) -> Callable[..., Any] | None:
    """Returns the function a layer with a kernel applies to its outputs, or `None`."""
    if isinstance(layer, LOOPS) or weight_of(layer) is None:
        return None
    activation = getattr(layer, "activation", None)
    return activation if callable(activation) else None


@contextlib.contextmanager
def patched(replacements: Sequence[tuple[Any, str, Any]]) -> Iterator[None]:
    """Replaces attributes of layers, `[(layer, name, value)]`, inside the block."""
    with contextlib.ExitStack() as stack:
        for layer, name, value in replacements:
            stack.enter_context(replacing(layer, name, value))
        yield


def call_in_training(model: keras.Model, data: Tensors) -> Tensors:
    """Calls `model` as a training step does."""
    if "training" in inspect.signature(model.call).parameters:
        return model(data, training=True)
    return model(data)


def float_tensors(structure: Any) -> list[Tensor]:
    """Returns the floating-point tensors of a structure, in order."""
    return [
        leaf
        for leaf in keras.tree.flatten(structure)
        if hasattr(leaf, "dtype")
        and keras.backend.is_float_dtype(keras.backend.standardize_dtype(leaf.dtype))
    ]


def to_float(x: Tensor) -> float:
    """Converts a scalar tensor to a Python number."""
    return float(ops.convert_to_numpy(ops.stop_gradient(x)))
