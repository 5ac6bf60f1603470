"""The graph of a subclassed model, by calling it on symbolic tensors."""

from typing import Any, NoReturn

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.model_graph.predicates import (
    NOT_BUILT,
    opaque_reason,
)

_FIX = "Build the network with keras.Input and keras.Model(inputs, outputs)."
_TOLERANCE = 1e-4


def functional_form(model: keras.Model) -> keras.Model:
    """A Functional model of what a subclassed one computes, on the same layers.

    `call` is run once on symbolic tensors, as Keras does to find shapes; each layer and
    operation of `keras.ops` in it becomes a node. That is all the model does only if
    nothing in `call` depends on values, or on something else than its inputs. The two
    are compared on random inputs.

    Args:
        model: A built subclassed model. A model with a graph is returned as it is.

    Raises:
        ValueError: If the model is not built, cannot be traced, has weights outside of
            its layers, or computes something else than its trace.
    """
    reason = opaque_reason(model)
    if reason is None or isinstance(model, keras.Sequential | keras.Function):
        return model
    if not model.built:
        _refuse(model, NOT_BUILT, "Call it once on a batch.")
    inputs = _inputs(model)
    try:
        outputs = model.call(inputs)
    except Exception as error:
        text = f"its `call` fails on symbolic tensors: {error}"
        rule = f"`model` must be one whose call can be traced, but {text}"
        fix = f"Use keras.ops in it and no values of tensors. {_FIX}"
        received = {"model": model.name, "type": type(model).__name__}
        raise ValueError(checks.message(rule, received, fix)) from error
    traced = keras.Model(inputs, outputs, name=model.name)
    inside = {id(weight) for weight in traced.weights}
    outside = [w.path for w in model.weights if id(w) not in inside]
    if outside:
        _refuse(
            model,
            f"it has weights that no layer in it has: {', '.join(outside)}",
            "Put them into a layer of their own.",
        )
    _compare(model, traced)
    return traced


def _inputs(model: keras.Model) -> Any:
    config = model.get_build_config() or {}
    shapes = config.get("input_shape")
    if shapes is None:
        _refuse(model, "its input shape is not known", "Call it once on a batch.")

    dtype = model.input_dtype  # that of the policy; indices cannot be traced

    def make(shape: Any) -> Any:
        return keras.Input(tuple(shape[1:]), dtype=dtype)

    if isinstance(shapes, dict):
        return {
            name: keras.Input(tuple(shape[1:]), dtype=dtype, name=name)
            for name, shape in shapes.items()
        }
    if shapes and isinstance(shapes[0], list | tuple):
        return [make(shape) for shape in shapes]
    return make(shapes)


def _compare(model: keras.Model, traced: keras.Model) -> None:
    rng = np.random.default_rng(0)
    samples = [
        rng.uniform(0.1, 0.9, [2, *(side or 1 for side in t.shape[1:])])
        for t in traced.inputs
    ]
    packed = keras.tree.pack_sequence_as(
        traced.input, [np.asarray(s, "float32") for s in samples]
    )
    pairs = zip(
        keras.tree.flatten(model(packed, training=False)),
        keras.tree.flatten(traced(packed, training=False)),
        strict=True,
    )
    for own, other in pairs:
        values = [keras.ops.convert_to_numpy(value) for value in (own, other)]
        if not np.allclose(*values, rtol=_TOLERANCE, atol=_TOLERANCE):
            _refuse(model, "its `call` computes something else than its trace", _FIX)


def _refuse(model: keras.Model, reason: str, fix: str) -> NoReturn:
    checks.fail(
        f"`model` must be one whose call can be traced, but {reason}",
        fix=fix,
        model=model.name,
        type=type(model).__name__,
    )
