"""Distillation inside the student's own `fit`, for as long as it lasts."""

import contextlib
from collections.abc import Iterator

import keras

from keras_strategies._internal import keras_private
from keras_strategies._internal.interception import replacing
from keras_strategies.training._distill import outputs as output_kinds
from keras_strategies.training._distill import teachers
from keras_strategies.training._distill.objective import (
    Answers,
    Objective,
    added_losses,
    flat,
)
from keras_strategies.training._fine_tune.data import last_activations


@contextlib.contextmanager
def distilling(
    student: keras.Model, teacher: keras.Model, temperature: float, alpha: float
) -> Iterator[None]:
    """Within it `student` trains on its own loss and on the outputs of `teacher`.

    The loss is that of `DistillationTrainer`. The student's `compute_loss` is replaced
    for the time, so that a training step of its own, XLA, callbacks that change the
    student, and every backend go on as before; the teacher is part of no model and is
    not trained. Its weights are constants of the step on JAX.
    """
    plain = student.compute_loss
    objective = Objective({"logits": 1.0}, temperature)
    names = output_kinds.output_names(student)
    activations = last_activations(student)
    # A copy of the teacher, or made like it: its outputs are of the same kind.
    from_logits = None

    def compute_loss(x=None, y=None, y_pred=None, sample_weight=None, **training):
        added = added_losses(student)
        own = plain(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, **training)
        distance = objective(
            Answers(keras.tree.flatten(y_pred)),
            teachers.answers(teacher, (), x),
            output_kinds.kinds_of(student.loss, y_pred, names, activations),
            from_logits,
            flat(y),
            flat(sample_weight),
        )
        distance = keras_private.additional_loss(student, distance)
        return (1 - alpha) * own + alpha * (distance + added)

    with replacing(student, "compute_loss", compute_loss):
        yield
