"""Export of a Keras model to a checked `.tflite` file."""

import dataclasses
import gzip
import os
import tempfile
import time
from collections.abc import Sequence
from typing import Any, Literal

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.select import Selector
from keras_strategies._internal.storage import files
from keras_strategies.export._common import (
    ExportError,
    InputData,
    validate_model,
    validate_path,
    validate_time_limit,
)
from keras_strategies.export.artifact import _metadata
from keras_strategies.export.convert import _auto_quantization, _options
from keras_strategies.export.convert._export_job import ExportJob
from keras_strategies.export.convert._steps import RejectedArtifact
from keras_strategies.export.convert.export_result import ExportResult
from keras_strategies.export.verify._criteria import Criteria, loosest
from keras_strategies.export.verify._output_kinds import OutputMeaning


def to_tflite(
    model: keras.Model | str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    quantization: _options.Mode | dict[str, str] = "float32",
    include: Selector | None = None,
    exclude: Selector | None = None,
    representative_data: InputData | None = None,
    input_type: Literal["float32", "int8", "uint8"] = "float32",
    output_type: Literal["float32", "int8", "uint8"] = "float32",
    batch_size: int | None = None,
    allow_flex: bool = False,
    verify: InputData | bool | None = None,
    min_agreement: float | None = None,
    max_loss: float | dict[str, float] | None = None,
    output_kind: OutputMeaning | dict[str, OutputMeaning] | None = None,
    metadata: dict[str, Any] | None = None,
    quantizer: Literal["tensorflow", "litert-quantizer"] = "tensorflow",
    calibration: Literal["minmax", "percentile", "moving_average"] = "minmax",
    percentile: float = 99.99,
    objective: Literal["size", "latency"] = "size",
    labels: Any = None,
    metric: Any = "accuracy",
    max_metric_drop: float | None = None,
    margin: float | None = None,
    safe_mode: bool = True,
    keep_rejected: bool = False,
    time_limit: float = 600.0,
    rescue: Sequence[str] = (),
) -> ExportResult:
    """Exports a Keras model to a `.tflite` file that is known to agree with it.

    Use it in place of `model.export(format="litert")`: it runs the artifact in
    the LiteRT interpreter, compares it with the Keras model and writes `path`
    only if they agree. Failures that would otherwise appear on the phone appear here:
    operations that LiteRT does not have (Flex), NaN, a crash or hang of the converter,
    a quantization that ruins the model. A refused export raises `ExportError` and
    leaves `path` as it was.

    The converter runs in a worker process that is started once, takes a few
    seconds to start, and serves all later exports of this Python process. Works
    the same on the TensorFlow, JAX and Torch backends of Keras; on JAX and Torch
    the worker loads the model from a `.keras` file, so custom classes must be
    registered and importable. Mixed precision models are exported in float32,
    recurrent layers with a batch of one, and a bare `erf` as an approximation that
    LiteRT has; the result's `warnings` say so.

    Each output is judged by what it means (`output_kind`): probabilities by the
    accuracy, recall and calibration that the file is expected to lose, values by the
    error of each channel against its own spread, and so on; `OutputVerdict` has the
    measures. They are in units of what int8 may lose, about a point of accuracy or 1 %
    of a channel's variance, and the file is refused above a limit:

    | quantization | weights, arithmetic | size | largest loss | why |
    |---|---|---|---|---|
    | `"float32"` | float32, float32 | 1 | 0.05 | rounding alone is below 1e-9: more is a bug of the conversion |
    | `"float16"` | float16, float32 | 0.5 | 0.2 | weights of 11 bits lose below 0.01; models of extreme weights a little more |
    | `"dynamic"` | int8, int8 with ranges taken at run time | 0.26 | 1 | what a task may lose; sound files are below 0.3 |
    | `"int8"` | int8, int8 with ranges from representative data | 0.26 | 1 | the same; sound files are mostly below 0.1 |
    | `"int16x8"` | int8, int16 with ranges from data | 0.26 | 1 | the same |
    | `"int4_weights"` | int4, float32 | 0.14 | 1 | the same: fewer bits are no excuse |

    `"int8"` is best for convolutional networks, `"dynamic"` for dense ones and
    transformers, and `"float16"` the safe cut. `"int16x8"` is accurate and slow on a
    phone's processor, `"int4_weights"` small and, outside dense layers, slow.

    The check uses `verify`; without it, a fifth of the representative data that the
    ranges then do not come from, as errors on calibrated data are too small. Its size
    decides what it can see: 20 samples only gross damage, 100 three points, 300 one.

    `"auto"` tries the modes, then int8 with the most sensitive layers left in
    float32, and chooses the smallest (or fastest) artifact that keeps `margin` of the
    largest loss in reserve on one part of the data. That artifact alone is
    then checked on another part: `result.search` has both figures. If it fails
    there, the export is refused: a choice that depends on the second part would bias
    its figure.

    `include` and `exclude` select the layers to quantize; the others stay in float32.
    A dict of regular expressions and modes quantizes by layer: the first expression
    that matches in the path of a layer, such as `"encoder/conv2d_1"`, decides;
    layers without a match stay in float32. In both cases an operation that the
    converter fused from several layers belongs to all of them.

    `rescue` names methods that change a copy of the float model before it is
    converted, so that integers cost less accuracy: `"equalize_layers"`,
    `"absorb_high_bias"`, `"smooth_activations"`, `"adaround"`, `"correct_bias"`, each a
    function of `export`, on the representative data, in this order. The file is
    compared with the given model.

    A model of `compression.quantize_aware` has learned its ranges in training: they
    are those of the file, whatever `representative_data` are given, which then only
    serve to check it. Modes that would round it in another way are refused.

    References: [Jacob et al., 2018](https://arxiv.org/abs/1712.05877), the integer
    arithmetic of LiteRT; [Wu et al., 2020](https://arxiv.org/abs/2004.09602), on
    calibration and leaving sensitive layers in float.

    Args:
        model: A built `keras.Model`, or the path of a `.keras` file. Of a subclassed
            model whose `call` takes several arguments Keras keeps the shape of the
            first alone: give `verify` or `representative_data` as a dict by argument
            name, or define `build(self, first_shape, second_shape)` in its class.
        path: The file to write, ending in `.tflite`. Its folder must exist.
        quantization: One of the table, `"auto"`, or `{regex: mode}`. int4 weights
            and dicts need the extra `keras-strategies[quantizer]`. Defaults to
            `"float32"`.
        include: Layers to quantize in the one mode of `quantization`: a regular
            expression, searched in their paths, a layer, a function of a layer, or a
            list of these. Needs the extra too. Defaults to `None`, all layers.
        exclude: Layers to leave in float32, in the same forms; wins over `include`.
            Defaults to `None`, none.
        representative_data: Inputs as in use, needed by `"int8"` and `"int16x8"`:
            an array for a single input, a dict by input name, a list with one
            array for each input, an iterable of batches (`tf.data.Dataset`,
            `keras.utils.PyDataset`) or the path of a folder of images, of which at
            most 1024 samples are drawn. Images are resized, have values 0 to 255
            and go through the metadata's `normalization`. 100 to 500 samples
            are enough; all are used. Defaults to `None`.
        input_type: Type of floating point inputs: `"float32"`, or `"int8"` or
            `"uint8"` for `quantization="int8"`. Defaults to `"float32"`.
        output_type: The same for outputs. Defaults to `"float32"`.
        batch_size: Batch size of the artifact. `None` leaves it free, or takes 1
            for recurrent layers. Defaults to `None`.
        allow_flex: Accept operations that need the TensorFlow (Flex) runtime. Such
            an artifact cannot be run here: the result says `verified=False`.
            Defaults to `False`.
        verify: Inputs to check on, all of which are used, in the forms of
            `representative_data`. `None` or `True` means a fifth of the representative
            samples, or without them 64 random ones: then give
            `verify` for a meaningful figure. Defaults to `None`.
        min_agreement: Lowest agreement that passes beside the verdict, in [0, 1]. The
            agreement is the fraction of positions with the same class, or of which
            every value is within a tolerance. 0 lets every file pass that runs: read
            `passed` and `warnings` of the result. Defaults to `None`, no such bound.
        max_loss: Largest loss that passes, at least 0, in the units of the table; a
            dict by output name sets that of single outputs. Defaults to `None`, that
            of the table, for several modes the largest.
        output_kind: Meaning of the outputs: `"probabilities"` or `"logits"` of classes
            that exclude each other, `"binary_probabilities"` or `"binary_logits"` of
            independent yes or no, `"regression"`, `"embedding"` or `"integer"`; a list
            of `(meaning, number of channels)` for a head of several; a dict of these
            by output name. Defaults to `None`: told by the loss, the layers and the
            values.
        metadata: Dict written into the file: `name`, `description`, `version`,
            `author`, `license`, `labels`, `normalization`, `score_calibration`,
            `score_threshold`, `activation`, `extra`, which MediaPipe Tasks reads; see
            `export.write_metadata`. Defaults to `None`.
        quantizer: Library that quantizes: `"tensorflow"`, or `"litert-quantizer"` for
            all modes but float32. Defaults to `"tensorflow"`.
        calibration: Method that computes ranges from representative data: `"minmax"`,
            `"percentile"` (cuts outliers off) or `"moving_average"` of the batches'
            minima and maxima. Defaults to `"minmax"`.
        percentile: Upper end for `"percentile"`, in (50, 100]; the lower end is 100
            minus it. Defaults to 99.99.
        objective: Quantity that `"auto"` minimizes: `"size"` or `"latency"` on this
            machine. Defaults to `"size"`.
        labels: Targets of `verify`, by which the verdict is more certain, and which
            `max_metric_drop` needs: an array, or a dict by output name. Defaults to
            `None`.
        metric: A Keras metric or loss, or its name. A function of your own is refused,
            as it is not known whether less or more of it is better. Defaults to
            `"accuracy"`.
        max_metric_drop: By how much `metric` may be worse than the Keras model's,
            in the metric's own unit (0.01 of accuracy is one point); models with one
            output. Defaults to `None`, no such limit.
        margin: Part of the largest loss, and of what `min_agreement` allows, that the
            search of `"auto"` keeps in reserve, in [0, 1]. Defaults to `None`, 0.5.
        safe_mode: Refuse a `.keras` file that holds code, such as a lambda.
            Defaults to `True`.
        keep_rejected: Keep an artifact that fails the check as `path` +
            `".rejected"`. Defaults to `False`.
        time_limit: Seconds for each of the worker's steps, its start not counted, in
            (0, 1e6]. Defaults to 600.
        rescue: Names of methods, see above. Defaults to `()`, none.

    Returns:
        An `ExportResult`.

    Raises:
        ValueError, TypeError: An argument is wrong; raised before any conversion.
        ImportError: litert-quantizer is needed and missing.
        OSError: `path` cannot be written.
        ExportError: The model cannot be exported, or the artifact was refused.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import export

    model = keras.Sequential(
        [
            keras.Input((8, 8, 1), name="image"),
            keras.layers.Conv2D(8, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    images = np.random.default_rng(0).random((100, 8, 8, 1), dtype="float32")
    result = export.to_tflite(
        model,
        "digits_example.tflite",
        quantization="int8",
        representative_data=images,
    )
    print(result)
    ```
    """  # noqa: E501
    started = time.monotonic()
    target = validate_path(path)
    parsed = _options.parse_quantization(quantization)
    _options.validate_quantizer(parsed, quantizer)
    _options.validate_types(parsed, quantizer, input_type, output_type)
    checks.integer("batch_size", batch_size, low=1, optional=True)
    checks.boolean("allow_flex", allow_flex)
    checks.boolean("keep_rejected", keep_rejected)
    constraint = _options.resolve_metric_constraint(
        labels, metric, max_metric_drop, verify
    )
    criteria = Criteria(
        limits=loosest(["float32"]),  # until the mode is known
        max_loss=max_loss,
        min_agreement=min_agreement,
        output_kind=output_kind,
    )
    keras_model = validate_model(model, safe_mode)
    parsed = _options.quantize_selected(parsed, keras_model, include, exclude)
    inputs = parsed, keras_model, representative_data
    criteria = dataclasses.replace(criteria, limits=_options.resolve_limits(parsed))
    job = ExportJob(
        model=keras_model,
        quantization=parsed,
        quantizer=quantizer,
        input_type=input_type,
        output_type=output_type,
        batch_size=batch_size,
        allow_flex=allow_flex,
        calibration=_options.validate_calibration(calibration, percentile),
        metadata=None if metadata is None else _metadata.validate(metadata),
        criteria=criteria,
        labels=labels,
        time_limit=validate_time_limit(time_limit),
        metric_constraint=constraint,
        rescue=_options.validate_rescue(rescue, *inputs),
        uses_learned_ranges=_options.uses_learned_ranges(*inputs),
        example=representative_data if isinstance(verify, bool | None) else verify,
    )
    config = _options.SearchConfig.from_arguments(parsed, objective, margin)
    job.prepare(representative_data, verify)
    content, figures = _run_job(job, config, target, keep_rejected)
    files.replace(target, content)
    seconds = time.monotonic() - started
    return ExportResult(**_sizes(target, content), seconds=seconds, **figures)


def _sizes(target, content):
    return {
        "path": str(target),
        "bytes": len(content),
        "gzipped_bytes": len(gzip.compress(content, mtime=0)),
    }


def _run_job(job, config, target, keep_rejected):
    """Runs the job; keeps an artifact that it refuses only if asked for."""
    parts = None if config is None else _auto_quantization.split_samples(job)
    try:
        with tempfile.TemporaryDirectory(dir=job.client.workspace()) as folder:
            job.start(folder)
            if config is None:
                return job.export()
            return _auto_quantization.export(job, config, parts)
    except RejectedArtifact as rejection:
        if keep_rejected:
            rejected = target.with_name(target.name + ".rejected")
            files.replace(rejected, rejection.content)
            raise _kept_as(rejected, rejection.error) from None
        raise rejection.error from None


def _kept_as(path, error):
    """The error, with the path of the refused file."""
    text = str(error).replace(" Nothing was written.", "")
    return ExportError(
        f"{text} The refused file is kept as '{path}'.", error.reason, error.details
    )
