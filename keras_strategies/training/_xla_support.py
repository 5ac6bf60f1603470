"""Layers that XLA cannot compile, the reason and a replacement."""

from typing import Any

import keras

from keras_strategies._internal.traversal import all_layers

# {class of layer: (why XLA does not compile it, replacement)}
_IMAGES = "resamples images with an operation that XLA does not have"
_STRINGS = "looks up or hashes values with operations that XLA does not have"
_AFFINE = "keras_strategies.augmentation.RandomAffine"
_PIPELINE = "call it in the input pipeline, as in `tf.data.Dataset.map`"
_REASONS = {
    "RandomRotation": (_IMAGES, _AFFINE),
    "RandomShear": (_IMAGES, _AFFINE),
    "RandomTranslation": (_IMAGES, _AFFINE),
    "RandomZoom": (_IMAGES, _AFFINE),
    "RandomPerspective": (_IMAGES, _PIPELINE),
    "RandomCrop": ("cuts images at positions that XLA cannot know", _PIPELINE),
    "Hashing": (_STRINGS, _PIPELINE),
    "HashedCrossing": (_STRINGS, _PIPELINE),
    "IntegerLookup": (_STRINGS, _PIPELINE),
    "StringLookup": (_STRINGS, _PIPELINE),
    "TextVectorization": (_STRINGS, _PIPELINE),
}
_CUDNN = "uses cuDNN's kernel"


def layer_row(layer: keras.layers.Layer) -> dict[str, Any]:
    """Returns one row of a report: layer, whether XLA compiles it, why not, instead."""
    row = {
        "layer": layer.path or layer.name,
        "type": type(layer).__name__,
        "is_ready": bool(layer.supports_jit),
        "reason": "",
        "replacement": "",
    }
    if row["is_ready"]:
        return row
    if isinstance(layer, keras.layers.LSTM | keras.layers.GRU):
        row.update(reason=_CUDNN, replacement="use_cudnn=False")
        return row
    for base in type(layer).__mro__:
        if base.__name__ in _REASONS and base.__module__.startswith("keras."):
            reason, replacement = _REASONS[base.__name__]
            row.update(reason=reason, replacement=replacement)
            return row
    row.update(
        reason="declares it (`supports_jit` is False)",
        replacement="write its `call` with `keras.ops` of fixed shapes",
    )
    return row


def layer_rows(model: keras.Model) -> list[dict[str, Any]]:
    """Returns a row for each layer of a model, nested models opened."""
    layers = [
        layer for layer in all_layers(model) if not isinstance(layer, keras.Model)
    ]
    return [layer_row(layer) for layer in layers]


def blocking_rows(model: keras.Model) -> list[dict[str, Any]]:
    """Returns the rows of the layers that XLA cannot compile."""
    return [row for row in layer_rows(model) if not row["is_ready"]]
