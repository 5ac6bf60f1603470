"""Inputs that take pixels: who scales them, the model or the application."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_strategies._internal import model_graph
from keras_strategies.export._common.model_signature import Spec

_SCALING = (keras.layers.Rescaling, keras.layers.Normalization)
# Arithmetic with a constant, such as `x / 127.5 - 1`.
_ARITHMETIC = ("TrueDivide", "Divide", "Multiply", "Subtract", "Add")
_PASSING = ("Resizing", "CenterCrop", "Identity", "ZeroPadding2D", "Cropping2D", "Cast")


def scaled_inputs(model: keras.Model, names: Sequence[str]) -> dict[str, str]:
    """Returns `{input name: layer name}` of inputs that the model scales first.

    Such a model takes pixels as they are.

    Args:
        model: A built model.
        names: Names of its inputs, in their order.
    """
    try:
        graph = model_graph.read(model)
    except (AttributeError, TypeError, ValueError):
        return {}  # it has no graph: nothing is known
    if len(graph.inputs) != len(names):
        return {}
    found = {
        name: _scaling(tensor) for name, tensor in zip(names, graph.inputs, strict=True)
    }
    return {name: layer for name, layer in found.items() if layer is not None}


def _scaling(tensor):
    """Name of the one layer that scales a tensor, behind those that pass pixels on."""
    while len(tensor.consumers) == 1:
        call = tensor.consumers[0]
        operation, name = call.operation, type(call.operation).__name__
        if isinstance(operation, _SCALING):
            return operation.name
        if len(call.inputs) != 1 or len(call.outputs) != 1:
            return None
        if name in _ARITHMETIC:
            return operation.name
        if name not in _PASSING and not name.startswith("Random"):
            return None
        tensor = call.outputs[0]
    return None


def pixel_warnings(
    specs: Sequence[Spec],
    metadata: Mapping[str, Any],
    scaled: Mapping[str, str],
    input_type: str,
) -> list[str]:
    """Returns what a reader of the metadata would do wrong, or not at all.

    Args:
        specs: The model's inputs.
        metadata: The metadata.
        scaled: As `scaled_inputs` returns it.
        input_type: `input_type` of `to_tflite`.
    """
    names = [
        spec.name
        for spec in specs
        if len(spec.shape) == 4 and spec.shape[-1] in (1, 3) and "float" in spec.dtype
    ]
    values = metadata.get("normalization")
    warnings = []
    for name in names:
        if values is not None and name in scaled and not _is_identity(values):
            warnings.append(
                f"The model scales '{name}' itself ('{scaled[name]}'), and the "
                "metadata ask for `normalization` beside: an application does both. "
                "Leave `normalization` out if the model takes pixels from 0 to 255."
            )
        if "labels" not in metadata:
            continue  # no application is known to read it
        if input_type == "int8":
            warnings.append(
                f"MediaPipe Tasks takes images as float32 or uint8, not as int8: give "
                f"`input_type=\"uint8\"` for '{name}'."
            )
        elif values is None and name not in scaled and input_type == "float32":
            warnings.append(
                f"MediaPipe Tasks refuses the float32 images of '{name}' without "
                '`normalization`: say {"mean": 0, "std": 1} in the metadata if the '
                "model takes pixels from 0 to 255, or how they are scaled."
            )
        elif values is not None and _is_by_channel(values):
            warnings.append(
                f"MediaPipe Tasks refuses a `normalization` that differs by channel: "
                f"begin the model with a Normalization layer on '{name}' instead."
            )
    return warnings


def _is_identity(values):
    neutral = {"mean": 0.0, "std": 1.0, "scale": 1.0, "offset": 0.0}
    return all(_numbers(values[key]) == {neutral[key]} for key in values)


def _is_by_channel(values):
    return any(len(_numbers(value)) > 1 for value in values.values())


def _numbers(value):
    return set(value) if isinstance(value, list) else {value}
