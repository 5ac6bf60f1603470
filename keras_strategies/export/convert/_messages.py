"""Error messages and warnings of an export."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import traversal
from keras_strategies.export._calibration import layer_names
from keras_strategies.export._common import (
    ExportError,
    Reason,
    exception_text,
    model_signature,
    shorten,
)
from keras_strategies.export.convert._options import Quantization

HALF_PRECISION_WARNING = (
    "The model computes in half precision; the artifact computes in float32, as "
    "LiteRT has no half precision arithmetic."
)
FLOAT64_WARNING = (
    "The model computes in float64; the artifact computes in float32, as LiteRT has no "
    "arithmetic of double precision."
)
_FIXED_IMAGES = (
    "give the images a fixed size, keras.Input((height, width, channels)), without "
    "pad_to_aspect_ratio, which computes it at run time"
)
# Start of an operation's name -> what to do about it.
_FLEX_FIXES = {
    "Cumprod": "give the axis of the product a fixed size, or for positive x take "
    "keras.ops.exp(keras.ops.cumsum(keras.ops.log(x)))",
    "DenseBincount": "replace keras.ops.bincount by the sum of keras.ops.one_hot, "
    "which has a fixed size",
    "Digamma": "compute it outside of the model, or tabulate it",
    "Einsum": "write the einsum as a product or sum of keras.ops.matmul, "
    "transpose and sum",
    "Erfinv": "compute it outside of the model, or by a polynomial",
    "MatrixDeterminant": "write out the determinant of small matrices",
    "MatrixInverse": "write out the inverse of small matrices",
    "Qr": "compute decompositions outside of the model",
    "Random": "leave what is drawn at random out at inference, or give it to the model "
    "as an input",
    "Resize": _FIXED_IMAGES,
    "Roll": "give shift and axis as constants, or join slices with "
    "keras.ops.concatenate",
    "ScaleAndTranslate": _FIXED_IMAGES,
    "SpaceToBatchND": "dilate images only: in three dimensions use no dilation, "
    "a larger kernel or strides",
    "SparseCross": "cross the features outside of the model",
    "StatelessRandom": "leave what is drawn at random out at inference, or give it to "
    "the model as an input",
    "Svd": "compute decompositions outside of the model",
    "TensorList": "pass batch_size=1 for recurrent layers, or build them with "
    "unroll=True",
    "Unique": "take what has an output of unknown size out of the model",
    "Where": "take what has an output of unknown size out of the model",
}
_TEXT_OPS = ("String", "Regex", "Lookup", "Hash", "Unicode", "Ragged")
# Fraction of moving ranges above which the result warns. With 100 random samples a
# quarter of the minima and maxima still moves.
_MOVING_WARNING = 0.5
# Layers that crash converters more than others, worst first.
_CRASH_PRONE = (
    "RNN",
    "ConvLSTM",
    "MultiHeadAttention",
    "GroupedQueryAttention",
    "Conv3D",
)


def looping_layers(model: keras.Model) -> list[str]:
    """Returns the class names of the layers that loop over time steps."""
    layers = (model, *traversal.all_layers(model))
    looping = [x for x in layers if isinstance(x, keras.layers.RNN) and not x.unroll]
    return sorted({type(layer).__name__ for layer in looping})


def single_sample_warning(names: Sequence[str]) -> str:
    """The batch axis was fixed without having been asked for."""
    return (
        f"The artifact takes one sample at a time: {', '.join(names)} cannot loop over "
        "a free batch in LiteRT. Pass batch_size for another fixed one."
    )


def loop_warning(layers: Sequence[str]) -> str:
    """Operations inside a loop have no calibrated ranges."""
    return (
        f"Inside {', '.join(layers)} the weights are int8 and the arithmetic takes its "
        "ranges at run time: LiteRT has no loops of integers."
    )


def calibrated_on_warning(samples: int) -> str:
    """The check saw what the calibration saw."""
    return (
        f"Checked on the same {samples} samples that the ranges come from, which are "
        "too few to hold some out: errors on other data may be many times larger. Give "
        "100 to 500, or others as `verify`."
    )


def overshoot_warnings(fractions: Mapping[str, float]) -> list[str]:
    """The ranges do not cover what the model gets."""
    return [
        f"{fraction:.1%} of the samples checked have values of '{name}' outside of the "
        "range of the representative data, where int8 clips: give representative data "
        "with such values."
        for name, fraction in fractions.items()
        if fraction > 0
    ]


def constant_output_warnings(reference: Mapping[str, np.ndarray]) -> list[str]:
    """A model with the same output for every input agrees with any artifact."""
    constant = [
        name
        for name, values in reference.items()
        if len(values) > 1 and (values == values[:1]).all()
    ]
    if not constant:
        return []
    return [
        f"The agreement means nothing: the Keras model gives the same {constant} for "
        "every sample. Give other inputs as `verify`, or look whether the model is "
        "trained."
    ]


def replaced_warnings(replacement: Mapping[str, Any]) -> list[str]:
    """States the substitutes of operations and their errors."""
    sentences = []
    for op, count in replacement["replaced"].items():
        difference = replacement["differences"][op]
        name = op.lower() if op in ("Erf", "Erfc") else op
        sentence = (
            f"{count} x {name}, which LiteRT does not have, is computed by operations "
            f"that it has, with results that differ by at most {difference:.1e} of "
            "their size."
        )
        if op in ("Erf", "Erfc"):
            sentence += (
                " For the usual gelu use keras.activations.gelu, which LiteRT has."
            )
        sentences.append(sentence)
    return sentences


def with_reasons(error: ExportError, reasons: Mapping[str, str]) -> ExportError:
    """Returns the error with the reasons why substitutes did not fit."""
    text = "; ".join(f"{op}: {reason}" for op, reason in reasons.items())
    return ExportError(
        f"{error} There is a substitute, which does not fit here ({text}).",
        error.reason,
        error.details,
    )


def moving_ranges_warnings(calibration: Mapping[str, Any]) -> list[str]:
    """More representative data are needed."""
    moving, samples = calibration["moving"], calibration["samples"]
    if moving is None:
        return [
            f"{samples} representative samples are too few to say whether the ranges "
            "have settled. Give 100 to 500."
        ]
    if moving <= _MOVING_WARNING:
        return []
    return [
        f"The ranges were still moving: over the last quarter of the {samples} "
        f"representative samples {moving:.0%} of the tensors grew by more than 5 %. "
        "Give more samples."
    ]


def unset_ranges_warnings(names: Sequence[str]) -> list[str]:
    """Activations of a quantize-aware model that never saw a batch."""
    if not names:
        return []
    return [
        f"The model has not learned the ranges of {names[:5]}: what follows stays in "
        "float32. Train it, or call it on data with training=True, before exporting."
    ]


def fallback_reason(error: Exception) -> str:
    """The reason why TensorFlow's own quantizer was not used."""
    reason = shorten(str(error), 200)
    return f"TensorFlow's converter could not quantize the model ({reason})."


def crash_hint(model: keras.Model) -> str:
    """Names the layer class most likely at fault for a dead converter."""
    names = looping_layers(model)
    if names:
        return (
            f"The converter is known to crash on the loops of {', '.join(names)}: "
            'use quantization="float16" or "dynamic", or unroll=True.'
        )
    layers = list(traversal.all_layers(model))
    custom = [
        type(layer).__name__
        for layer in (*layers, model)
        if type(layer).__module__.partition(".")[0] not in ("keras", "keras_strategies")
    ]
    bases = {base.__name__ for layer in layers for base in type(layer).__mro__}
    suspects = list(dict.fromkeys(custom)) or [x for x in _CRASH_PRONE if x in bases]
    fix = 'Try quantization="float32" or "float16"'
    if not suspects:
        return f"{fix}, or export parts of the model to find the layer."
    classes = ", ".join(suspects[:3])
    return f"Most likely at fault: {classes}. {fix}, or the model without that layer."


def forgotten_arguments_message(
    model: keras.Model, specs: Sequence[model_signature.Spec]
) -> str:
    """Of a model that Keras cannot load, as it keeps the shape of one argument."""
    shapes = ", ".join(f"{spec.name}_shape" for spec in specs)
    return (
        f"Model '{model.name}' takes {len(specs)} arguments, of which a .keras file "
        f"keeps the shape of the first alone; exporting on the "
        f"{keras.backend.backend()} backend needs such a file. Define "
        f"build(self, {shapes}) in the model's class, or export on the TensorFlow "
        "backend."
    )


def float8_message(names: Sequence[str]) -> str:
    """Of layers that no device has arithmetic for."""
    return (
        f"Keras's float8 quantization of {list(names)[:5]} cannot be exported: LiteRT "
        'has no float8. Export the float model, with quantization="int8" or "float16" '
        "for a small file."
    )


def trace_failed_message(model: keras.Model, error: Exception) -> str:
    """The model cannot be traced."""
    text = (
        f"Model '{model.name}' cannot be traced for inference: {exception_text(error)}"
    )
    if "root scope name" in text:
        text += " Give that layer a `name` that begins with a letter."
    return text


def worker_failure(
    kind: str,
    message: str,
    model: keras.Model,
    action: str,
    reason: Reason,
    layers: Mapping[str, str],
) -> ExportError:
    """Returns the `ExportError` for an exception of class `kind` in the worker."""
    named_layers = _layers_in_message(message, layers)
    if reason == "conversion":
        ops = unsupported_ops(message)
        if ops:
            details = {"ops": ops, "layers": named_layers}
            return ExportError(_flex_message(model, ops, named_layers), "flex", details)
    said = shorten(message) or (
        "the converter gave no reason. If it is the quantization, other modes work, "
        'such as "float32"; else export parts of the model to find the layer.'
    )
    text = f"{kind} while {action}{_layer_phrase(named_layers)}: {said}"
    if reason == "load":
        text += (
            " Custom classes must be registered with "
            "keras.saving.register_keras_serializable in an importable module, not "
            "in the main script; or export on the TensorFlow backend."
        )
    return ExportError(text, reason)


def _layers_in_message(message, layers):
    """Returns `{path: class}` of the layers that a converter message points at.

    The converter quotes source locations of the form "path@__inference_...".
    """
    locations = re.findall(r"\"([^\"@]+)@__inference", message)
    paths = {layer_names.layer_of(name, layers) for name in locations} - {None}
    inner = {p for p in paths if not any(q.startswith(p + "/") for q in paths)}
    return {layer_names.path_in_model(path): layers[path] for path in sorted(inner)}


def unsupported_ops(message: str) -> list[str]:
    """Returns the operations a converter message names as not built in."""
    # "TF Select ops: Erf, Cumprod", in lines of their own.
    lists = re.findall(r"TF (?:Select|Custom) ops: (.+)", message)
    # Some are unknown to the Flex runtime too.
    lists += re.findall(r"'tf\.(\w+)' op is neither a custom op nor a flex op", message)
    # Loops of free batch size fail before the converter lists anything.
    lists += re.findall(r"'tf\.(TensorList\w+)'", message)
    return sorted({name.strip() for line in lists for name in line.split(",")})


def _layer_phrase(named_layers):
    quoted = [f"'{path}' ({kind})" for path, kind in named_layers.items()]
    return f" in {', '.join(quoted[:5])}" if quoted else ""


def _flex_message(model, ops, named_layers):
    fixes = [
        fix
        for start, fix in _FLEX_FIXES.items()
        if any(op.startswith(start) for op in ops)
    ]
    if any(op.startswith(_TEXT_OPS) for op in ops):
        fixes.append("take text preprocessing out of the model")
    if not fixes and looping_layers(model):
        fixes.append(_FLEX_FIXES["TensorList"])
    if model_signature.computes_in_float64(model):
        fixes.append('build the model in float32, keras.config.set_floatx("float32")')
    fixes = list(dict.fromkeys(fixes)) or [
        "compute them outside of the model, or write the layers that use them with "
        "other operations of keras.ops"
    ]
    return (
        f"The model needs operations that LiteRT does not have: {', '.join(ops)}"
        f"{_layer_phrase(named_layers)}. "
        f"Way out: {'; '.join(fixes)}. With allow_flex=True the artifact needs the "
        "TensorFlow (Flex) runtime on the device and cannot be verified here."
    )


# Mode -> the tensor type that a file quantized so must hold.
_QUANTIZED_TYPES = {
    "float16": "float16",
    "dynamic": "int8",
    "int8": "int8",
    "int16x8": "int8",
    "int4_weights": "int4",
}


def quantization_warnings(
    quantization: Quantization, contents: Mapping[str, Any], is_aware: bool = False
) -> list[str]:
    """Warnings on operations that the converter did not quantize.

    Args:
        quantization: What was asked for.
        contents: What the file holds.
        is_aware: Whether the model rounds in its own graph.
    """
    dtype = _QUANTIZED_TYPES.get(quantization.uniform or "")
    if is_aware and dtype == "float16" and "int8" in contents["tensor_types"]:
        return [
            "The model is quantization-aware: the file is int8 by the ranges that it "
            "has learned, and not float16."
        ]
    if dtype and dtype not in contents["tensor_types"]:
        return [
            f"Nothing was quantized: the file holds no {dtype} tensor. The converter "
            "leaves weights of fewer than 1024 elements alone."
        ]
    if quantization.uniform in ("int8", "int16x8") and contents["float_ops"]:
        ops = contents["float_ops"].items()
        names = ", ".join(f"{name} x{count}" for name, count in ops)
        return [f"Left in float32, as they have no integer kernel: {names}."]
    return []


def unverified_warning(ops: Sequence[str]) -> str:
    """An artifact that was not run."""
    names = ", ".join(ops)
    return f"Not verified: {names} need the TensorFlow (Flex) runtime."
