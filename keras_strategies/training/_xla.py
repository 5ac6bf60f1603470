"""What keeps XLA away from a layer, and what to use instead."""

import keras

from keras_strategies._internal.walking import all_layers

# By the name of a layer's class: why it has no XLA, and the way out.
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
    "RandomCrop": ("cuts images at places that XLA cannot know", _PIPELINE),
    "Hashing": (_STRINGS, _PIPELINE),
    "HashedCrossing": (_STRINGS, _PIPELINE),
    "IntegerLookup": (_STRINGS, _PIPELINE),
    "StringLookup": (_STRINGS, _PIPELINE),
    "TextVectorization": (_STRINGS, _PIPELINE),
}
_CUDNN = "uses cuDNN's kernel"


def layer_row(layer):
    """One row of a report: the layer, whether XLA takes it, why not, what instead."""
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
        reason="says so itself (`supports_jit` is False)",
        replacement="write its `call` with `keras.ops` of fixed shapes",
    )
    return row


def layer_rows(model):
    """A row for each layer below the model that is no container."""
    layers = [
        layer for layer in all_layers(model) if not isinstance(layer, keras.Model)
    ]
    return [layer_row(layer) for layer in layers]


def blocking_rows(model):
    """The rows of the layers that XLA cannot compile."""
    return [row for row in layer_rows(model) if not row["is_ready"]]
