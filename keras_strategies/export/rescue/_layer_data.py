"""What goes into the layers of a model, and what they make of it before activation."""

from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.model_graph import clone_layer
from keras_strategies.export.rescue import _kernels

_BATCH_SIZE = 128


def check_data(model: keras.Model, data: Any) -> Any:
    """Inputs for `predict`; refuses none and those that are not finite."""
    leaves = [np.asarray(leaf) for leaf in keras.tree.flatten(data)]
    sizes = {len(leaf) for leaf in leaves if leaf.ndim}
    if len(leaves) != len(model.inputs) or len(sizes) != 1 or 0 in sizes:
        checks.fail(
            "`data` must have an array for each input, with a sample at least",
            fix="Give some hundred inputs as in use.",
            inputs=len(model.inputs),
            shapes=[leaf.shape for leaf in leaves],
        )
    for leaf in leaves:
        if leaf.dtype.kind == "f" and not np.isfinite(leaf).all():
            checks.fail("`data` must be finite numbers", dtype=str(leaf.dtype))
    return data


def inputs_of(model: keras.Model, layer: Any, data: Any) -> np.ndarray:
    """What goes into a layer of a flat model."""
    if any(layer.input is tensor for tensor in model.inputs):
        names = [tensor.name for tensor in model.inputs]
        position = next(i for i, t in enumerate(model.inputs) if t is layer.input)
        if isinstance(data, dict):
            return np.asarray(data[names[position]], "float32")
        return np.asarray(keras.tree.flatten(data)[position], "float32")
    part = keras.Model(model.inputs, layer.input)
    values = part.predict(_structured(model, data), batch_size=_BATCH_SIZE, verbose=0)
    return np.asarray(values, "float32")


def _structured(model, data):
    """Inputs in the order of `model.inputs`, whatever structure they came in."""
    if isinstance(data, dict):
        return [data[tensor.name] for tensor in model.inputs]
    leaves = keras.tree.flatten(data)
    return leaves[0] if len(leaves) == 1 else leaves


def pre_activations(layer: Any, inputs: np.ndarray) -> np.ndarray:
    """What a layer makes of inputs before its activation, channels last."""
    linear = clone_layer(layer, activation="linear")
    linear.build(inputs.shape)
    linear.set_weights(layer.get_weights())
    outputs = [
        keras.ops.convert_to_numpy(linear(inputs[start : start + _BATCH_SIZE]))
        for start in range(0, len(inputs), _BATCH_SIZE)
    ]
    return channels_last(layer, np.concatenate(outputs))


def channels_last(layer: Any, values: np.ndarray) -> np.ndarray:
    """The values of a layer with the channels at the end."""
    if getattr(layer, "data_format", "channels_last") == "channels_first":
        return np.moveaxis(values, 1, -1)
    return values


def patches(layer: Any, inputs: np.ndarray) -> np.ndarray:
    """The inputs of each position as rows: `(rows, kernel size, input channels)`.

    A layer is a product of these with its kernel.
    """
    channels = layer.kernel.shape[-2]
    if not isinstance(layer, _kernels.CONVOLUTIONS):
        return inputs.reshape(-1, 1, channels)
    values = channels_last(layer, inputs)
    size, strides, dilation = layer.kernel_size, layer.strides, layer.dilation_rate
    if len(size) == 1:  # as a picture of one row
        values = values[:, None]
        size, strides, dilation = (1, *size), (1, *strides), (1, *dilation)
        if layer.padding == "causal":
            left = dilation[1] * (size[1] - 1)
            values = np.pad(values, ((0, 0), (0, 0), (left, 0), (0, 0)))
    padding = "valid" if layer.padding == "causal" else layer.padding
    if padding == "same":
        values = _padded(values, size, strides, dilation)
    rows = [
        (extent - step * (length - 1) - 1) // stride + 1
        for extent, length, stride, step in zip(
            values.shape[1:3], size, strides, dilation, strict=True
        )
    ]
    parts = [
        values[
            :,
            i * dilation[0] : i * dilation[0]
            + (rows[0] - 1) * strides[0]
            + 1 : strides[0],
            j * dilation[1] : j * dilation[1]
            + (rows[1] - 1) * strides[1]
            + 1 : strides[1],
        ]
        for i in range(size[0])
        for j in range(size[1])
    ]
    return np.stack(parts, axis=3).reshape(-1, len(parts), channels)


def _padded(values, size, strides, dilation):
    """Zeros at the edges as padding="same" puts them."""
    widths = [(0, 0)]
    for extent, length, stride, step in zip(
        values.shape[1:3], size, strides, dilation, strict=True
    ):
        total = max(
            (-(-extent // stride) - 1) * stride + step * (length - 1) + 1 - extent, 0
        )
        widths.append((total // 2, total - total // 2))
    return np.pad(values, [*widths, (0, 0)])
