"""The layer that makes vectors of tokens."""

import dataclasses
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.interception import intercepting
from keras_strategies._internal.select import Selection, Selector, Target, layer_targets
from keras_strategies.explain._engine.explained import Explained


@dataclasses.dataclass(frozen=True)
class TokenLayer:
    """A layer that makes a vector of each token.

    Attributes:
        layer: The layer.
        position: Which input of the model has the tokens.
    """

    layer: Any
    position: int


def token_layer(explained: Explained, layer: Selector | None) -> TokenLayer:
    """Finds the layer that is called on the tokens of an input, or takes the named.

    The model is run on one sample: in models without a graph too, and inside of layers
    that combine embeddings of tokens and positions.
    """
    candidates = _candidates(explained)
    if layer is not None:
        selection = Selection(layer, names=("layer", "exclude"), inside=False)
        mask = selection.mask([target for target, _ in candidates])
        candidates = [c for c, is_in in zip(candidates, mask, strict=True) if is_in]
    if len(candidates) != 1:
        checks.fail(
            "The model must have one layer that makes vectors of its tokens"
            if not candidates
            else "`layer` must name the one of the layers that make vectors of tokens",
            fix="A keras.layers.Embedding, called on an input of integers, does."
            if not candidates
            else "",
            layers=[target.path for target, _ in candidates],
        )
    [(target, position)] = candidates
    return TokenLayer(target.item, position)


def _candidates(explained: Explained) -> list[tuple[Target, int]]:
    """Layers without layers in them that turn an input `(n, t)` into `(n, t, d)`."""
    tokens = {
        position: array[:1]
        for position, array in enumerate(explained.inputs.flat)
        if array.dtype.kind in "iu" and array.ndim == 2
    }
    targets = layer_targets(explained.model)
    found: list[tuple[Target, int]] = []

    def note(position, call, args, kwargs):
        before = len(found)
        result = call(*args, **kwargs)
        if len(found) == before and args and _makes_vectors(args[0], result):
            value = np.asarray(ops.convert_to_numpy(args[0]))
            for number, array in tokens.items():
                if np.array_equal(value, array):
                    found.append((targets[position], number))
                    break
        return result

    with intercepting([target.item for target in targets], note):
        explained.model(explained.example, training=False)
    return found


def _makes_vectors(argument, result):
    shapes = [getattr(x, "shape", None) for x in (argument, result)]
    if None in shapes or len(shapes[0]) != 2 or len(shapes[1]) != 3:
        return False
    kind = keras.backend.standardize_dtype(result.dtype)
    return keras.backend.is_float_dtype(kind) and shapes[1][1] == shapes[0][1]


def vectors(
    explained: Explained, where: TokenLayer, token: int | None = None
) -> np.ndarray:
    """The vectors of the tokens of all samples, or of `token` in place of each."""

    def make(positions):
        flat, rows = explained.originals(positions)
        if token is not None:
            flat[where.position] = np.full_like(flat[where.position], token)
        return flat, rows

    return explained.features_of(where.layer, make)
