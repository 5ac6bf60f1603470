"""Comparison of a `.tflite` file with the Keras model it was made from."""

import dataclasses
import os
from typing import Any, Literal

import keras

from keras_strategies._internal import checks
from keras_strategies.export._common import (
    ExportError,
    InputData,
    model_signature,
    sample_data,
    validate_model,
)
from keras_strategies.export.artifact.tflite_model import TFLiteModel
from keras_strategies.export.verify import _outputs, _reference
from keras_strategies.export.verify._criteria import (
    MODE_LIMITS,
    Criteria,
    labels_by_output,
    loosest,
)
from keras_strategies.export.verify._output_kinds import OutputMeaning, output_spans
from keras_strategies.export.verify.comparison_result import ComparisonResult


def compare(
    keras_model: keras.Model | str | os.PathLike[str],
    path: str | os.PathLike[str],
    data: InputData,
    *,
    quantization: Literal[
        "float32", "float16", "dynamic", "int8", "int16x8", "int4_weights"
    ]
    | None = None,
    output_kind: OutputMeaning | dict[str, OutputMeaning] | None = None,
    max_loss: float | dict[str, float] | None = None,
    tolerance: float | None = None,
    min_agreement: float | None = None,
    safe_mode: bool = True,
) -> ComparisonResult:
    """Runs a Keras model and a `.tflite` file on the same data and compares them.

    Use it for a file that `to_tflite` did not just write: an old one, one from
    another converter, or one that is to be checked on more data or with labels. Each
    output is judged by what it means, as `to_tflite` does; see `OutputVerdict`.

    A file that does not agree gives a result with `passed=False`. Only where a bound is
    given, `max_loss` or `min_agreement`, it raises.

    Inputs and outputs are matched by name, or by shape where the names differ and no
    two of them have the same shape. The model's state (of stateful layers, random
    seeds) is afterwards what it was.

    Reference: [Jacob et al., 2018](https://arxiv.org/abs/1712.05877), where the
    differences of integer artifacts come from.

    Args:
        keras_model: A built `keras.Model`, or the path of a `.keras` file.
        path: The `.tflite` file.
        data: Inputs: an array for a single input, a dict by the Keras model's input
            names, a list with one array for each input, or an iterable of batches,
            of which at most 1024 samples are drawn. Or a tuple `(inputs, labels)`,
            labels as an array, or a dict by output name for several outputs; for a
            model of two inputs the inputs are then a dict or a list.
        quantization: Mode whose limits are applied, whatever arithmetic the file has.
            Defaults to `None`, the one that its tensors show.
        output_kind: Meaning of the outputs, as in `to_tflite`. Defaults to `None`,
            told by the loss, the layers and the values.
        max_loss: Largest loss that passes, as in `to_tflite`; a larger one raises.
            Defaults to `None`, that of the mode.
        tolerance: Difference of values within which they agree, as a fraction of the
            range of their channel, at least 0. Defaults to `None`: 0.001, 0.01, 0.1 or
            0.15 for float32, float16, dynamic or int8.
        min_agreement: Lowest agreement that passes, in [0, 1]; a lower one raises, and
            so does a refused output unless it is 0. Defaults to `None`, any.
        safe_mode: Refuse `.keras` files with code in them (lambdas). `False` runs
            such code: only for files you trust. Defaults to `True`.

    Returns:
        A `ComparisonResult`.

    Raises:
        ValueError, TypeError, OSError: An argument is wrong.
        ExportError: The file cannot be opened or run, its inputs or outputs cannot be
            matched with the model's, or it breaks a bound that was given.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import export

    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, activation="softmax")]
    )
    export.to_tflite(model, "compare_example.tflite", quantization="float16")
    data = np.random.default_rng(0).random((50, 4))
    result = export.compare(model, "compare_example.tflite", data)
    print(result.passed, result.verdicts)
    ```
    """
    tolerance = checks.real("tolerance", tolerance, low=0, optional=True)
    checks.choice("quantization", quantization, (None, *MODE_LIMITS))
    criteria = Criteria(
        limits=MODE_LIMITS["float32"],
        max_loss=max_loss,
        min_agreement=min_agreement,
        output_kind=output_kind,
    )
    artifact = TFLiteModel(path)
    model = validate_model(keras_model, safe_mode, name="keras_model")
    structure, specs = model_signature.input_specs(model, data)
    inputs, labels = _split_labels(data, len(specs))
    samples = sample_data.named_samples("data", inputs, specs)
    count = sample_data.num_samples(samples)
    batch_size = _fixed_batch(artifact)
    reference = _reference.reference_outputs(model, structure, samples, batch_size)
    mode = quantization or _mode_of_file(artifact)
    limits = MODE_LIMITS[mode]
    if model_signature.computes_in_half_precision(model):
        limits = loosest([mode, "float16"])
    if tolerance is not None:
        limits = dataclasses.replace(limits, tolerance=tolerance)
    criteria = dataclasses.replace(
        criteria,
        limits=limits,
        labels=labels_by_output("data", labels, list(reference), count),
        class_names=(artifact.metadata or {}).get("labels") or (),
    )
    criteria.check_names(list(reference))
    spans = output_spans(model, reference, output_kind)
    actual = _artifact_outputs(artifact, samples, specs, reference)
    figures = _outputs.compare_outputs(reference, actual, spans, criteria)
    if max_loss is not None or min_agreement is not None:
        _outputs.check(figures, criteria, f"The file is '{artifact.path}'.")
    return ComparisonResult(
        path=artifact.path,
        samples=count,
        quantization=mode,
        warnings=tuple(_outputs.warnings(figures, "data")),
        **figures,
    )


def _split_labels(data, num_inputs):
    """Returns `(inputs, labels or None)`.

    A tuple of two arrays for a model of two inputs is its inputs, as ever.
    """
    is_pair = isinstance(data, tuple) and len(data) == 2
    if is_pair and (num_inputs != 2 or isinstance(data[0], dict | list | tuple)):
        return data
    return data, None


def _artifact_outputs(artifact, samples, specs, reference):
    """Returns the artifact's outputs under the names of the Keras outputs."""
    signature = artifact.signatures[artifact.default_signature]
    names = _match_names(
        "inputs",
        {spec.name: list(spec.shape) for spec in specs},
        {name: entry["shape"] for name, entry in signature["inputs"].items()},
    )
    for spec in specs:
        taken = list(signature["inputs"][names[spec.name]]["shape"])
        fits = len(taken) == len(spec.shape) and all(
            a == b or a in (None, -1) or b is None
            for a, b in zip(taken[1:], spec.shape[1:], strict=True)
        )
        if not fits:
            raise ExportError(
                f"The file takes '{names[spec.name]}' of shape {taken}, the Keras "
                f"model '{spec.name}' of shape {list(spec.shape)}: it is of another "
                "model.",
                "disagreement",
            )
    # In the batches of the reference: outputs without a batch axis and the state of a
    # model depend on them, so that `predict` would not do.
    size = _fixed_batch(artifact) or 1
    feed = {names[name]: values for name, values in samples.items()}
    parts = [
        sample_data.rows_of_batch(
            artifact.run(artifact.default_signature, **batch), size, count
        )
        for batch, count in sample_data.full_batches(feed, size)
    ]
    outputs = sample_data.join_samples(parts)
    names = _match_names(
        "outputs",
        {name: list(value.shape) for name, value in reference.items()},
        {name: list(value.shape) for name, value in outputs.items()},
    )
    return {name: outputs[match] for name, match in names.items()}


def _fixed_batch(artifact):
    """The batch size that the file fixes, or None."""
    inputs = artifact.signatures[artifact.default_signature]["inputs"].values()
    sizes = [entry["shape"][0] for entry in inputs if len(entry["shape"])]
    return next((size for size in sizes if size is not None), None)


def _match_names(
    role: str, keras_shapes: dict[str, Any], artifact_shapes: dict[str, Any]
) -> dict[str, str]:
    """Returns `{Keras name: artifact name}`; shapes count without the first axis."""
    if sorted(keras_shapes) == sorted(artifact_shapes):
        return {name: name for name in keras_shapes}
    matches = {}
    for name, shape in keras_shapes.items():
        candidates = [
            candidate
            for candidate, size in artifact_shapes.items()
            if len(keras_shapes) == 1 or size[1:] == shape[1:]
        ]
        if len(candidates) != 1:  # ambiguous or absent
            break
        matches[name] = candidates[0]
    is_complete = len(set(matches.values())) == len(artifact_shapes)
    if not is_complete or len(keras_shapes) != len(artifact_shapes):
        raise ExportError(
            f"The {role} of the artifact, {artifact_shapes}, cannot be matched to "
            f"those of the Keras model, {keras_shapes}: give them the same names.",
            "disagreement",
        )
    return matches


def _mode_of_file(artifact):
    """The quantization that the tensors of the file show."""
    rows = artifact.tensors()
    activations = {row["dtype"] for row in rows if not row["constant"]}
    constants = {row["dtype"] for row in rows if row["constant"]}
    if activations & {"int8", "uint8", "int16"}:
        return "int8"
    if constants & {"int8", "uint8", "int4"}:
        return "dynamic"
    return "float16" if "float16" in constants else "float32"
