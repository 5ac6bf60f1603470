"""`to_tflite`: convert, check against the Keras model, only then write."""

import gzip
import os
import pathlib
import tempfile
import time

import keras

from keras_strategies._internal import checks
from keras_strategies.export import _job, _messages, _parity
from keras_strategies.export.export_result import ExportResult

QUANTIZATIONS = ("float32", "float16", "dynamic", "int8")
_TYPES = ("float32", "int8", "uint8")


def to_tflite(
    model,
    path,
    *,
    quantization="float32",
    representative_data=None,
    input_type="float32",
    output_type="float32",
    batch_size=None,
    allow_flex=False,
    verify=None,
    min_agreement=None,
    keep_rejected=False,
    timeout=600.0,
):
    """Exports a Keras model to a `.tflite` file that is known to agree with it.

    Use it in place of `model.export(format="litert")`: it runs the artifact in
    the LiteRT interpreter, compares it with the Keras model and writes `path`
    only if they agree. What would only fail on the phone fails here: operations
    that LiteRT does not have (Flex), NaN, a crash or hang of the converter, a
    quantization that ruins the model. A refused export raises `ExportError` and
    leaves `path` as it was.

    The converter runs in a worker process that is started once, takes a few
    seconds to start, and serves all later exports of this Python process. Works
    the same on the TensorFlow, JAX and Torch backends of Keras; on JAX and Torch
    the worker loads the model from a `.keras` file, so custom classes must be
    registered and importable. Mixed precision models are exported in float32.

    Agreement is measured for each output, and the lowest one counts:

    - class probabilities (the last axis sums to 1) or a model compiled with a
      categorical cross-entropy loss: fraction of positions with the same top-1
      class;
    - anything else: fraction of samples `i` with
      `max |k_i - t_i| <= tolerance * (max k - min k)`, where `k` is the Keras
      output over all samples and `t` the artifact's;
    - integers and booleans: fraction of samples that are equal.

    | quantization | weights, arithmetic | size | min_agreement | tolerance |
    |---|---|---|---|---|
    | `"float32"` | float32, float32 | 1 | 0.99 | 0.001 |
    | `"float16"` | float16, float32 | 0.5 | 0.99 | 0.01 |
    | `"dynamic"` | int8, int8 with ranges taken at run time | 0.26 | 0.95 | 0.1 |
    | `"int8"` | int8, int8 with ranges from representative data | 0.26 | 0.95 | 0.15 |

    float32 differs only by rounding and float16 by 11 bits of the weights, so they
    allow one sample in a hundred to flip at a near tie. int8 has 256 levels for each
    tensor and errors add up over layers; below 0.95 the data that the ranges come
    from usually do not look like the data checked. `"int8"` is best for
    convolutional networks, `"dynamic"` for dense ones and transformers, and
    `"float16"` the safe cut.

    Reference: [Jacob et al., 2018](https://arxiv.org/abs/1712.05877), the integer
    arithmetic of LiteRT.

    Args:
        model: A built `keras.Model`, or the path of a `.keras` file.
        path: The file to write, ending in `.tflite`. Its folder must exist.
        quantization: One of the table. Defaults to `"float32"`.
        representative_data: Inputs as in use, needed by `"int8"`: an array for a
            single input, a dict by input name, a list with one array for each
            input, or an iterable of batches (`tf.data.Dataset`,
            `keras.utils.PyDataset`), of which at most 1024 samples are drawn.
            100 to 500 samples suffice; all are used. Defaults to `None`.
        input_type: Type of floating point inputs: `"float32"`, or `"int8"` or
            `"uint8"` for `quantization="int8"`. Defaults to `"float32"`.
        output_type: The same for outputs. Defaults to `"float32"`.
        batch_size: Batch size of the artifact. `None` leaves it free; recurrent
            layers need a fixed one, usually 1. Defaults to `None`.
        allow_flex: Accept operations that need the TensorFlow (Flex) runtime. Such
            an artifact cannot be run here: the result says `verified=False`.
            Defaults to `False`.
        verify: Inputs to check on, all of which are used, in the forms of
            `representative_data`. `None` or `True` takes the first 256
            representative samples, or without them 64 made-up ones: then give
            `verify` for a figure that means something. Defaults to `None`.
        min_agreement: Lowest agreement that passes, in [0, 1]. Defaults to `None`,
            the value of the table.
        keep_rejected: Keep an artifact that fails the check as `path` +
            `".rejected"`. Defaults to `False`.
        timeout: Seconds for each of the worker's steps, its start not counted, in
            (0, 1e6]. Defaults to 600.

    Returns:
        An `ExportResult`.

    Raises:
        ValueError, TypeError: An argument is wrong; said before any conversion.
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
        min_agreement=0.8,  # an untrained model is full of near ties
    )
    print(result)
    ```
    """
    started = time.monotonic()
    path = _checked_path(path)
    _check_options(quantization, representative_data, input_type, output_type)
    checks.integer("batch_size", batch_size, low=1, optional=True)
    checks.boolean("allow_flex", allow_flex)
    checks.boolean("keep_rejected", keep_rejected)
    checks.real("timeout", timeout, low=0, high=1e6, low_open=True)
    default, tolerance = _parity.DEFAULTS[quantization]
    least = checks.real("min_agreement", min_agreement, low=0, high=1, optional=True)
    job = _job.Job(
        model=_loaded(model),
        quantization=quantization,
        types={"input_type": input_type, "output_type": output_type},
        batch_size=batch_size,
        allow_flex=allow_flex,
        least=default if least is None else least,
        tolerance=tolerance,
        timeout=timeout,
    )
    job.prepare(representative_data, verify)
    try:
        with tempfile.TemporaryDirectory(prefix="keras_strategies_") as folder:
            content, figures = job.export(pathlib.Path(folder))
    except _messages.Rejected as refusal:
        if keep_rejected:
            _write(path.with_name(path.name + ".rejected"), refusal.content)
        raise refusal.error from None
    _write(path, content)
    return ExportResult(
        path=str(path),
        quantization=quantization,
        bytes=len(content),
        gzipped_bytes=len(gzip.compress(content, mtime=0)),
        seconds=time.monotonic() - started,
        **figures,
    )


def _checked_path(path):
    checks.instance("path", path, (str, os.PathLike))
    path = pathlib.Path(path)
    if path.suffix != ".tflite":
        fix = "Name the file model.tflite, for example."
        checks.fail("`path` must end in .tflite", fix=fix, path=str(path))
    if path.is_dir():
        raise IsADirectoryError(
            checks.message("`path` must be a file, not a folder", {"path": str(path)})
        )
    if not path.parent.is_dir():
        rule = "The folder of `path` must exist"
        fix = "Make it with pathlib.Path(...).mkdir(parents=True)."
        raise FileNotFoundError(checks.message(rule, {"path": str(path)}, fix))
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        rule = f"The folder of `path` must be writable ({error.strerror})"
        raise PermissionError(checks.message(rule, {"path": str(path)})) from error
    return path


def _check_options(quantization, representative_data, input_type, output_type):
    checks.choice("quantization", quantization, QUANTIZATIONS)
    if quantization == "int8" and representative_data is None:
        checks.fail(
            '`quantization="int8"` needs `representative_data`',
            fix="Pass 100 to 500 inputs as in use, for example "
            'to_tflite(model, path, quantization="int8", '
            "representative_data=x_train[:200]).",
            representative_data=None,
        )
    for name, value in (("input_type", input_type), ("output_type", output_type)):
        checks.choice(name, value, _TYPES)
        if value != "float32" and quantization != "int8":
            fix = 'Pass quantization="int8" as well, or leave the type "float32".'
            rule = f'`{name}` other than "float32" needs `quantization="int8"`'
            checks.fail(rule, fix=fix, **{name: value}, quantization=quantization)


def _loaded(model):
    if isinstance(model, str | os.PathLike):
        file = pathlib.Path(model)
        if not file.is_file():
            rule = "`model` must be an existing .keras file"
            raise FileNotFoundError(checks.message(rule, {"model": str(model)}))
        model = keras.saving.load_model(file, compile=False)
    checks.instance("model", model, keras.Model)
    if not model.built:
        checks.fail(
            "`model` must be built",
            fix="Call it once on an input, or give it a keras.Input.",
            model=model.name,
        )
    return model


def _write(path, content):
    """Writes aside and renames, so that `path` is never half written."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        aside.write_bytes(content)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
