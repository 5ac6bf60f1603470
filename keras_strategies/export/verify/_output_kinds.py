"""What the outputs of a model mean: classes, yes or no, values, embeddings.

The order of evidence: what the user says, integers, the loss that the model is compiled
with, the layer that makes the output, and at last the values. A custom loss says
nothing, and so do losses between distributions (KL, Dice, CTC).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args

import keras
import numpy as np

from keras_strategies._internal import checks, model_graph
from keras_strategies.export._common.model_signature import tensor_name

#: Meanings of an output, or of a span of its channels.
OutputKind: TypeAlias = Literal[
    "probabilities",
    "logits",
    "binary_probabilities",
    "binary_logits",
    "regression",
    "embedding",
    "integer",
]
#: One meaning, or `(meaning, number of channels)` for each span of the last axis.
OutputMeaning: TypeAlias = OutputKind | Sequence[tuple[OutputKind, int]]
KINDS: tuple[str, ...] = get_args(OutputKind)
# Fewest channels of an embedding that is told by its unit norm alone.
_MIN_EMBEDDING = 4
# Channels of one layer from which a plain loss over all says that they are equals.
_MANY_EQUALS = 32
_CLASS_LOSSES = (
    keras.losses.CategoricalCrossentropy,
    keras.losses.CategoricalFocalCrossentropy,
    keras.losses.SparseCategoricalCrossentropy,
)
_BINARY_LOSSES = (
    keras.losses.BinaryCrossentropy,
    keras.losses.BinaryFocalCrossentropy,
)
_VALUE_LOSSES = (
    keras.losses.Huber,
    keras.losses.LogCosh,
    keras.losses.MeanAbsoluteError,
    keras.losses.MeanAbsolutePercentageError,
    keras.losses.MeanSquaredError,
    keras.losses.MeanSquaredLogarithmicError,
    keras.losses.Poisson,
)
_FAMILIES = {
    "classes": _CLASS_LOSSES,
    "binary": _BINARY_LOSSES,
    "values": _VALUE_LOSSES,
}
_FUNCTIONS = {
    "classes": (
        keras.losses.categorical_crossentropy,
        keras.losses.categorical_focal_crossentropy,
        keras.losses.sparse_categorical_crossentropy,
    ),
    "binary": (
        keras.losses.binary_crossentropy,
        keras.losses.binary_focal_crossentropy,
    ),
    "values": (
        keras.losses.huber,
        keras.losses.log_cosh,
        keras.losses.mean_absolute_error,
        keras.losses.mean_absolute_percentage_error,
        keras.losses.mean_squared_error,
        keras.losses.mean_squared_logarithmic_error,
        keras.losses.poisson,
    ),
}
# Layers and operations of Keras that hand the values on, by class name: operations
# have no public classes.
_PASSING = (
    "ActivityRegularization",
    "Cast",
    "Dropout",
    "ExpandDims",
    "Flatten",
    "Identity",
    "Masking",
    "Reshape",
    "Squeeze",
)
_OPERATIONS: dict[str, OutputKind] = {
    "LogSoftmax": "logits",  # softmax(log p) = p
    "Normalize": "embedding",
    "Sigmoid": "binary_probabilities",
    "Softmax": "probabilities",
    "UnitNormalization": "embedding",
}
_ACTIVATIONS: dict[Any, OutputKind] = {
    keras.activations.log_softmax: "logits",
    keras.activations.sigmoid: "binary_probabilities",
    keras.activations.softmax: "probabilities",
}


@dataclasses.dataclass(frozen=True)
class Span:
    """The meaning of the channels `start` to `stop` of an output's last axis.

    Attributes:
        kind: One of `KINDS`.
        start: First channel.
        stop: Channel behind the last.
        source: What it was told by: `"user"`, `"dtype"`, `"loss"`, `"layer"` or
            `"values"`.
        is_shared: Whether the channels are known to have one unit: many that one
            bounded activation makes, or that one plain loss is the mean over.
    """

    kind: str
    start: int
    stop: int
    source: str
    is_shared: bool = False


def meaning(spans: Sequence[Span]) -> str:
    """Returns the kind of an output: that of its span, or `"mixed"` for several."""
    return spans[0].kind if len(spans) == 1 else "mixed"


def validate_output_kind(value: Any) -> None:
    """Refuses an `output_kind` that is no kind, spans or dict of these."""
    for entry in value.values() if isinstance(value, Mapping) else [value]:
        if entry is None or isinstance(entry, str):
            checks.choice("output_kind", entry, (None, *KINDS))
            continue
        checks.instance("output_kind", entry, (list, tuple))
        for pair in entry:
            if not (isinstance(pair, list | tuple) and len(pair) == 2):
                fix = 'For example [("regression", 4), ("binary_probabilities", 1)].'
                rule = "`output_kind` must have pairs of a kind and a channel count"
                checks.fail(rule, fix=fix, output_kind=entry)
            checks.choice("output_kind", pair[0], KINDS)
            checks.integer("output_kind", pair[1], low=1)


def output_spans(
    model: keras.Model | None,
    reference: Mapping[str, np.ndarray],
    output_kind: Any = None,
) -> dict[str, tuple[Span, ...]]:
    """Returns the spans of each output of `reference`, which is in the model's order.

    Args:
        model: The model, or `None` to go by what is said and by the values.
        reference: Its outputs, samples first.
        output_kind: What the user says: `None`, a meaning of all outputs, or a dict of
            meanings by output name.
    """
    names = list(reference)
    if isinstance(output_kind, Mapping):
        unknown = sorted(set(output_kind) - set(names))
        if unknown:
            rule = f"`output_kind` must have output names as keys, of {names}"
            checks.fail(rule, keys=unknown)
        said = dict(output_kind)
    else:
        said = dict.fromkeys(names, output_kind)
    losses = _losses(model, names)
    made = _kinds_of_layers(model, len(names))
    return {
        name: _spans(name, values, said.get(name), loss, kinds)
        for (name, values), loss, kinds in zip(
            reference.items(), losses, made, strict=True
        )
    }


def num_channels(values: np.ndarray) -> int:
    """Size of the last axis; 1 for one number a sample."""
    return values.shape[-1] if values.ndim > 1 else 1


def is_distribution(values: np.ndarray) -> bool:
    """Whether the last axis of `values` holds class probabilities."""
    if values.ndim < 2 or values.shape[-1] < 2 or values.dtype.kind != "f":
        return False
    in_unit_interval = values.min() >= -1e-3 and values.max() <= 1 + 1e-3
    return bool(in_unit_interval and np.abs(values.sum(axis=-1) - 1).max() <= 1e-2)


def _spans(name, values, said, loss, kinds):
    width = num_channels(values)
    if said is not None:
        pairs = [(said, width)] if isinstance(said, str) else list(said)
        if sum(size for _, size in pairs) != width:
            rule = f"`output_kind` of '{name}' must have {width} channels in all"
            checks.fail(rule, output_kind=said)
        spans = _said_spans(pairs)
        for span in spans:
            _validate_said(name, values, span)
        return spans
    if values.dtype.kind not in "f":
        return (Span("integer", 0, width, "dtype"),)
    if kinds is None or sum(size for _, size in kinds) != width:
        kinds = [(None, width)]
    spans, start = [], 0
    for kind, size in kinds:
        part = values[..., start : start + size] if values.ndim > 1 else values
        span_loss = _kind_by_loss(loss, part, kind)
        source = "loss" if span_loss else "layer" if kind else "values"
        chosen = span_loss or kind or _kind_by_values(part)
        # An autoencoder of pixels, a spectrum: the loss is a mean over equals.
        is_mean = loss[0] == "values" and len(kinds) == 1 and size >= _MANY_EQUALS
        is_shared = kind == "binary_probabilities" or is_mean
        spans.append(Span(chosen, start, start + size, source, is_shared))
        start += size
    return tuple(spans)


def _said_spans(pairs):
    spans, start = [], 0
    for kind, size in pairs:
        spans.append(Span(kind, start, start + size, "user"))
        start += size
    return tuple(spans)


def _validate_said(name, values, span):
    """Refuses a meaning that Keras's values contradict: it would hide damage.

    The softmax of one class is 1 whatever the file gives, and what lies outside of the
    unit interval is no probability.
    """
    kind, width = span.kind, span.stop - span.start
    if width < 2 and kind in ("probabilities", "logits", "embedding"):
        fix = 'A single channel is "regression", or of yes or no: '
        checks.fail(
            f"`output_kind` '{kind}' must have two channels or more",
            fix=fix + '"binary_probabilities", or "binary_logits" without a sigmoid.',
            output=name,
            channels=width,
        )
    part = values[..., span.start : span.stop] if values.ndim > 1 else values
    low, high = float(part.min()), float(part.max())
    received = {"output": name, "smallest": low, "largest": high}
    if kind.endswith("probabilities") and (low < -1e-2 or high > 1 + 1e-2):
        logits = kind.replace("probabilities", "logits")
        checks.fail(
            f"`output_kind` '{kind}' must have values of the Keras model in [0, 1]",
            fix=f'Say "{logits}" of scores before the activation.',
            **received,
        )
    if kind == "integer" and (part != np.round(part)).any():
        checks.fail(
            "`output_kind` 'integer' must have whole values of the Keras model",
            fix='Say "regression".',
            **received,
        )


def _kind_by_loss(loss, values, kind):
    family, from_logits = loss
    is_softmax = is_distribution(values)
    if family == "classes" and num_channels(values) > 1:
        # Compiled for probabilities but without the activation: logits all the same.
        return "logits" if from_logits or not is_softmax else "probabilities"
    if family == "binary":
        if not from_logits and kind == "probabilities" and is_softmax:
            return "probabilities"
        in_unit_interval = values.min() >= 0 and values.max() <= 1
        is_logits = from_logits or not in_unit_interval
        return "binary_logits" if is_logits else "binary_probabilities"
    if family == "values":
        is_classes = kind == "probabilities" and is_softmax
        return "probabilities" if is_classes else "regression"
    return None


def _kind_by_values(values):
    if is_distribution(values):
        return "probabilities"
    if values.ndim > 1 and values.shape[-1] >= _MIN_EMBEDDING:
        norms = np.linalg.norm(values.astype("float64"), axis=-1)
        if np.abs(norms - 1).max() <= 1e-3:
            return "embedding"
    return "regression"


def _losses(model, names):
    """Returns `(family, from_logits)` of the loss of each output."""
    loss = getattr(model, "loss", None)
    if isinstance(loss, Mapping):
        by_name = {tensor_name(str(key)): value for key, value in loss.items()}
        losses = [by_name.get(name) for name in names]
    elif isinstance(loss, list | tuple):
        losses = list(loss) if len(loss) == len(names) else [None] * len(names)
    else:
        losses = [loss] * len(names)
    return [_family(entry) for entry in losses]


def _family(loss):
    if isinstance(loss, str):
        try:
            loss = keras.losses.get(loss)
        except ValueError:
            return None, False
    for family, classes in _FAMILIES.items():
        if isinstance(loss, classes):
            return family, bool(loss.get_config().get("from_logits", False))
        if loss in _FUNCTIONS[family]:
            return family, False
    return None, False


def _kinds_of_layers(model, count):
    """Returns `[(kind or None, channels), ...]` or None for each output."""
    if model is None:
        return [None] * count
    try:
        graph = model_graph.read(model)
    except (AttributeError, TypeError, ValueError):
        return [None] * count  # it has no graph: the values decide
    kinds = [_kinds_of(tensor) for tensor in graph.outputs]
    return kinds if len(kinds) == count else [None] * count


def _kinds_of(tensor):
    """Returns the kinds of the spans of a tensor's last axis, or None."""
    width = tensor.shape[-1] if len(tensor.shape) > 1 else 1
    unknown = None if width is None else [(None, width)]
    if width is None or tensor.producer is None:
        return unknown
    operation = tensor.producer.operation
    name = type(operation).__name__
    inputs = tensor.producer.inputs
    if name == "Concatenate":
        return _concatenated(tensor, operation, inputs) or unknown
    if name in _OPERATIONS and _is_last_axis(operation, tensor):
        return [(_OPERATIONS[name], width)]
    while isinstance(operation, keras.layers.TimeDistributed):
        operation = operation.layer
    activation = getattr(operation, "activation", None)
    if activation in _ACTIVATIONS:
        return [(_ACTIVATIONS[activation], width)]
    is_passing = name in _PASSING or (
        name == "Activation" and activation is keras.activations.linear
    )
    if is_passing and len(inputs) == 1:
        return _handed_on(_kinds_of(inputs[0]), inputs[0], width) or unknown
    return unknown


def _is_last_axis(operation, tensor):
    axis = getattr(operation, "axis", -1)
    axis = axis[0] if isinstance(axis, list | tuple) and len(axis) == 1 else axis
    return axis in (-1, None, len(tensor.shape) - 1)


def _concatenated(tensor, operation, inputs):
    parts = [_kinds_of(entry) for entry in inputs]
    if any(part is None for part in parts):
        return None
    if _is_last_axis(operation, tensor):
        return [span for part in parts for span in part]
    # Joined along another axis, such as anchors of several sizes.
    return parts[0] if all(part == parts[0] for part in parts) else None


def _handed_on(kinds, source, width):
    """Kinds behind a reshape: they stay if the last axis does, or are all yes or no."""
    if kinds is None:
        return None
    if source.shape[-1] == width and len(source.shape) > 1:
        return kinds
    only = {kind for kind, _ in kinds}
    return (
        [("binary_probabilities", width)] if only == {"binary_probabilities"} else None
    )
