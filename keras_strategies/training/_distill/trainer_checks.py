"""Checks of the arguments of a distillation."""

import os
from collections.abc import Sequence
from typing import Any

import keras

from keras_strategies._internal import checks
from keras_strategies.training._distill import outputs as output_kinds
from keras_strategies.training._distill import teachers


def check_model(name: str, model: Any) -> None:
    """Refuses what is no built model."""
    fix = "Give a Keras model."
    if isinstance(model, str | os.PathLike):
        fix = "A file is taken by training.distill, or load it first."
    checks.instance(name, model, keras.Model, fix=fix)
    if not model.built:
        checks.fail(
            f"`{name}` must be built",
            fix="Begin a Sequential model with keras.Input, or call the model once.",
            **{name: model.name},
        )


def checked_teachers(student: keras.Model, teacher: Any) -> list[keras.Model]:
    """The models that stand for `teacher`; none where answers are stored."""
    if teacher == "ema":
        return [teachers.copy_of(student)]
    if isinstance(teacher, str):
        return []
    models = list(teacher) if isinstance(teacher, list | tuple) else [teacher]
    if not models:
        checks.fail("`teacher` must have a model", teacher=teacher)
    for model in models:
        check_teacher(student, model)
    return models


def check_teacher(student: keras.Model, model: Any) -> None:
    """Refuses a model that cannot teach the student."""
    check_model("teacher", model)
    if model is student:
        checks.fail(
            "`teacher` must be another model than the student",
            fix='For self-distillation give "ema".',
            teacher=model.name,
        )
    output_kinds.check_same(
        output_kinds.shapes_of(student), output_kinds.shapes_of(model)
    )
    output_kinds.check_same_order(student, model)


def checked_weights(weights: Sequence[float] | None, count: int | None) -> list[float]:
    """One weight for each of `count` teachers; `None` if any number may be stored."""
    if weights is None:
        return [1.0 / max(count or 1, 1)] * max(count or 1, 1)
    weights = [
        checks.real("teacher_weights", weight, low=0, low_open=True)
        for weight in weights
    ]
    if not weights or (count is not None and len(weights) != count):
        checks.fail(
            "`teacher_weights` must have one weight for each teacher",
            teacher_weights=weights,
            teachers=count,
        )
    return weights


def checked_flags(from_logits: Any, count: int) -> list[Any] | None:
    """Whether each of `count` teachers gives logits, `None` if that is to be found.

    An entry may be a list: one for each output.
    """
    if from_logits is None:
        return None
    several = isinstance(from_logits, list | tuple)
    flags = list(from_logits) if several else [from_logits] * count
    if len(flags) != count:
        checks.fail(
            "`teacher_from_logits` must have one entry for each teacher",
            teacher_from_logits=from_logits,
            teachers=count,
        )
    for flag in keras.tree.flatten(flags):
        checks.boolean("teacher_from_logits", flag)
    return flags


def checked_pair(name: str, pair: Any) -> tuple[float, float]:
    """Two weights of at least 0."""
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        checks.fail(f"`{name}` must be two weights", **{name: pair})
    return tuple(checks.real(name, weight, low=0) for weight in pair)
