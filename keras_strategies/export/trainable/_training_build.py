"""Building, conversion and check of a trainable artifact (worker side)."""

import pathlib
import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_strategies.export._common import (
    model_signature,
    model_transfer,
    named_arrays,
    sample_data,
)
from keras_strategies.export.trainable import _optimizer_update, _signatures

NUM_STEPS = 2  # the second one shows whether the optimizer's state is kept
# Largest difference of outputs and loss, relative to the values where they exceed 1.
_TOLERANCE = 1e-4
# Largest difference of a weight as a fraction of the change of its tensor.
_WEIGHT_TOLERANCE = 1e-3
# For Adam as a fraction of the learning rate: it divides by the size of the gradient,
# so the rounding of a gradient near zero is a visible part of the step.
_ADAM_TOLERANCE = 0.2
# A tensor that changes less than this fraction of the largest change is measured
# against that, as its own change is mostly rounding.
_MIN_RELATIVE_CHANGE = 0.01


class Disagreement(Exception):
    """The artifact does not compute the same as Keras."""


def build(
    keras_file: str, modules: Sequence[str], folder: str, **request: Any
) -> dict[str, Any]:
    """Writes `folder/model.tflite`; returns its figures. See `Trainer`."""
    scratch = pathlib.Path(folder)
    model = model_transfer.load_in_worker(keras_file, modules)
    trainer = _signatures.Trainer(model, **request)
    artifact = scratch / "model.tflite"
    _signatures.write_artifact(trainer, scratch / "saved_model", artifact)
    samples = named_arrays.load(scratch / "samples.npz")
    targets = named_arrays.load(scratch / "targets.npz")
    with model_signature.float32_compute(trainer.model):
        figures = _check(trainer, str(artifact), samples, targets)
    return figures | {
        "variables": {name: list(v.shape) for name, v in trainer.variables.items()},
        "state": list(trainer.state),
    }


def _check(trainer, artifact, samples, targets):
    """Checks infer, two training steps, save and restore against Keras itself."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=artifact, num_threads=1)
    run = {
        name: interpreter.get_signature_runner(name) for name in _signatures.SIGNATURES
    }
    batch_size = trainer.specs[0].shape[0] or sample_data.num_samples(samples)
    inputs = sample_data.first_samples(samples, batch_size)
    figures = {
        "infer_difference": _compare(
            "`infer` gives other outputs",
            _keras_outputs(trainer, inputs),
            run["infer"](**inputs),
        )
    }
    batches = sample_data.full_batches(samples | targets, trainer.batch_size)
    steps = [batch for batch, _ in batches]
    steps = [steps[index % len(steps)] for index in range(NUM_STEPS)]
    start = time.perf_counter()
    losses = [float(run["train"](**step)["loss"]) for step in steps]
    figures["train_ms"] = (time.perf_counter() - start) / NUM_STEPS * 1e3
    before = {name: value.numpy() for name, value in trainer.variables.items()}
    expected = _keras_steps(trainer, steps)
    figures["loss_difference"] = _compare(
        "`train` gives another loss",
        {"loss": np.array(expected)},
        {"loss": np.array(losses)},
    )
    saved = run["save"]()
    after = {name: value.numpy() for name, value in trainer.variables.items()}
    settings, is_adam = trainer.update.settings, trainer.update.is_adam
    figures["weight_difference"], figures["weight_change"] = _compare_changes(
        before, after, saved, settings["learning_rate"] if is_adam else 0.0
    )
    _check_restore(Interpreter(model_path=artifact, num_threads=1), run, saved, inputs)
    return figures


def _check_restore(interpreter, run, saved, inputs):
    """In a second interpreter: what was saved comes back, with the same outputs."""
    interpreter.get_signature_runner("restore")(**saved)
    saved_again = interpreter.get_signature_runner("save")()
    if any(not np.array_equal(saved[name], saved_again[name]) for name in saved):
        raise Disagreement("What `restore` was given is not what `save` returns.")
    outputs = interpreter.get_signature_runner("infer")(**inputs)
    trained = run["infer"](**inputs)
    if any(not np.array_equal(trained[name], outputs[name]) for name in trained):
        raise Disagreement("After `restore`, `infer` gives other outputs.")


def _keras_outputs(trainer, samples):
    tensors = [samples[spec.name] for spec in trainer.specs]
    outputs = model_signature.call_model(trainer.model, trainer.structure, tensors)
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


def _compare_changes(before, after, saved, learning_rate):
    """Returns `(difference, change)` of the weights over the steps.

    Differences are relative to the change of a weight: relative to the weight itself,
    a small learning rate would hide an update that does nothing at all.
    `learning_rate` is 0 for SGD.
    """
    changes = {name: _max_abs(after[name] - before[name]) for name in after}
    largest_change = max(changes.values())
    worst = 0.0
    tolerance = _ADAM_TOLERANCE if learning_rate else _WEIGHT_TOLERANCE
    for name, value in after.items():
        if not np.isfinite(saved[name]).all():
            raise Disagreement(f"`train` makes '{name}' NaN or infinite.")
        rounding = 4 * float(np.finfo("float32").eps) * _max_abs(value)
        difference = _max_abs(saved[name] - value)
        smallest_scale = _MIN_RELATIVE_CHANGE * largest_change
        scale = max(changes[name], smallest_scale, learning_rate) or 1.0
        worst = max(worst, difference / scale)
        if difference > NUM_STEPS * rounding + scale * tolerance:
            raise Disagreement(
                f"`train` changes the weights '{name}' differently from Keras, by "
                f"{difference / scale:.3g} of their change."
            )
    return worst, largest_change


def _max_abs(values):
    return float(np.abs(values).max(initial=0.0))


def _compare(description, expected, outputs):
    """Returns the largest difference, relative to the values where they exceed 1."""
    worst = 0.0
    for name, value in expected.items():
        actual = outputs[name]
        if actual.shape != value.shape:
            raise Disagreement(
                f"{description}: '{name}' has shape {actual.shape}, in Keras "
                f"{value.shape}."
            )
        if not np.isfinite(np.asarray(actual, "float64")).all():
            raise Disagreement(f"{description}: '{name}' holds NaN or infinity.")
        value, actual = value.astype("float64"), actual.astype("float64")
        difference = _max_abs(actual - value) / max(1.0, _max_abs(value))
        worst = max(worst, difference)
        if difference > _TOLERANCE:
            raise Disagreement(
                f"{description} than Keras: '{name}' is {difference:.3g} off."
            )
    return worst
