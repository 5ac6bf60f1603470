"""Export of a model to an artifact that trains on the device."""

import gzip
import os
import pathlib
import re
import tempfile
import time
from typing import Any

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.select import Selector
from keras_strategies._internal.storage import files
from keras_strategies.export._common import (
    ExportError,
    InputData,
    model_signature,
    model_transfer,
    named_arrays,
    sample_data,
    shorten,
    validate_model,
    validate_path,
    validate_time_limit,
)
from keras_strategies.export._worker.converter_client import WorkerError, shared_client
from keras_strategies.export.artifact import _flatbuffer
from keras_strategies.export.convert._messages import unsupported_ops
from keras_strategies.export.trainable import _request
from keras_strategies.export.trainable._optimizer_update import optimizer_settings
from keras_strategies.export.trainable.trainable_result import TrainableResult
from keras_strategies.export.verify._reference import reference_outputs

_MAX_SAMPLES = 64
_DEFAULT_LEARNING_RATE = 0.01
_NO_CHANGE_WARNING = (
    "No weight moved while checking, so training is not verified: pass real data as "
    "`verify`, or a larger learning rate."
)


def to_trainable_tflite(
    model: keras.Model | str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    loss: Any = None,
    optimizer: keras.optimizers.Optimizer | str | None = None,
    batch_size: int = 16,
    include: Selector | None = None,
    exclude: Selector | None = None,
    verify: tuple[InputData, Any] | None = None,
    time_limit: float = 600.0,
) -> TrainableResult:
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
    `layer.trainable = False` on the layers to freeze, or pass `include` or `exclude`.
    Frozen weights are constants of the file. One step of training is

    `w <- w - learning_rate * d loss(y, model(x)) / d w` for SGD, and Adam as in Keras.

    `train` computes at inference: dropout is off, and BatchNormalization uses its
    stored statistics (the result's warnings say so). Weight regularization counts.
    Before the file is written it is run and checked: `infer`, the loss and the
    weights of two training steps against TensorFlow's gradients and the Keras
    optimizer (outputs and loss within 1e-4, weights within 1e-3 of their change,
    with Adam within a fifth of the learning rate, as it magnifies rounding), `save`
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
            its name. Defaults to `None`: the compiled one, else SGD with a learning
            rate of 0.01.
        batch_size: Samples of one training step, at least 1. `infer` takes any
            number. Defaults to 16.
        include: Weights to train, of those that are trainable: a regular expression,
            searched in their paths such as `"dense/kernel"`, a layer, a variable, a
            function of a layer, or a list of these. Defaults to `None`, all trainable
            weights.
        exclude: Weights to freeze, in the same forms; wins over `include`. Defaults to
            `None`, none.
        verify: `(inputs, targets)` to check on, at most 64 of which are used.
            Defaults to `None`: random ones.
        time_limit: Seconds for building and checking, in (0, 1e6]. Defaults to 600.

    Returns:
        A `TrainableResult`.

    Raises:
        ValueError, TypeError: An argument is wrong; raised before any conversion.
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
    state = runners("save")()
    ```
    """
    started = time.monotonic()
    target = validate_path(path)
    checks.integer("batch_size", batch_size, low=1)
    time_limit = validate_time_limit(time_limit)
    keras_model = validate_model(model, compiled=True)
    trained = _request.select_trained_weights(keras_model, include, exclude)
    if optimizer is None:
        compiled = getattr(keras_model, "optimizer", None)
        optimizer = compiled or keras.optimizers.SGD(_DEFAULT_LEARNING_RATE)
    settings = optimizer_settings(optimizer)
    arguments, arrays, warnings = _prepare(keras_model, loss, batch_size, verify)
    arguments |= {"trained": trained, "optimizer": settings}
    warnings += _request.difference_warnings(keras_model, trained, settings)
    content, figures = _build(keras_model, arguments, arrays, time_limit)
    if not figures["weight_change"]:
        warnings.append(_NO_CHANGE_WARNING)
    parsed = _flatbuffer.parse(content)
    files.replace(target, content)
    return TrainableResult(
        path=str(target),
        bytes=len(content),
        gzipped_bytes=len(gzip.compress(content, mtime=0)),
        signatures=_flatbuffer.signatures(parsed),
        ops=_flatbuffer.count_ops(parsed),
        optimizer=settings,
        batch_size=batch_size,
        seconds=time.monotonic() - started,
        warnings=tuple(warnings),
        **figures,
    )


def _prepare(model, loss, batch_size, verify):
    """Returns the worker's arguments, the arrays to check on, and warnings."""
    structure, specs = model_signature.input_specs(model)
    model_signature.validate_inputs(specs, batch_size)
    for spec in specs:
        if None in spec.shape[1:]:
            checks.fail(
                "Inputs must have a known shape for on-device training",
                fix="Build the model with a full keras.Input shape.",
                **{spec.name: spec.shape},
            )
    samples, targets = _verification_inputs(model, specs, batch_size, verify)
    total = sample_data.num_samples(samples)
    samples = sample_data.first_samples(samples, _MAX_SAMPLES)
    count = min(total, _MAX_SAMPLES)
    outputs = reference_outputs(model, structure, samples)
    losses = _request.serialized_losses(model, loss, outputs)
    target_specs = _request.target_specs(losses, outputs, samples)
    warnings = []
    if verify is None:
        warnings.append(sample_data.GENERATED_WARNING)
        arrays = _request.generate_targets(losses, target_specs, outputs, count)
    else:
        arrays = _request.check_targets(targets, target_specs, total)
        arrays = sample_data.first_samples(arrays, count)
    arguments = {"losses": losses, "targets": target_specs, "batch_size": batch_size}
    arguments["inputs"] = [spec.name for spec in specs]
    return arguments, {"samples": samples, "targets": arrays}, warnings


def _verification_inputs(model, specs, batch_size, verify):
    """Returns the inputs to check on and their targets, None for generated ones."""
    if verify is None:
        count = max(batch_size, 8)
        return sample_data.generate_samples(model, specs, count), None
    if not isinstance(verify, tuple | list) or len(verify) != 2:
        fix = "Give verify=(x, y)."
        rule = "`verify` must be a pair of inputs and targets"
        checks.fail(rule, fix=fix, error=TypeError, verify=type(verify).__name__)
    return sample_data.named_samples("verify", verify[0], specs), verify[1]


def _build(model, arguments, arrays, time_limit):
    """Builds the artifact in the worker; returns its bytes and figures."""
    client = shared_client()
    client.start()
    with tempfile.TemporaryDirectory(dir=client.workspace()) as folder:
        scratch = pathlib.Path(folder)
        arguments |= model_transfer.save_for_worker(model, scratch)
        for name, named in arrays.items():
            named_arrays.save(scratch / f"{name}.npz", named)
        try:
            figures = client.request(
                "trainable._training_build.build",
                arguments | {"folder": folder},
                time_limit=time_limit,
                action="building the training signatures",
                hint="Freeze all but the last layers.",
            )
        except WorkerError as error:
            raise _build_failure(error.kind, error.message) from error
        return (scratch / "model.tflite").read_bytes(), figures


def _build_failure(kind, message):
    """Returns the `ExportError` for an exception of class `kind` in the worker."""
    ops = unsupported_ops(message)
    if not ops:
        ops = sorted(set(re.findall(r"legalize operation 'tf\.(\w+)'", message)))
    if "tensor list" in message:  # a loop that is differentiated
        ops = ["TensorList (recurrent layers)"]
    if kind == "UnsupportedGradient":
        ops = [message]
    if ops:
        return ExportError(
            "Training these weights needs operations that LiteRT does not have: "
            f"{', '.join(ops)}. Way out: freeze the layers that use them "
            "(layer.trainable = False) and those before, or train only the head with "
            "`include`.",
            "flex",
            {"ops": ops},
        )
    if kind == "Disagreement":
        text = f"The artifact was refused. {message} Nothing was written."
        return ExportError(text, "disagreement")
    if "delegate" in message or "prepare" in message:
        return ExportError(
            "The interpreter cannot run the artifact, so nothing was written: "
            f"{shorten(message)}. Way out: freeze the layers after it.",
            "run",
        )
    text = f"{kind} while building the training signatures: {shorten(message)}"
    text += (
        " Custom classes and losses must be registered with "
        "keras.saving.register_keras_serializable in an importable module."
    )
    return ExportError(text, "conversion")
