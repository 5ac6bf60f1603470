"""Builds, converts and checks a trainable artifact in the worker."""

import importlib
import pathlib
import time

import keras
import numpy as np

from keras_strategies.export._common import model_signature, named_arrays, sample_data
from keras_strategies.export.trainable import _optimizer_update, _signatures

STEPS = 2  # the second one shows whether the optimizer's state is kept


class Disagreement(Exception):
    """The artifact does not compute what Keras does."""


def build(keras_file, modules, folder, **request):
    """Writes `folder/model.tflite`; returns what it holds. See `Trainer`."""
    for module in modules:
        importlib.import_module(module)
    folder = pathlib.Path(folder)
    # The file was written from a model the user holds in memory a moment ago.
    model = keras.saving.load_model(keras_file, compile=False, safe_mode=False)
    trainer = _signatures.Trainer(model, **request)
    artifact = folder / "model.tflite"
    _signatures.write(trainer, folder / "saved_model", artifact)
    samples = named_arrays.load(folder / "samples.npz")
    wanted = named_arrays.load(folder / "targets.npz")
    figures = _check(trainer, str(artifact), samples, wanted)
    return figures | {
        "variables": {name: list(v.shape) for name, v in trainer.variables.items()},
        "state": list(trainer.state),
    }


def _check(trainer, artifact, samples, wanted):
    """Infer, two training steps, save and restore against Keras itself."""
    with model_signature.float32_compute(trainer.model):
        return _checked(trainer, artifact, samples, wanted)


def _checked(trainer, artifact, samples, wanted):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=artifact, num_threads=1)
    run = {
        name: interpreter.get_signature_runner(name) for name in _signatures.SIGNATURES
    }
    first = _first(
        samples, trainer.specs[0].shape[0] or len(next(iter(samples.values())))
    )
    figures = {
        "infer_difference": _compare(
            "`infer` gives other outputs",
            _expected(trainer, first),
            run["infer"](**first),
        )
    }
    steps = [
        batch for batch, _ in sample_data.batches(samples | wanted, trainer.batch_size)
    ]
    steps = [steps[index % len(steps)] for index in range(STEPS)]
    start = time.perf_counter()
    losses = [float(run["train"](**step)["loss"]) for step in steps]
    figures["train_ms"] = (time.perf_counter() - start) / STEPS * 1e3
    before = {name: value.numpy() for name, value in trainer.variables.items()}
    expected = _keras_steps(trainer, steps)
    figures["loss_difference"] = _compare(
        "`train` gives another loss",
        {"loss": np.array(expected)},
        {"loss": np.array(losses)},
    )
    saved = run["save"]()
    after = {name: value.numpy() for name, value in trainer.variables.items()}
    rate, adam = trainer.update.settings["learning_rate"], trainer.update.adam
    found = _compare_changes(before, after, saved, rate if adam else 0.0)
    figures["weight_difference"], figures["weight_change"] = found
    second = Interpreter(model_path=artifact, num_threads=1)
    second.get_signature_runner("restore")(**saved)
    again = second.get_signature_runner("save")()
    restored = second.get_signature_runner("infer")(**first)
    if any(not np.array_equal(saved[name], again[name]) for name in saved):
        raise Disagreement("What `restore` was given is not what `save` returns.")
    trained = run["infer"](**first)
    if any(not np.array_equal(trained[name], restored[name]) for name in trained):
        raise Disagreement("After `restore`, `infer` gives other outputs.")
    return figures


def _first(samples, count):
    return {name: value[:count] for name, value in samples.items()}


def _expected(trainer, samples):
    tensors = [samples[spec.name] for spec in trainer.specs]
    outputs = model_signature.call(trainer.model, trainer.structure, tensors)
    return {name: keras.ops.convert_to_numpy(v) for name, v in outputs.items()}


def _keras_steps(trainer, steps):
    """The same steps by TensorFlow's gradients and Keras's optimizer."""
    import tensorflow as tf

    optimizer = _optimizer_update.keras_optimizer(trainer.update.settings)
    values = {id(value) for value in trainer.variables.values()}
    variables = [v for v in trainer.model.weights if id(v.value) in values]
    losses = []
    for step in steps:
        inputs = [tf.constant(step[spec.name]) for spec in trainer.specs]
        targets = [tf.constant(step[name]) for name, _, _ in trainer.targets.values()]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in variables])
            loss = trainer.loss(inputs, targets)
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        # Given slices of an embedding, Keras's Adam on TensorFlow squares the parts
        # of a repeated row before it adds them up, on no other backend.
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
        optimizer.apply(gradients, variables)
        losses.append(float(loss))
    return losses


def _compare_changes(before, after, saved, rate):
    """Returns `(difference, change)` of the weights over the steps.

    What counts is how far a weight moved: a small learning rate would hide an
    update that does nothing at all. Adam divides by the size of the gradient;
    where that is next to nothing, its rounding is a visible part of `rate`.
    """
    changes = {name: _largest(after[name] - before[name]) for name in after}
    most = max(changes.values())
    worst = 0.0
    for name, value in after.items():
        if not np.isfinite(saved[name]).all():
            raise Disagreement(f"`train` makes '{name}' NaN or infinite.")
        rounding = 4 * float(np.finfo("float32").eps) * _largest(value)
        apart = _largest(saved[name] - value)
        scale = max(changes[name], 0.01 * most, rate) or 1.0
        worst = max(worst, apart / scale)
        if apart > STEPS * rounding + scale * (0.2 if rate else 1e-3):
            raise Disagreement(
                f"`train` moves the weights '{name}' otherwise than Keras: they differ "
                f"by {apart / scale:.3g} of their change."
            )
    return worst, most


def _largest(values):
    return float(np.abs(values).max(initial=0.0))


def _compare(what, expected, found, tolerance=1e-4):
    """Returns the largest difference, relative to the values where they exceed 1."""
    worst = 0.0
    for name, value in expected.items():
        actual = found[name]
        if actual.shape != value.shape:
            raise Disagreement(
                f"{what}: '{name}' has shape {actual.shape}, in Keras {value.shape}."
            )
        if not np.isfinite(np.asarray(actual, "float64")).all():
            raise Disagreement(f"{what}: '{name}' holds NaN or infinity.")
        value, actual = value.astype("float64"), actual.astype("float64")
        difference = _largest(actual - value) / max(1.0, _largest(value))
        worst = max(worst, difference)
        if difference > tolerance:
            raise Disagreement(f"{what} than Keras: '{name}' is {difference:.3g} off.")
    return worst
