"""Weights of a model that can be pruned or clustered, and selection among them."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import keras

from keras_strategies._internal import checks, keras_private, traversal
from keras_strategies._internal.select import (
    Selection,
    Target,
    layer_targets,
    weight_target,
)

#: A weight and the layer that holds it itself.
LayerWeight: TypeAlias = tuple[Any, keras.Variable]

_LAYERS = keras.layers

# Layer classes (and their subclasses) -> the weights worth pruning. Depthwise
# kernels, biases and normalization are not listed: they are few and sensitive (Zhu
# and Gupta, 2017, keep the depthwise kernels of MobileNet dense too).
# MultiHeadAttention, RNN layers and wrappers hold layers that are listed.
_WEIGHTS = (
    (_LAYERS.Embedding, ("embeddings", "reverse_embeddings")),
    ((_LAYERS.Dense, _LAYERS.EinsumDense), ("kernel",)),
    ((_LAYERS.SeparableConv1D, _LAYERS.SeparableConv2D), ("pointwise_kernel",)),
    ((_LAYERS.Conv1D, _LAYERS.Conv2D, _LAYERS.Conv3D), ("kernel",)),
    (
        (
            _LAYERS.Conv1DTranspose,
            _LAYERS.Conv2DTranspose,
            _LAYERS.Conv3DTranspose,
        ),
        ("kernel",),
    ),
    (
        (_LAYERS.SimpleRNNCell, _LAYERS.LSTMCell, _LAYERS.GRUCell),
        ("kernel", "recurrent_kernel"),
    ),
)

# What a custom layer declares its weights by; the second is TFMOT's name.
PRUNABLE = ("prunable_weights", "get_prunable_weights")


def declared_weights(
    layer: Any, protocol: Sequence[str]
) -> list[keras.Variable] | None:
    """The weights a custom layer names itself, or `None` if it names none."""
    for name in protocol:
        declared = getattr(layer, name, None)
        if declared is not None:
            break
    else:
        return None
    weights = list(declared() if callable(declared) else declared)
    # TFMOT's clusterable layers give pairs of a name and a weight.
    weights = [w[1] if isinstance(w, tuple) and len(w) == 2 else w for w in weights]
    for weight in weights:
        if not isinstance(weight, keras.Variable):
            checks.fail(
                f"`{name}` of layer {layer.name!r} must hold Keras variables",
                fix="Return e.g. `[self.kernel]`.",
                error=TypeError,
                **{name: weights},
            )
    return weights


def can_be_compressed(layer: Any, protocol: Sequence[str] = PRUNABLE) -> bool:
    """Whether a layer is of a kind whose weights can be pruned, built or not."""
    listed = any(isinstance(layer, kinds) for kinds, _ in _WEIGHTS)
    return listed or any(hasattr(layer, name) for name in protocol)


def layer_weights(
    layer: Any, protocol: Sequence[str] = PRUNABLE
) -> list[keras.Variable]:
    """The prunable weights that `layer` itself holds, without its sublayers."""
    declared = declared_weights(layer, protocol)
    if declared is not None:
        return declared
    for kinds, names in _WEIGHTS:
        if isinstance(layer, kinds):
            weights = [getattr(layer, name, None) for name in names]
            # With LoRA a kernel is a sum and no variable; int8 is no magnitude.
            return [
                weight
                for weight in weights
                if isinstance(weight, keras.Variable)
                and keras.backend.is_float_dtype(weight.dtype)
            ]
    return []


def compressible_weights(
    model: keras.Model, protocol: Sequence[str] = PRUNABLE
) -> list[LayerWeight]:
    """`[(layer, weight), ...]` of a whole model, every weight once.

    `protocol` has the names by which custom layers declare their weights.
    """
    pairs: list[LayerWeight] = []
    seen = set()
    for layer in [model, *traversal.all_layers(model)]:
        for weight in layer_weights(layer, protocol):
            if id(weight) not in seen:
                seen.add(id(weight))
                pairs.append((layer, weight))
    return pairs


def used_weights(
    model: keras.Model, protocol: Sequence[str] = PRUNABLE
) -> list[tuple[Any, keras.Variable, Any]]:
    """`[(layer, weight, value)]` for reports: the values that layers compute with.

    They are those of the weights of `compressible_weights`, and for a layer with LoRA
    the sum of its weight and of what LoRA adds.
    """
    rows: list[tuple[Any, keras.Variable, Any]] = []
    seen = set()
    for layer in [model, *traversal.all_layers(model)]:
        pairs = [(w, w.value) for w in layer_weights(layer, protocol)]
        stored, summed = keras_private.lora_sum(layer)
        if stored is not None and keras.backend.is_float_dtype(stored.dtype):
            pairs.append((stored, summed))
        for weight, value in pairs:
            if id(weight) not in seen:
                seen.add(id(weight))
                rows.append((layer, weight, value))
    return rows


def check_built(model: keras.Model, protocol: Sequence[str] = PRUNABLE) -> None:
    """Refuses a model of which some weights do not exist yet."""
    traversal.check_built(model, lambda layer: can_be_compressed(layer, protocol))


def select_weights(
    model: keras.Model,
    selection: Selection,
    *,
    protocol: Sequence[str] = PRUNABLE,
    purpose: str = "pruned",
    policy: Callable[[Any], bool] = lambda layer: True,
) -> list[LayerWeight]:
    """The selected weights, or an error that lists layers or weights.

    Args:
        model: A built model.
        selection: The `Selection` of the caller's `include` and `exclude`.
        protocol: Names by which custom layers declare their weights.
        purpose: Participle for messages, such as `"pruned"`.
        policy: Function of a layer that restricts the selection further.
    """
    pairs = compressible_weights(model, protocol)
    if not pairs:
        kinds = [f"{layer.name} ({type(layer).__name__})" for layer in model.layers]
        checks.fail(
            f"`model` must have weights that can be {purpose}",
            fix=f"A custom layer names them in `{protocol[0]}`.",
            model=model.name,
            layers=kinds,
        )
    layers = {id(target.item): target for target in layer_targets(model)}
    layers[id(model)] = Target("", model, model)
    targets = [weight_target(layers[id(layer)], weight) for layer, weight in pairs]
    chosen = {
        id(target.item)
        for target in selection.choose(targets, f"weight that can be {purpose}")
    }
    selected = [
        (layer, weight)
        for layer, weight in pairs
        if id(weight) in chosen and policy(layer)
    ]
    if not selected:
        checks.fail(
            "At least one of the selected weights must suit the policy",
            **selection.received,
            weights=[target.path for target in targets],
        )
    if not any(weight.trainable for _, weight in selected):
        checks.fail(
            f"At least one weight to be {purpose} must be trainable",
            fix="Set `trainable = True` on its layer first.",
            frozen=[weight.path for _, weight in selected],
        )
    return selected
