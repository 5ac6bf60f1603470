"""`to_trainable_tflite`: an artifact that trains on the device."""

import gzip
import pathlib
import re
import tempfile
import time

import keras
import numpy as np

from keras_strategies._internal import checks, files
from keras_strategies.export._common import model_signature, named_arrays, sample_data
from keras_strategies.export._common.export_error import ExportError
from keras_strategies.export._worker import converter_client
from keras_strategies.export.artifact import _flatbuffer
from keras_strategies.export.convert import _messages, _options, _trace
from keras_strategies.export.trainable import _optimizer_update
from keras_strategies.export.trainable import _request as _trainable_request
from keras_strategies.export.trainable.trainable_result import (
    TrainableResult,
)
from keras_strategies.export.verify import _agreement, _reference

_MOST_SAMPLES = 64
_STILL = (
    "No weight moved while checking, so training is not verified: pass real data as "
    "`verify`, or a larger learning rate."
)


def to_trainable_tflite(
    model,
    path,
    *,
    loss=None,
    optimizer=None,
    batch_size=16,
    trainable=None,
    verify=None,
    timeout=600.0,
):
    """Exports a model whose head, or all of it, can go on training on a phone.

    For personalisation without sending data away: the file has four signatures.

    | signature | inputs | outputs |
    |---|---|---|
    | `train` | the model's inputs and `y`, `batch_size` samples | `loss` |
    | `infer` | the model's inputs | the model's outputs |
    | `save` | none | the trained weights and the optimizer's state, by name |
    | `restore` | what `save` returned | `restored`, their number |

    One interpreter keeps the weights while it lives; write what `save` returns to a
    file of your own and give it to `restore` after the next start. Only built-in
    operations of LiteRT are used, so no Flex runtime is needed, unlike in the
    [official guide](https://ai.google.dev/edge/litert/models/ondevice_training): the
    gradients of convolutions, pooling and activations are written with operations
    that LiteRT has. The usual use is a head on a frozen feature extractor: set
    `layer.trainable = False` on what is to stay, or pass `trainable`. Frozen
    weights are constants of the file. One step of training is

    `w <- w - rate * d loss(y, model(x)) / d w` for SGD, and Adam as in Keras.

    `train` computes at inference: dropout is off, and BatchNormalization uses its
    stored statistics (the result's warnings say so). Weight regularization counts.
    Before the file is written it is run and checked: `infer`, the loss and the
    weights of two training steps against TensorFlow's gradients and the Keras
    optimizer (outputs and loss within 1e-4, weights within 1e-3 of their change,
    Adam's within a fifth of the learning rate, as it magnifies rounding), then `save`
    and `restore` in a second interpreter. The weights are float32; the model itself is
    left as it was.

    Not possible, and refused with the names of the operations: training through
    looping recurrent layers (`unroll=True` works), grouped or 3-D convolutions, depth
    multipliers above 1 and upsampling. Freeze these layers.

    Args:
        model: A built `keras.Model`, or the path of a `.keras` file. Custom classes
            must be registered and importable.
        path: The file to write, ending in `.tflite`. Its folder must exist.
        loss: A Keras loss or its name; a dict by output name for several outputs.
            Defaults to `None`, the loss that the model is compiled with.
        optimizer: `keras.optimizers.SGD` or `Adam` with a fixed learning rate, or
            its name. Defaults to `None`: the compiled one, else SGD with rate 0.01.
        batch_size: Samples of one training step, at least 1. `infer` takes any
            number. Defaults to 16.
        trainable: Regular expression, searched in the paths of the trainable weights
            such as `"dense/kernel"`: only those found are trained. Defaults to
            `None`, all trainable weights.
        verify: `(inputs, targets)` to check on, at most 64 of which are used.
            Defaults to `None`: made-up ones.
        timeout: Seconds for building and checking, in (0, 1e6]. Defaults to 600.

    Returns:
        A `TrainableResult`.

    Raises:
        ValueError, TypeError: An argument is wrong; said before any conversion.
        OSError: `path` cannot be written.
        ExportError: The model cannot be exported (reason `"flex"` names the
            operations), or the artifact was refused; `path` is as it was.

    Example:

    ```python
    import keras
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter
    from keras_strategies import export

    body = keras.layers.Dense(8, activation="relu", trainable=False)
    model = keras.Sequential([keras.Input((4,), name="x"), body, keras.layers.Dense(2)])
    export.to_trainable_tflite(model, "head.tflite", loss="mse", batch_size=2)

    runners = Interpreter("head.tflite").get_signature_runner
    x = np.array([[1, 2, 3, 4], [4, 3, 2, 1]], "float32")
    y = np.array([[1, 0], [0, 1]], "float32")
    for _ in range(3):
        print(runners("train")(x=x, y=y)["loss"])
    kept = runners("save")()
    ```
    """
    started = time.monotonic()
    path = _options.target(path)
    checks.integer("batch_size", batch_size, low=1)
    checks.real("timeout", timeout, low=0, high=1e6, low_open=True)
    model = _options.model(model, compiled=True)
    chosen = _trainable_request.trained(model, trainable)
    if optimizer is None:
        compiled = getattr(model, "optimizer", None)
        optimizer = compiled or keras.optimizers.SGD(0.01)
    optimizer = _optimizer_update.settings(optimizer)
    arguments, arrays, notes = _request(model, loss, batch_size, verify)
    arguments |= {"trained": chosen, "optimizer": optimizer}
    notes += _trainable_request.warnings(model, chosen, optimizer)
    content, figures = _built(model, arguments, arrays, timeout)
    if not figures["weight_change"]:
        notes.append(_STILL)
    parsed = _flatbuffer.parse(content)
    files.replace(path, content)
    return TrainableResult(
        path=str(path),
        bytes=len(content),
        gzipped_bytes=len(gzip.compress(content, mtime=0)),
        signatures=_flatbuffer.signatures(parsed),
        ops=_flatbuffer.ops(parsed),
        optimizer=optimizer,
        batch_size=batch_size,
        seconds=time.monotonic() - started,
        warnings=tuple(notes),
        **figures,
    )


def _request(model, loss, batch_size, verify):
    """Returns what the worker needs, the arrays to check on, and warnings."""
    structure, specs = model_signature.input_specs(model)
    _messages.check_inputs(specs, batch_size)
    for spec in specs:
        if None in spec.shape[1:]:
            checks.fail(
                "Inputs must have a known shape for on-device training",
                fix="Build the model with a full keras.Input shape.",
                **{spec.name: spec.shape},
            )
    notes = []
    if verify is None:
        samples = sample_data.generate(model, specs, max(batch_size, 8))
        notes.append(_messages.MADE_UP)
    else:
        if not isinstance(verify, tuple | list) or len(verify) != 2:
            fix = "Give verify=(x, y)."
            rule = "`verify` must be a pair of inputs and targets"
            checks.fail(rule, fix=fix, error=TypeError, verify=type(verify).__name__)
        samples = sample_data.arrays("verify", verify[0], specs)
    total = len(next(iter(samples.values())))
    samples = sample_data.head(samples, _MOST_SAMPLES)
    count = min(total, _MOST_SAMPLES)
    try:
        outputs = _reference.predict(model, structure, samples)
    except Exception as error:
        raise ExportError(_messages.predict(model, error), "reference") from error
    bad = _agreement.non_finite(outputs)
    if bad:
        raise ExportError(_messages.reference(model, bad), "reference")
    losses = _trainable_request.losses(model, loss, outputs)
    wanted = _trainable_request.targets(losses, outputs, samples)
    if verify is None:
        values = _trainable_request.made_up_targets(losses, wanted, outputs, count)
    else:
        values = _trainable_request.given_targets(verify[1], wanted, total)
        values = {name: np.asarray(value)[:count] for name, value in values.items()}
    arguments = {"losses": losses, "targets": wanted, "batch_size": batch_size}
    arguments["inputs"] = [spec.name for spec in specs]
    return arguments, {"samples": samples, "targets": values}, notes


def _built(model, arguments, arrays, timeout):
    """Asks the worker; returns the artifact's bytes and figures."""
    worker = converter_client.shared_worker()
    worker.start()
    with tempfile.TemporaryDirectory(prefix="keras_strategies_") as folder:
        folder = pathlib.Path(folder)
        source = folder / "model.keras"
        try:
            model.save(source)
        except Exception as error:
            raise ExportError(_messages.save(model, error), "trace") from error
        for name, named in arrays.items():
            named_arrays.save(folder / f"{name}.npz", named)
        arguments |= {"keras_file": str(source), "folder": str(folder)}
        arguments |= {"modules": _trace.foreign_modules(model)}
        try:
            figures = worker.request(
                "trainable._training_build.build",
                arguments,
                timeout=timeout,
                doing="building the training signatures",
                hint="Freeze all but the last layers.",
            )
        except converter_client.WorkerError as error:
            raise _translated(error) from error
        return (folder / "model.tflite").read_bytes(), figures


def _translated(error):
    """Returns the `ExportError` for an exception inside the worker."""
    ops = _messages.unsupported_ops(error.message)
    if not ops:
        ops = sorted(set(re.findall(r"legalize operation 'tf\.(\w+)'", error.message)))
    if "tensor list" in error.message:  # a loop that is differentiated
        ops = ["TensorList (recurrent layers)"]
    if error.kind == "UnsupportedGradient":
        ops = [error.message]
    if ops:
        return ExportError(
            "Training these weights needs operations that LiteRT does not have: "
            f"{', '.join(ops)}. Way out: freeze the layers that use them "
            "(layer.trainable = False) and those before, or train only the head with "
            "`trainable`.",
            "flex",
            {"ops": ops},
        )
    if error.kind == "Disagreement":
        message = f"The artifact was refused. {error.message} Nothing was written."
        return ExportError(message, "disagreement")
    if "delegate" in error.message or "prepare" in error.message:
        return ExportError(
            "The interpreter cannot run the artifact, so nothing was written: "
            f"{_messages.clip(error.message)}. Way out: freeze the layers behind it.",
            "run",
        )
    message = f"{error.kind} while building the training signatures: "
    message += _messages.clip(error.message)
    message += (
        " Custom classes and losses must be registered with "
        "keras.saving.register_keras_serializable in an importable module."
    )
    return ExportError(message, "conversion")
