"""Attention, followed through the layers."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.interception import intercepting
from keras_strategies._internal.select import Selection, Selector, layer_targets
from keras_strategies.explain._cams.find_layer import any_output
from keras_strategies.explain._engine.explained import Explained

_ATTENTION = (keras.layers.MultiHeadAttention, keras.layers.GroupQueryAttention)
_HEADS = {"mean": np.mean, "max": np.max, "min": np.min}


def attention_rollout(
    model: keras.Model,
    inputs: Any,
    *,
    query: int | None = None,
    heads: str = "mean",
    residual: float = 0.5,
    include: Selector | None = None,
    exclude: Selector | None = None,
    batch_size: int = 32,
) -> np.ndarray:
    """How much each position reaches the output through the attention of all layers.

    Attention weights of a late layer are over positions that already hold a mixture of
    all others. Rollout multiplies the weights of all layers, each mixed with the
    identity for the residual connection around it. It shows where information flows,
    for no class in particular, and nothing of what the other layers do with it.

        R = B_L ... B_1        B_l = residual I + (1 - residual) heads(A_l)

    Source: Abnar and Zuidema (2020), "Quantifying Attention Flow in Transformers",
    https://arxiv.org/abs/2005.00928.

    Args:
        model: A model with `keras.layers.MultiHeadAttention` or `GroupQueryAttention`
            from each position to all, also nested or inside of layers.
        inputs: Its inputs, samples first.
        query: The position whose sources are asked for, such as `0` for a class token.
            Defaults to `None`, the mean over all positions, for models that pool.
        heads: How the heads are joined: `"mean"`, `"max"` or `"min"`; rows are scaled
            to sum up to 1. Defaults to `"mean"`.
        residual: The part of the residual connection, in [0, 1). Defaults to `0.5`.
        include: Which attention layers count, as regular expressions of their paths,
            layers, or functions of a layer. Defaults to `None`, all.
        exclude: Which do not. Defaults to `None`.
        batch_size: Samples that the model is run on at once. Defaults to `32`.

    Returns:
        float32 array `(samples, positions)`, at least 0, with a sum of 1.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If there is no attention layer, if one goes from other positions
            than it reads, or if an argument is out of range.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import explain

    tokens = keras.Input((6,), dtype="int32")
    x = keras.layers.Embedding(10, 8)(tokens)
    x = x + keras.layers.MultiHeadAttention(2, 4)(x, x)
    x = keras.layers.GlobalAveragePooling1D()(x)
    model = keras.Model(tokens, keras.layers.Dense(2)(x))
    explain.attention_rollout(model, np.array([[1, 2, 3, 4, 5, 6]])).shape  # (1, 6)
    ```
    """
    checks.choice("heads", heads, tuple(_HEADS))
    checks.real("residual", residual, low=0, high=1, high_open=True)
    layers = _attention_layers(model, include, exclude)
    explained = Explained(
        model, inputs, any_output(model), logits=False, batch_size=batch_size
    )
    scores = _scores(explained, layers)
    _check_square(scores)
    length = scores[0].shape[-1]
    if query is not None:
        checks.integer("query", query, low=-length, high=length - 1)
    join: Any = _HEADS[heads]
    rolled = roll_out([join(score, axis=1) for score in scores], residual)
    found = rolled.mean(axis=1) if query is None else rolled[:, query]
    return found.astype("float32")


def roll_out(weights: list[np.ndarray], residual: float) -> np.ndarray:
    """The product over the layers of attention `(samples, queries, keys)`."""
    rolled = np.eye(weights[0].shape[-1])[None]
    for layer in weights:
        layer = layer.astype("float64")
        layer = layer / layer.sum(axis=-1, keepdims=True)
        mixed = residual * np.eye(layer.shape[-1]) + (1 - residual) * layer
        rolled = mixed @ rolled
    return rolled


def _attention_layers(model, include, exclude):
    checks.instance("model", model, keras.Model, fix="Give a Keras model.")
    targets = [t for t in layer_targets(model) if isinstance(t.item, _ATTENTION)]
    if not targets:
        checks.fail(
            "Attention rollout needs a model with MultiHeadAttention",
            fix="Use token_attributions or integrated_gradients.",
            model=model.name,
        )
    chosen = Selection(include, exclude).choose(targets, "attention layer")
    return [target.item for target in chosen]


def _scores(explained: Explained, layers: list[Any]) -> list[np.ndarray]:
    """Attention weights `(samples, heads, queries, keys)` in the order of the calls."""
    plan = explained.plan

    def function(model, arrays):
        kept: list[Any] = []

        def keep(position, call, args, kwargs):
            asked = kwargs.get("return_attention_scores", False)
            kwargs = {**kwargs, "return_attention_scores": True}
            output, weights = call(*args, **kwargs)
            kept.append(ops.cast(weights, "float32"))
            return (output, weights) if asked else output

        with intercepting(layers, keep):
            plan.run(model, arrays[: plan.inputs])
        return kept

    key = ("attention", tuple(layers), *plan.key)
    return explained.evaluate(key, function, explained.count, explained.originals)


def _check_square(scores):
    shapes = [score.shape[-2:] for score in scores]
    if not scores or len({side for shape in shapes for side in shape}) != 1:
        checks.fail(
            "Attention must go from each position to the same positions in all layers",
            fix="Leave out attention to another sequence by `exclude`.",
            shapes=shapes,
        )
