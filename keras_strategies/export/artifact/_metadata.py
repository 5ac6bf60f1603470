"""Metadata of a `.tflite` file: validation, writing, reading back."""

import difflib
import json
import math
import numbers
import warnings
from collections.abc import Sequence
from typing import Any

from keras_strategies._internal import checks
from keras_strategies.export._common import ExportError
from keras_strategies.export.artifact._standard import (
    associated_files,
    metadata_flatbuffer,
    score_metadata,
    standard_metadata,
)

ENTRY = "keras_strategies"
_TEXTS = ("name", "description", "version", "author", "license")
KEYS = (
    *_TEXTS,
    "labels",
    "normalization",
    "score_calibration",
    "score_threshold",
    "activation",
    "extra",
)
_PAIRS = (("mean", "std"), ("scale", "offset"))
# Signatures that infer, in the order in which they are looked for.
INFERENCE_SIGNATURES = ("serving_default", "infer")


def validate(metadata: dict[str, Any]) -> dict[str, Any]:
    """Returns `metadata` in plain JSON-ready types, or raises."""
    checks.instance("metadata", metadata, dict)
    for key in metadata:
        if key not in KEYS:
            similar = difflib.get_close_matches(str(key), KEYS, n=1)
            fix = f"Did you mean '{similar[0]}'? " if similar else ""
            checks.fail(
                f"`metadata` must have keys among {list(KEYS)}",
                fix=fix + 'Keys of your own belong in "extra".',
                key=key,
            )
    result = {}
    for key in _TEXTS:
        if key in metadata:
            result[key] = checks.instance(f'metadata["{key}"]', metadata[key], str)
    if "labels" in metadata:
        result["labels"] = _validate_labels(metadata["labels"])
    if "normalization" in metadata:
        result["normalization"] = _validate_normalization(metadata["normalization"])
    result |= score_metadata.validate(metadata)
    if "extra" in metadata:
        result["extra"] = _validate_extra(metadata["extra"])
    return result


def write(
    content: bytes, metadata: dict[str, Any], raw_inputs: Sequence[str] = ()
) -> bytes:
    """Returns `content` with `metadata` in place of any it had before.

    `{}` takes the metadata out. The graph and its buffers stay byte for byte.

    Args:
        content: A `.tflite` file.
        metadata: The metadata.
        raw_inputs: Names of inputs that take pixels from 0 to 255, as the model scales
            them itself.
    """
    metadata = validate(metadata)
    content, files = associated_files.split(bytes(content))
    old = read(content)  # raises on garbage
    graph = standard_metadata.first_graph(content, INFERENCE_SIGNATURES)
    if old and graph:
        names = standard_metadata.associated_files(old, graph[1])
        files = [entry for entry in files if entry[0].filename not in names]
    content = metadata_flatbuffer.unwrap(content, (standard_metadata.ENTRY, ENTRY))
    present = metadata_flatbuffer.entries(content)
    sizes = output_sizes(content)
    if "labels" in metadata:
        _check_label_counts(metadata["labels"], sizes)
    if "score_calibration" in metadata:
        score_metadata.check_sizes(metadata["score_calibration"], sizes)
    # Rewritten by another tool, which leaves nothing to unwrap.
    is_rewritten = ENTRY in present
    dropped = (ENTRY, standard_metadata.ENTRY) if is_rewritten else ()
    added = {}
    is_foreign = standard_metadata.ENTRY in present and not is_rewritten
    if metadata and graph and is_foreign:
        warnings.warn(
            "The file has standard metadata (TFLITE_METADATA) of another tool, which "
            "stay as they are: MediaPipe does not read what was written now.",
            stacklevel=3,
        )
    elif metadata and graph:
        standard = standard_metadata.build(metadata, *graph, raw_inputs)
        added[standard_metadata.ENTRY] = standard
        packed = standard_metadata.associated_files(metadata, graph[1])
        files = associated_files.add(files, packed)
    if metadata:  # behind the standard ones: `unwrap` cuts after the last entry
        text = json.dumps(metadata, ensure_ascii=False, allow_nan=False)
        added[ENTRY] = text.encode()
    if added or dropped:
        content = metadata_flatbuffer.wrap(content, added, dropped)
    return associated_files.join(content, files)


def read(content: bytes) -> dict[str, Any] | None:
    """Returns the metadata dict in `content`, or `None` if there is none."""
    data = metadata_flatbuffer.entries(content).get(ENTRY)
    if data is None:
        return None
    try:
        return json.loads(data)
    except ValueError as error:
        message = f"The metadata entry '{ENTRY}' of the file is damaged: {error}."
        raise ExportError(message, "load") from error


def output_sizes(content: bytes) -> dict[str, int | None]:
    """`{output name: size of its last axis, or None}` of the inference signature."""
    from ai_edge_litert import schema_py_generated as schema

    try:
        model = schema.Model.GetRootAs(content)
        sizes = {}
        for index in range(model.SignatureDefsLength()):
            definition = model.SignatureDefs(index)
            sizes[definition.SignatureKey().decode()] = _last_axes(model, definition)
    except Exception as error:  # the generated reader checks nothing
        message = "This is no intact .tflite file: its signatures cannot be read."
        raise ExportError(message, "load") from error
    for name in (*INFERENCE_SIGNATURES, *sizes):
        if name in sizes:
            return sizes[name]
    return {}


def _last_axes(model, definition):
    graph = model.Subgraphs(definition.SubgraphIndex())
    sizes = {}
    for index in range(definition.OutputsLength()):
        item = definition.Outputs(index)
        tensor = graph.Tensors(item.TensorIndex())
        # The signature of the shape has -1 for a free axis, the shape has 1.
        has_free_axes = tensor.ShapeSignatureLength() > 0
        last = tensor.ShapeLength() - 1
        size = -1
        if last >= 0:
            size = tensor.ShapeSignature(last) if has_free_axes else tensor.Shape(last)
        sizes[item.Name().decode()] = None if size < 0 else int(size)
    return sizes


def _validate_labels(labels):
    if isinstance(labels, dict):
        return {
            checks.instance('A key of metadata["labels"]', name, str): _label_list(
                value
            )
            for name, value in labels.items()
        }
    return _label_list(labels)


def _label_list(labels):
    rule = 'metadata["labels"] must be a list of str, or a dict of such lists'
    if not isinstance(labels, list | tuple):
        fix = 'For example ["cat", "dog"], one label for each class.'
        checks.fail(rule, fix=fix, error=TypeError, labels=labels)
    if not labels:
        checks.fail(f"{rule}, not empty", labels=labels)
    for label in labels:
        if not isinstance(label, str):
            fix = "Use [str(label) for label in labels]."
            checks.fail(rule, fix=fix, error=TypeError, label=label)
        if len(label.splitlines()) > 1 or label != label.strip("\r\n"):
            # A label file has one in each line.
            checks.fail('metadata["labels"] must have no line breaks', label=label)
    return list(labels)


def _check_label_counts(labels, sizes):
    """Compares the labels with the outputs whose size the file states."""
    if not isinstance(labels, dict):
        if len(sizes) > 1:
            fix = f'Give a dict by output name, {{"{next(iter(sizes))}": [...]}}.'
            checks.fail(
                f'metadata["labels"] must say which of the outputs {list(sizes)} '
                "it is for",
                fix=fix,
                labels=len(labels),
            )
        labels = dict.fromkeys(sizes, labels)
    for name, texts in labels.items():
        if sizes and name not in sizes:
            rule = f'metadata["labels"] must have keys among the outputs {list(sizes)}'
            checks.fail(rule, key=name)
        size = sizes.get(name)
        # One sigmoid unit separates two classes.
        if (
            size is not None
            and len(texts) != size
            and not (size == 1 == len(texts) - 1)
        ):
            checks.fail(
                f"metadata[\"labels\"] must have {size} labels for output '{name}', "
                "one for each entry of its last axis",
                labels=len(texts),
            )


def _validate_normalization(values):
    """`y = (x * scale + offset - mean) / std`, scalars or one for each channel."""
    name = 'metadata["normalization"]'
    checks.instance(name, values, dict)
    allowed = [key for pair in _PAIRS for key in pair]
    unknown = [key for key in values if key not in allowed]
    incomplete = [pair for pair in _PAIRS if sum(key in values for key in pair) == 1]
    if unknown or incomplete or not values:
        checks.fail(
            f'{name} must have "mean" and "std", or "scale" and "offset", or all four',
            keys=list(map(str, values)),
        )
    result = {key: _finite_numbers(f'{name}["{key}"]', values[key]) for key in values}
    for key, rule in (("std", "greater than 0"), ("scale", "other than 0")):
        flat = result.get(key, 1.0)
        flat = flat if isinstance(flat, list) else [flat]
        if any(value == 0 or (key == "std" and value < 0) for value in flat):
            checks.fail(f'{name}["{key}"] must be {rule}', **{key: values[key]})
    lengths = {len(value) for value in result.values() if isinstance(value, list)}
    if len(lengths) > 1:
        rule = f"{name} must have as many numbers in each list, one for each channel"
        checks.fail(rule, lengths=sorted(lengths))
    return result


def _finite_numbers(name, value):
    value = value.tolist() if hasattr(value, "tolist") else value
    is_list = isinstance(value, list | tuple)
    for number in value if is_list else [value]:
        is_real = isinstance(number, numbers.Real) and not isinstance(number, bool)
        if not is_real or not math.isfinite(number):
            rule = f"{name} must be a finite number or a list of them"
            checks.fail(rule, error=ValueError if is_real else TypeError, value=value)
    if is_list and not value:
        checks.fail(f"{name} must not be empty", value=value)
    return [float(number) for number in value] if is_list else float(value)


def _validate_extra(extra):
    name = 'metadata["extra"]'
    checks.instance(name, extra, dict)
    try:
        copy = json.loads(json.dumps(extra, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{name} must be ready for JSON. {error}.") from error
    if sorted(copy) != sorted(map(str, extra)) or any(
        not isinstance(key, str) for key in extra
    ):
        checks.fail(f"{name} must have str keys", keys=list(map(str, extra)))
    return copy
