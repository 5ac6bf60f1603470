"""Layers of Keras whose call LiteRT cannot take, traced with another one.

Unlike the operations of a finished graph, these need what only the layer knows: its
vocabulary, its factors, its quantized weights.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import traversal

# Attributes of a layer that are methods of its class.
_METHODS = ("call", "quantized_call")


@contextlib.contextmanager
def substituted_layers(model: keras.Model) -> Iterator[list[str]]:
    """Lets layers compute what LiteRT can take inside the block.

    Yields sentences on what was substituted. Afterwards the layers are as before.
    """
    changed: list[tuple[Any, str, Any]] = []
    notes: dict[str, list[str]] = {}
    try:
        for layer in traversal.all_layers(model):
            for kind, change in _SUBSTITUTES.items():
                made = change(layer) if isinstance(layer, kind) else None
                if made is not None:
                    note, attribute, value = made
                    changed.append((layer, attribute, vars(layer).get(attribute)))
                    _set(layer, attribute, value)
                    notes.setdefault(note, []).append(layer.name)
        yield [f"{', '.join(names)}: {note}" for note, names in notes.items()]
    finally:
        for layer, attribute, value in reversed(changed):
            if attribute in _METHODS:
                vars(layer).pop(attribute, None)
            else:
                _set(layer, attribute, value)


def leaves_tables_unused(layers: Any) -> bool:
    """Whether every hash table of the layers is left without use by a substitute."""
    lookups = [x for x in layers if isinstance(x, keras.layers.IntegerLookup)]
    return bool(lookups) and all(_lookup(layer) is not None for layer in lookups)


def _set(layer, attribute, value):
    # Not through the layer's own `__setattr__`, which tracks what it is given.
    object.__setattr__(layer, attribute, value)


def _quantized_activations(layer: Any) -> tuple[str, str, Any] | None:
    """Quantized weights with activations in floating point.

    LiteRT multiplies no int8 by int8 into int32 outside of its own quantization.
    """
    if getattr(layer, "inputs_quantizer", None) is None:
        return None
    note = (
        f"the weights keep what Keras's {layer.quantization_mode} quantization made of "
        "them; its activations, which Keras rounds to int8, are float32 in the file. "
        'For int8 arithmetic export the float model with quantization="int8".'
    )
    return note, "inputs_quantizer", None


def _free_bilinear(layer: keras.layers.UpSampling2D) -> tuple[str, str, Any] | None:
    """Bilinear upsampling of images whose size is known at run time only."""
    if layer.interpolation == "nearest" or layer.data_format == "channels_first":
        return None
    call = type(layer).call

    def resize(inputs: Any, **_: Any) -> Any:
        import tensorflow as tf

        if None not in inputs.shape[1:3]:
            return call(layer, inputs)
        size = tf.shape(inputs)[1:3] * np.asarray(layer.size, "int32")
        return tf.image.resize(inputs, size, method=layer.interpolation)

    return "its images have any size in the file.", "call", resize


def _lookup(layer: keras.layers.IntegerLookup) -> tuple[str, str, Any] | None:
    """A lookup as a comparison with every entry of the vocabulary."""
    modes = ("int", "one_hot", "multi_hot", "count", "tf_idf")
    if layer.output_mode not in modes or layer.sparse:
        return None
    if layer.num_oov_indices > 1 and layer.oov_method != "floormod":
        return None
    entries = len(layer.get_vocabulary(include_special_tokens=False))
    note = (
        f"looked up by comparing with each of {entries} entries: LiteRT has no hash "
        "tables of integers."
    )
    return note, "call", _lookup_call(layer)


def _lookup_call(layer: Any) -> Callable[..., Any]:
    tokens = np.array(layer.get_vocabulary(include_special_tokens=False), "int64")
    # The vocabulary cannot be read inside of a graph.
    table = np.array(layer.get_vocabulary(), "int64")
    frequencies = None
    if layer.output_mode == "tf_idf":
        frequencies = np.array(layer.idf_weights.numpy(), "float32")
    has_mask = layer.mask_token is not None
    first_unknown = int(has_mask and layer.output_mode == "int")
    first = first_unknown + layer.num_oov_indices
    depth = int(layer.vocabulary_size())
    if layer.pad_to_max_tokens and layer.max_tokens:
        depth = layer.max_tokens

    def call(inputs: Any, **_: Any) -> Any:
        import tensorflow as tf

        x = tf.cast(inputs, tf.int64)
        if layer.invert:
            return tf.gather(tf.constant(table), tf.cast(x, tf.int32))
        equal = tf.equal(x[..., None], tf.constant(tokens))
        place = tf.argmax(tf.cast(equal, tf.int32), axis=-1, output_type=tf.int32)
        unknown = tf.fill(tf.shape(x), first_unknown)
        if layer.num_oov_indices > 1:
            rest = tf.math.floormod(tf.cast(x, tf.int32), layer.num_oov_indices)
            unknown = first_unknown + rest
        index = tf.where(tf.reduce_any(equal, axis=-1), place + first, unknown)
        if has_mask and layer.output_mode == "int":
            index = tf.where(tf.equal(x, layer.mask_token), 0, index)
        if layer.output_mode == "int":
            return tf.cast(index, layer.compute_dtype)
        if frequencies is not None:
            return frequencies * _encoded(index, depth, "count", "float32")
        return _encoded(index, depth, layer.output_mode, layer.compute_dtype)

    return call


def _encoded(index, depth, mode, dtype, weights=None):
    """One-hot rows of indices, their largest or their sum, as Keras's encodings."""
    import tensorflow as tf

    rows = tf.one_hot(index, depth, dtype=dtype if "float" in dtype else "float32")
    if mode == "one_hot":
        rows = tf.squeeze(rows, axis=-2) if index.shape[-1] == 1 else rows
    elif mode == "multi_hot":
        rows = tf.reduce_max(rows, axis=-2)
    else:
        if weights is not None:
            rows *= tf.cast(weights, rows.dtype)[..., None]
        rows = tf.reduce_sum(rows, axis=-2)
    return tf.cast(rows, dtype)


def _category_encoding(
    layer: keras.layers.CategoryEncoding,
) -> tuple[str, str, Any] | None:
    """Counts from one-hot rows: LiteRT has no bincount."""
    if layer.output_mode == "one_hot" or layer.sparse:
        return None

    def call(inputs: Any, count_weights: Any = None, **_: Any) -> Any:
        import tensorflow as tf

        index = tf.cast(inputs, tf.int32)
        return _encoded(
            index,
            layer.num_tokens,
            layer.output_mode,
            layer.compute_dtype,
            count_weights,
        )

    note = "its counts are sums of one-hot rows: LiteRT has no bincount."
    return note, "call", call


def _unpacked_weights(layer: keras.layers.Dense) -> tuple[str, str, Any] | None:
    """A dense layer of packed integers with the floating-point kernel they stand for.

    LiteRT computes the unpacking of two int4 values in a byte wrongly. The layer is
    linear: its kernel is what it makes of the identity.
    """
    if layer.quantization_mode not in ("int4", "gptq", "awq"):
        return None
    size = layer.input_spec.axes[-1]
    activation, bias = layer.activation, layer.bias
    _set(layer, "activation", None)
    _set(layer, "bias", None)
    try:
        identity = keras.ops.eye(size, dtype="float32")
        made = layer.quantized_call(identity)
        kernel = keras.ops.convert_to_numpy(made).astype("float32")
    finally:
        _set(layer, "activation", activation)
        _set(layer, "bias", bias)

    def call(inputs: Any, **_: Any) -> Any:
        outputs = keras.ops.matmul(keras.ops.cast(inputs, "float32"), kernel)
        outputs = outputs if bias is None else keras.ops.add(outputs, bias)
        return outputs if activation is None else activation(outputs)

    note = (
        f"the weights are those of Keras's {layer.quantization_mode} quantization in "
        'floating point. For a small file export with quantization="int8" or '
        '"int4_weights", of the float model.'
    )
    return note, "quantized_call", call


_SUBSTITUTES: dict[type, Callable[[Any], tuple[str, str, Any] | None]] = {
    keras.layers.CategoryEncoding: _category_encoding,
    keras.layers.Dense: _unpacked_weights,
    keras.layers.IntegerLookup: _lookup,
    keras.layers.UpSampling2D: _free_bilinear,
    keras.layers.Layer: _quantized_activations,
}
