"""Checks of the arguments of a distillation."""

import os

import keras

from keras_strategies._internal import checks
from keras_strategies.training._distill import outputs as output_kinds
from keras_strategies.training._distill import teachers


def check_model(name, model):
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


def checked_teachers(student, teacher):
    if teacher == "ema":
        return [teachers.copy_of(student)]
    if isinstance(teacher, str):
        return []
    models = list(teacher) if isinstance(teacher, list | tuple) else [teacher]
    if not models:
        checks.fail("`teacher` must have a model", teacher=teacher)
    for model in models:
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
    return models


def checked_weights(weights, models):
    count = max(len(models), 1)
    if weights is None:
        return [1.0 / count] * count
    weights = [
        checks.real("teacher_weights", weight, low=0, low_open=True)
        for weight in weights
    ]
    if len(weights) != count:
        checks.fail(
            "`teacher_weights` must have one weight for each teacher",
            teacher_weights=weights,
            teachers=count,
        )
    return weights


def checked_pair(name, pair):
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        checks.fail(f"`{name}` must be two weights", **{name: pair})
    return tuple(checks.real(name, weight, low=0) for weight in pair)
