"""Teachers and student measured by the same loss and metrics."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_strategies._internal.keras_private import output_structure
from keras_strategies.training._distill import losses
from keras_strategies.training._distill import outputs as output_kinds


def evaluate_outputs(
    outputs: Sequence[np.ndarray],
    student: keras.Model,
    data: Mapping[str, Any],
    compile_arguments: Mapping[str, Any],
) -> dict[str, float]:
    """Loss and metrics of outputs that are there already.

    A model of nothing but identities, whose outputs have the structure and the names of
    the student's, is evaluated on them: the file of a teacher has no `evaluate` for a
    Keras loss, and a teacher may not be compiled.

    Args:
        outputs: Arrays in the form of the student's outputs, flat.
        student: The student.
        data: `y` and `sample_weight`.
        compile_arguments: Loss and metrics.
    """
    names = output_kinds.output_names(student) or [None] * len(outputs)
    inputs = [keras.Input(value.shape[1:], dtype="float32") for value in outputs]
    passed = [
        keras.layers.Identity(name=name, dtype="float32")(value)
        for name, value in zip(names, inputs, strict=True)
    ]
    structure = _structure(student, passed)
    echo = keras.Model(inputs, structure)
    kept = ("loss", "loss_weights", "metrics", "weighted_metrics")
    echo.compile(**{k: v for k, v in compile_arguments.items() if k in kept})
    return echo.evaluate(list(outputs), verbose=0, return_dict=True, **data)


def _structure(student, flat):
    if len(flat) == 1:
        return flat[0]
    structure = output_structure(student) if getattr(student, "outputs", None) else flat
    return keras.tree.pack_sequence_as(structure, flat)


def in_the_students_form(
    values: Sequence[np.ndarray],
    kinds: Sequence[tuple[str, bool] | None],
    from_logits: Sequence[bool],
) -> list[np.ndarray]:
    """Outputs of a teacher as the student gives them: logits or probabilities."""
    return [
        _converted(value, kind, is_logits)
        for value, kind, is_logits in zip(values, kinds, from_logits, strict=True)
    ]


def _converted(value, kind, from_logits):
    if kind is None or kind[0] == "values" or kind[1] == from_logits:
        return value
    name, to_logits = kind
    logs = losses.log_probabilities(value, name, from_logits)
    if name == "binary":
        logs = logs[..., 0] - logs[..., 1] if to_logits else logs[..., 0]
    result = logs if to_logits else keras.ops.exp(logs)
    return keras.ops.convert_to_numpy(result)
