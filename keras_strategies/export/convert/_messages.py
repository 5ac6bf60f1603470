"""The sentences of an export: what happened and the way out."""

import re

import keras

from keras_strategies._internal import checks, walking
from keras_strategies.export._calibration import layer_names
from keras_strategies.export._common.export_error import ExportError

MADE_UP = (
    "Verified on made-up inputs only: pass real ones as `verify` for an agreement "
    "that means something."
)
HALF = (
    "The model computes in half precision; the artifact computes in float32, as "
    "LiteRT has no half precision arithmetic."
)
_WAYS = {
    "Erf": "replace exact gelu by keras.activations.gelu(x, approximate=True)",
    "Erfc": "replace exact gelu by keras.activations.gelu(x, approximate=True)",
    "TensorList": "pass batch_size=1 for recurrent layers, or build them with "
    "unroll=True",
}
# Share of moving ranges above which the result warns. With 100 random samples a
# quarter of the minima and maxima still moves.
_MOVING = 0.5
_TEXT_OPS = ("String", "Regex", "Lookup", "Hash", "Unicode", "Ragged")


class Rejected(Exception):
    """Carries a refused artifact past the temporary folder."""

    def __init__(self, error, content):
        super().__init__(str(error))
        self.error = error
        self.content = content


def check_inputs(specs, batch_size):
    """Refuses inputs that cannot be fed and a batch size that contradicts them."""
    for spec in specs:
        if spec.dtype == "string":
            checks.fail(
                "Inputs must be numbers or booleans",
                fix="Take text preprocessing out of the model and export the rest.",
                **{spec.name: spec.dtype},
            )
        if len(spec.shape) == 0:
            checks.fail("Inputs must have a batch axis", **{spec.name: spec.shape})
        fixed = spec.shape[0]
        if batch_size is not None and fixed is not None and fixed != batch_size:
            fix = f"The model's inputs are built with batch size {fixed}."
            checks.fail(
                f"`batch_size` must be {fixed} or None", fix=fix, batch_size=batch_size
            )


def recurrent(model):
    """Returns the class names of the layers that loop over time steps."""
    layers = (model, *walking.all_layers(model))
    looping = [x for x in layers if isinstance(x, keras.layers.RNN) and not x.unroll]
    return sorted({type(layer).__name__ for layer in looping})


def batch_of_one(names):
    """The batch axis was fixed, unasked."""
    return (
        f"The artifact takes one sample at a time: {', '.join(names)} cannot loop over "
        "a free batch in LiteRT. Pass batch_size for another fixed one."
    )


def loops(layers):
    """What is inside a loop has no ranges."""
    return (
        f"Inside {', '.join(layers)} the weights are int8 and the arithmetic takes its "
        "ranges at run time: LiteRT has no loops of integers."
    )


def constant(reference):
    """A model that says the same whatever it sees agrees with any artifact."""
    same = [
        name
        for name, values in reference.items()
        if len(values) > 1 and (values == values[:1]).all()
    ]
    if not same:
        return []
    return [
        f"The agreement means nothing: the Keras model gives the same {same} for every "
        "sample. Give other inputs as `verify`, or look whether the model is trained."
    ]


def erf(done):
    """Says what stands in for erf, and how far off it is."""
    return (
        f"{done['replaced']} x erf, which LiteRT does not have, is computed by an "
        f"approximation that differs by at most {done['difference']:.1e}. For the "
        "usual gelu use keras.activations.gelu, which LiteRT has."
    )


def calibrated(info):
    """The part of the calibration's figures that belongs into a result."""
    keys = ("method", "samples", "moving", "moving_tensors", "settled")
    return {key: info[key] for key in keys if key in info}


def unsettled(info):
    """Says that more representative data are needed."""
    moving, samples = info["moving"], info["samples"]
    if moving is None:
        return [
            f"{samples} representative samples are too few to say whether the ranges "
            "have settled. Give 100 to 500."
        ]
    if moving <= _MOVING:
        return []
    return [
        f"The ranges were still moving: over the last quarter of the {samples} "
        f"representative samples {moving:.0%} of the tensors grew by more than 5 %. "
        "Give more samples."
    ]


def unset(names):
    """Activations of a quantize-aware model that never saw a batch."""
    if not names:
        return []
    return [
        f"The model has not learned the ranges of {names[:5]}: what follows stays in "
        "float32. Train it, or call it on data with training=True, before exporting."
    ]


def why(error):
    """Why TensorFlow's own quantizer was not used."""
    reason = clip(str(error), 200)
    return f"TensorFlow's converter could not quantize the model ({reason})."


def check_rules(quantization, matched, layers):
    """Refuses a rule of a dict that fits no layer: a typing error, most often."""
    if quantization.uniform is not None:
        return
    names = sorted({path.partition("/")[2] for path in layers if "/" in path})
    for index, (regex, _) in enumerate(quantization.rules):
        if matched[index]:
            continue
        earlier = [rule for rule, _ in quantization.rules[:index]]
        found = [name for name in names if re.search(regex, name)]
        if any(re.search(rule, name) for name in found for rule in earlier):
            continue  # a last rule for the rest, of which nothing is left
        fix = f"The layers are {names}."
        if found:
            fix = f"{found} compute nothing of their own: other layers took them in."
        checks.fail("A rule of `quantization` fits no operation", fix=fix, regex=regex)


# Layers that crash converters more than others, worst first.
_SUSPECTS = ("RNN", "ConvLSTM", "MultiHeadAttention", "GroupedQueryAttention", "Conv3D")


def crash_hint(model):
    """Names the layer class most likely at fault for a dead converter."""
    names = recurrent(model)
    if names:
        return (
            f"The converter is known to crash on the loops of {', '.join(names)}: "
            'use quantization="float16" or "dynamic", or unroll=True.'
        )
    layers = list(walking.all_layers(model))
    custom = [
        type(layer).__name__
        for layer in (*layers, model)
        if type(layer).__module__.partition(".")[0] not in ("keras", "keras_strategies")
    ]
    bases = {
        x for layer in layers for x in (base.__name__ for base in type(layer).__mro__)
    }
    suspects = list(dict.fromkeys(custom)) or [
        name for name in _SUSPECTS if name in bases
    ]
    way = 'Try quantization="float32" or "float16"'
    if not suspects:
        return f"{way}, or export parts of the model to find the layer."
    names = ", ".join(suspects[:3])
    return f"Most likely at fault: {names}. {way}, or the model without that layer."


def blamed(message, layers):
    """Returns `{path: class}` of the layers that a converter message points at."""
    found = re.findall(r"\"([^\"@]+)@__inference", message)
    paths = {layer_names.layer_of(name, layers) for name in found} - {None}
    inner = {p for p in paths if not any(q.startswith(p + "/") for q in paths)}
    return {path.partition("/")[2] or path: layers[path] for path in sorted(inner)}


def reference(model, names):
    """The Keras model itself is not finite."""
    broken = [
        variable.path
        for variable in model.weights
        if "float" in variable.dtype and not _finite(variable)
    ]
    where = f" These weights are not finite: {broken[:5]}." if broken else ""
    return (
        f"The Keras model itself gives NaN or infinity in {names}.{where} Restore "
        "finite weights, or check the verification data, before exporting."
    )


def predict(model, error):
    """The Keras model cannot be called as its inputs say."""
    return (
        f"The Keras model '{model.name}' cannot be called on the verification data: "
        f"{clip(f'{type(error).__name__}: {error}')}. A model takes its inputs as one "
        "array, list or dict in its first argument."
    )


def _finite(variable):
    return bool(keras.ops.all(keras.ops.isfinite(variable)))


def trace(model, error):
    """The model cannot be traced."""
    return (
        f"Model '{model.name}' cannot be traced for inference: "
        f"{clip(f'{type(error).__name__}: {error}')}"
    )


def save(model, error):
    """The model cannot be saved for the worker."""
    return (
        f"Model '{model.name}' cannot be saved as .keras, which exporting on the "
        f"{keras.backend.backend()} backend needs: "
        f"{clip(f'{type(error).__name__}: {error}')}"
    )


def translate(error, model, doing, reason, layers):
    """Returns the `ExportError` for an exception inside the worker."""
    blame = blamed(error.message, layers)
    if reason == "conversion":
        ops = unsupported_ops(error.message)
        if ops:
            details = {"ops": ops, "layers": blame}
            return ExportError(_flex(model, ops, blame), "flex", details)
    message = f"{error.kind} while {doing}{_where(blame)}: {clip(error.message)}"
    if reason == "load":
        message += (
            " Custom classes must be registered with "
            "keras.saving.register_keras_serializable in an importable module, not "
            "in the main script; or export on the TensorFlow backend."
        )
    return ExportError(message, reason)


def unsupported_ops(message):
    """Returns the operations a converter message names as not built in."""
    found = re.findall(r"TF (?:Select|Custom) ops: (.+)", message)
    # Some are unknown to the Flex runtime too.
    found += re.findall(r"'tf\.(\w+)' op is neither a custom op nor a flex op", message)
    # Loops of free batch size fail before the converter lists anything.
    found += re.findall(r"'tf\.(TensorList\w+)'", message)
    return sorted({name.strip() for line in found for name in line.split(",")})


def _where(blame):
    named = [f"'{path}' ({kind})" for path, kind in blame.items()]
    return f" in {', '.join(named[:5])}" if named else ""


def _flex(model, ops, blame):
    ways = [way for key, way in _WAYS.items() if any(op.startswith(key) for op in ops)]
    if any(op.startswith(_TEXT_OPS) for op in ops):
        ways.append("take text preprocessing out of the model")
    if not ways and recurrent(model):
        ways.append(_WAYS["TensorList"])
    ways = ways or ["replace the layers that use them"]
    return (
        f"The model needs operations that LiteRT does not have: {', '.join(ops)}"
        f"{_where(blame)}. "
        f"Way out: {'; '.join(ways)}. With allow_flex=True the artifact needs the "
        "TensorFlow (Flex) runtime on the device and cannot be verified here."
    )


_MARKS = {
    "float16": "float16",
    "dynamic": "int8",
    "int8": "int8",
    "int16x8": "int8",
    "int4_weights": "int4",
}


def about(quantization, inside):
    """Warnings on what the converter did not quantize."""
    mark = _MARKS.get(quantization.uniform)
    if mark and mark not in inside["tensor_types"]:
        return [
            f"Nothing was quantized: the file holds no {mark} tensor. The converter "
            "leaves weights of fewer than 1024 elements alone."
        ]
    if quantization.uniform in ("int8", "int16x8") and inside["float_ops"]:
        ops = inside["float_ops"].items()
        names = ", ".join(f"{name} x{count}" for name, count in ops)
        return [f"Left in float32, as they have no integer kernel: {names}."]
    return []


def unverified(ops):
    """An artifact that nobody ran."""
    names = ", ".join(ops)
    return f"Not verified: {names} need the TensorFlow (Flex) runtime."


def clip(text, limit=1200):
    """The lines of a long message that say something, at most `limit` characters."""
    lines = [line for line in text.splitlines() if "error:" in line]
    text = "\n".join(lines) if len(text) > limit and lines else text
    return text if len(text) <= limit else text[:limit] + " ..."
