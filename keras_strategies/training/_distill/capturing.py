"""Outputs of layers inside a model, caught while the model runs once."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.interception import intercepting
from keras_strategies._internal.keras_private import input_signature
from keras_strategies._internal.select import layer_targets


def layer_at(model: keras.Model, path: str, which: str) -> keras.layers.Layer:
    """The layer with a path such as `"backbone/conv_1"`, or with a name of its own."""
    targets = layer_targets(model)
    chosen = [t for t in targets if t.path == path]
    chosen = chosen or [t for t in targets if t.item.name == path]
    if len(chosen) != 1:
        checks.fail(
            f"`layers` must name one layer of the {which}, by its path",
            layer=path,
            paths=[target.path for target in targets],
        )
    return chosen[0].item


@contextlib.contextmanager
def capturing(layers: Sequence[Any]) -> Iterator[list[Any]]:
    """Yields a list that has the output of each layer after the model has run.

    A layer that is called twice is refused.
    """
    outputs: list[Any] = [None] * len(layers)

    def keep(position, call, args, kwargs):
        result = call(*args, **kwargs)
        if outputs[position] is not None:
            checks.fail(
                "A layer of `layers` must be called once in the model",
                layer=layers[position].name,
            )
        outputs[position] = result
        return result

    with intercepting(layers, keep):
        yield outputs


def feature_shapes(
    model: keras.Model, layers: Sequence[Any]
) -> list[tuple[int | None, ...]]:
    """The shapes of the outputs of layers, without running the model where possible."""
    shapes = [_known_shape(layer) for layer in layers]
    if None not in shapes:
        return shapes
    with capturing(layers) as outputs:
        model(_example(model), training=False)
    return [(None, *output.shape[1:]) for output in outputs]


def _known_shape(layer):
    """The shape of a layer that was called once in a Functional model, or `None`."""
    try:
        output = layer.output
    except (AttributeError, ValueError):  # never called symbolically, or twice
        return None
    return tuple(output.shape) if hasattr(output, "shape") else None


def _example(model):
    """Zeros of the shapes that a model takes; 32 for a side that may be any."""
    structure = input_signature(model)
    structure = structure[0] if len(structure) == 1 else structure
    return keras.tree.map_structure(
        lambda spec: keras.ops.convert_to_tensor(
            np.zeros([1, *(side or 32 for side in spec.shape[1:])], spec.dtype)
        ),
        structure,
    )
