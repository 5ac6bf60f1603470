"""`debug_quantization`: which layer int8 hurts, why, and what to do."""

import pathlib
import tempfile
import time

from keras_strategies._internal import checks
from keras_strategies.export._common import named_arrays, sample_data
from keras_strategies.export._common.export_error import ExportError
from keras_strategies.export.convert import _export_job, _options
from keras_strategies.export.debug import _diagnosis
from keras_strategies.export.debug.quantization_report import QuantizationReport
from keras_strategies.export.verify import _agreement, _reference


def debug_quantization(
    model,
    data,
    *,
    quantization="int8",
    samples=64,
    calibration="minmax",
    percentile=99.99,
    exclude=5,
    batch_size=None,
    safe_mode=True,
    timeout=600.0,
):
    """Measures what int8 does to every layer, and says why and what helps.

    Use it when `to_tflite(..., quantization="int8")` loses too much agreement. Each
    operation is computed as int8 and as float32 on the same inputs; the worst come
    first, with a cause read from the figures (an outlier channel, outliers of the
    calibration, weights, a scale that the format prescribes) and a fix. Then the
    worst layers are left in float32 in turn: the gain in agreement says which one
    hurts the outputs. The formulas are in `export.QuantizationReport`.

    Works on all backends of Keras; conversion runs in the worker process of
    `to_tflite`.

    Reference: [TensorFlow's quantization
    debugger](https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_debugger),
    whose debug files are used.

    Args:
        model: A built `keras.Model`, or the path of a `.keras` file.
        data: Inputs as in use, in the forms of `to_tflite`'s `representative_data`.
            The ranges come from all of them.
        quantization: Only `"int8"`.
        samples: How many of them, from the first, errors are measured on, at least
            1. Defaults to 64.
        calibration: How the ranges are found, as in `to_tflite`. Defaults to
            `"minmax"`.
        percentile: For `calibration="percentile"`, in (50, 100]. Defaults to 99.99.
        exclude: Number of worst layers that are left in float32 in turn, at least
            0; each costs about two quantizations. Defaults to 5.
        batch_size: Batch size of the artifact, `None` for a free one.
        safe_mode: Refuse a file with lambdas. Defaults to `True`.
        timeout: Seconds for each of the worker's steps, its start not counted, in
            (0, 1e6]. Defaults to 600.

    Returns:
        A `QuantizationReport`.

    Raises:
        ValueError, TypeError: An argument is wrong; said before any conversion.
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
    checks.integer("exclude", exclude, low=0)
    checks.integer("batch_size", batch_size, low=1, optional=True)
    checks.real("timeout", timeout, low=0, high=1e6, low_open=True)
    job = _export_job.Job(
        model=_options.model(model, safe_mode),
        quantization=_options.quantization(quantization),
        backend="tensorflow",
        input_type="float32",
        output_type="float32",
        batch_size=batch_size,
        allow_flex=False,
        calibration=_options.calibration(calibration, percentile),
        metadata=None,
        least=0.0,
        tolerance=_agreement.DEFAULTS[quantization][1],
        timeout=timeout,
    )
    job.prepare(data, None)
    with tempfile.TemporaryDirectory(prefix="keras_strategies_") as folder:
        job.folder = pathlib.Path(folder)
        found = _analysed(job, samples, exclude)
    rows = _diagnosis.diagnose(found["rows"], found["sensitivity"])
    sensitivity = sorted(found["sensitivity"], key=lambda entry: entry["error_ratio"])
    return QuantizationReport(
        rows=tuple(rows),
        sensitivity=tuple(sensitivity),
        **found["outputs"],
        samples=found["samples"],
        calibration=job.calibrated,
        bytes=found["bytes"],
        seconds=time.monotonic() - started,
        warnings=tuple(job.warnings + _nothing(rows)),
    )


def _analysed(job, samples, exclude):
    job.worker.start()  # its start and our tracing overlap
    job.trace()
    source = job.float_artifact()
    arguments = {"artifact": str(source)}
    loops = job.ask("convert._conversion.loops", arguments, "reading the model", "run")
    if loops:
        names = ", ".join(job.recurrent or loops)
        message = (
            f"What {names} computes in a loop has no int8 ranges, so there is nothing "
            "to measure. Build recurrent layers with unroll=True, or debug the model "
            "without them."
        )
        raise ExportError(message, "conversion", {"ops": loops})
    measured = job.folder / "measured.npz"
    named_arrays.save(measured, sample_data.head(job.representative, samples))
    classes = len(job.reference) == 1 and _reference.is_classifier(job.model)
    arguments = {
        "float_artifact": str(source),
        "ranges": str(job.ranges()),
        "samples": str(measured),
        "layers": job.layers,
        "batch_size": job.batch,
        "excluded": exclude,
        "tolerance": job.tolerance,
        "classes": True if classes else None,
    }
    doing = "measuring the error of each layer"
    return job.ask("debug._error_measurement.analyse", arguments, doing, "run")


def _nothing(rows):
    return [] if rows else ["The quantizer made no operation int8."]
