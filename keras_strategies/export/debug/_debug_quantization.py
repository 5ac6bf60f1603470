"""Measurement of the error that int8 causes in each layer."""

import dataclasses
import os
import tempfile
import time
from typing import Literal

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.weights import quantized
from keras_strategies.export._common import (
    ExportError,
    InputData,
    validate_model,
    validate_time_limit,
)
from keras_strategies.export._common.sample_data import first_samples
from keras_strategies.export.convert import _options
from keras_strategies.export.convert._export_job import ExportJob
from keras_strategies.export.debug import _diagnosis
from keras_strategies.export.debug.quantization_report import QuantizationReport
from keras_strategies.export.verify import _outputs
from keras_strategies.export.verify._criteria import Criteria
from keras_strategies.export.verify._output_kinds import OutputMeaning


def debug_quantization(
    model: keras.Model | str | os.PathLike[str],
    data: InputData,
    *,
    quantization: Literal["int8"] = "int8",
    samples: int = 64,
    calibration: Literal["minmax", "percentile", "moving_average"] = "minmax",
    percentile: float = 99.99,
    sensitivity_layers: int = 5,
    batch_size: int | None = None,
    output_kind: OutputMeaning | dict[str, OutputMeaning] | None = None,
    max_loss: float | dict[str, float] | None = None,
    safe_mode: bool = True,
    time_limit: float = 600.0,
) -> QuantizationReport:
    """Measures the error that int8 causes in every layer, with causes and fixes.

    Use it when `to_tflite(..., quantization="int8")` loses too much agreement. Each
    operation is computed as int8 and as float32 on the same inputs; the worst come
    first, with a cause read from the figures (an outlier channel, outliers of the
    calibration, weights, a scale that the format prescribes) and a fix. Then the
    worst layers are computed in float32 in turn: the gain in agreement shows which one
    affects the outputs most. The whole int8 file gets the verdict of `to_tflite`. The
    formulas are in `export.QuantizationReport`.

    Works on all backends of Keras; conversion runs in the worker process of
    `to_tflite`.

    Reference: [TensorFlow's quantization
    debugger](https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_debugger),
    whose debug files are used.

    Args:
        model: A built `keras.Model`, or the path of a `.keras` file.
        data: Inputs as in use, in the forms of `to_tflite`'s `representative_data`.
            Of 40 or more, a fifth is held out for the verdict; the ranges come from
            the others.
        quantization: Only `"int8"`, the default.
        samples: Number of inputs, from the first of those that the ranges come from,
            that errors are measured on, at least 1. Defaults to 64.
        calibration: Method that computes the ranges, as in `to_tflite`. Defaults to
            `"minmax"`.
        percentile: For `calibration="percentile"`, in (50, 100]. Defaults to 99.99.
        sensitivity_layers: Number of worst layers that are computed in float32 in
            turn, at least 0; each costs about two quantizations. Defaults to 5.
        batch_size: Batch size of the artifact. Defaults to `None`, a free one.
        output_kind: Meaning of the outputs, as in `to_tflite`. Defaults to `None`.
        max_loss: Largest loss that passes, as in `to_tflite`. Defaults to `None`.
        safe_mode: Refuse a file with lambdas. Defaults to `True`.
        time_limit: Seconds for each of the worker's steps, its start not counted, in
            (0, 1e6]. Defaults to 600.

    Returns:
        A `QuantizationReport`.

    Raises:
        ValueError, TypeError: An argument is wrong; raised before any conversion.
        ExportError: The model cannot be converted, or its operations are in loops
            (recurrent layers), where int8 has no ranges.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import export

    model = keras.Sequential(
        [
            keras.Input((8, 8, 1), name="image"),
            keras.layers.Conv2D(8, 3, activation="relu", name="conv"),
            keras.layers.Flatten(),
            keras.layers.Dense(10, activation="softmax", name="label"),
        ]
    )
    images = np.random.default_rng(0).random((64, 8, 8, 1), dtype="float32")
    report = export.debug_quantization(model, images)
    print(report)
    ```
    """
    started = time.monotonic()
    checks.choice("quantization", quantization, ("int8",))
    checks.integer("samples", samples, low=1)
    checks.integer("sensitivity_layers", sensitivity_layers, low=0)
    checks.integer("batch_size", batch_size, low=1, optional=True)
    parsed = _options.parse_quantization(quantization)
    keras_model = validate_model(model, safe_mode)
    quantized.check_not_quantize_aware(
        keras_model,
        "Its ranges are learned, not measured: see `compression.range_report(model)`.",
    )
    job = ExportJob(
        time_limit=validate_time_limit(time_limit),
        model=keras_model,
        quantization=parsed,
        quantizer="tensorflow",
        input_type="float32",
        output_type="float32",
        batch_size=batch_size,
        allow_flex=False,
        calibration=_options.validate_calibration(calibration, percentile),
        uses_learned_ranges=False,
        example=data,
        metadata=None,
        # The file is measured whatever its verdict is.
        criteria=Criteria(
            limits=_options.resolve_limits(parsed),
            max_loss=max_loss,
            min_agreement=0.0,
            output_kind=output_kind,
        ),
    )
    job.prepare(data, None)
    with tempfile.TemporaryDirectory(dir=job.client.workspace()) as folder:
        job.start(folder)
        measured = _measure(job, samples, sensitivity_layers)
        verdicts = _verdicts(job)
    return QuantizationReport(
        rows=_rows(job, measured),
        sensitivity=_sorted_sensitivity(measured),
        **measured["outputs"],
        samples=measured["samples"],
        calibration=job.calibration_figures,
        bytes=measured["bytes"],
        verdicts=verdicts,
        verified_on=job.verified_on,
        seconds=time.monotonic() - started,
        warnings=tuple(job.warnings),
    )


def _sorted_sensitivity(measured):
    return tuple(sorted(measured["sensitivity"], key=lambda row: row["error_ratio"]))


def _rows(job, measured):
    rows = _diagnosis.diagnose(measured["rows"], measured["sensitivity"])
    if not rows:
        job.warnings.append("The quantizer made no operation int8.")
    return tuple(rows)


def _verdicts(job):
    """Judges the whole int8 file, as `to_tflite` would."""
    artifact = job.create_artifact(job.quantization, "judged")
    actual, _ = job.run_artifact(artifact, job.samples, timed=False)
    figures = _outputs.compare_outputs(job.reference, actual, job.spans, job.criteria)
    job.warnings += _outputs.warnings(figures, "data")
    return figures["verdicts"]


def _measure(job, samples, sensitivity_layers):
    source = str(job.float_artifact())
    loops = job.run_in_worker(
        "convert._conversion.find_loops",
        {"artifact": source},
        "reading the model",
        "run",
    )
    if loops:
        names = ", ".join(job.looping_layers or loops)
        message = (
            f"Operations of {names} in a loop have no int8 ranges, so there is nothing "
            "to measure. Build recurrent layers with unroll=True, or debug the model "
            "without them."
        )
        raise ExportError(message, "conversion", {"ops": loops})
    measured = first_samples(job.representative, samples)
    arguments = {
        "float_artifact": source,
        "ranges": str(job.calibrated_ranges()),
        "samples": job.save_samples("measured", measured),
        "layers": job.layers,
        "batch_size": job.artifact_batch,
        "sensitivity_layers": sensitivity_layers,
        "tolerance": job.criteria.limits.tolerance,
        "spans": {
            name: [dataclasses.asdict(span) for span in spans]
            for name, spans in job.spans.items()
        },
    }
    action = "measuring the error of each layer"
    return job.run_in_worker(
        "debug._error_measurement.measure", arguments, action, "run"
    )
