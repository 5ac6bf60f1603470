"""Distillation in one call."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import keras

from keras_strategies._internal import checks
from keras_strategies.export import TFLiteModel
from keras_strategies.training._distill.distillation_result import DistillationResult
from keras_strategies.training._distill.objective import (
    Objective,
    checked_kinds,
    checked_layers,
)
from keras_strategies.training._distill.run import Run, Settings
from keras_strategies.training._distill.trainer_checks import (
    check_model,
    check_teacher,
)
from keras_strategies.training._fine_tune.data import check_targets, checked_data


def distill(
    teacher: Any,
    student: keras.Model,
    data: Any,
    *,
    kind: str | Mapping[str, float] = "logits",
    validation_data: Any = None,
    epochs: int = 10,
    batch_size: int = 32,
    alpha: float = 0.5,
    temperature: float = 4.0,
    layers: Sequence[tuple[str, str]] | None = None,
    decoupled: tuple[float, float] = (1.0, 8.0),
    relational: tuple[float, float] = (1.0, 2.0),
    ema_momentum: float = 0.99,
    teacher_weights: Sequence[float] | None = None,
    teacher_from_logits: bool | Sequence[bool] | None = None,
    optimizer: str | keras.optimizers.Optimizer | None = None,
    loss: Any = None,
    metrics: Sequence[Any] | None = None,
    cache_teacher: bool | Literal["auto"] = "auto",
    augment: keras.layers.Layer | None = None,
    augment_rounds: int | None = None,
    class_weight: Mapping[int, float] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] | None = None,
    seed: int | None = None,
    verbose: int | str = "auto",
) -> DistillationResult:
    """Trains a student on labels and on what a teacher says, in place.

    A small network often learns more from the probabilities of a large one than from
    labels alone; see `DistillationTrainer` for the distances, which this builds,
    compiles and fits. The teacher may be a Keras model or file, several of them, the
    moving average of the student itself, or a `.tflite` file, and it is not changed.

    What the teacher answers is computed once and stored where that is the same:
    `augment` is drawn from a seed and repeats after `augment_rounds` epochs, so that a
    stored answer always belongs to the very images that the student sees.

    Reference:

    - [Hinton et al., 2015, Distilling the Knowledge in a Neural Network](
      https://arxiv.org/abs/1503.02531)
    - [Furlanello et al., 2018, Born-Again Neural Networks](
      https://arxiv.org/abs/1805.04770): a teacher of the student's own architecture.
    - [Beyer et al., 2021, Knowledge distillation: A good teacher is patient and
      consistent](https://arxiv.org/abs/2106.05237): both see the same augmentation.

    Args:
        teacher: A built model, the path of a `.keras` or `.tflite` file, an
            `export.TFLiteModel`, a list of these; or `"ema"`, the moving average of
            the student.
        student: The built model to train. If it is compiled, its loss, metrics and
            optimizer are used, and it stays compiled as it is.
        data: `(x, y)` or `(x, y, sample_weight)`, or a data set of such batches.
        kind: `"logits"`, `"decoupled"`, `"hints"`, `"attention"` or `"relational"`, or
            a dict from these to weights. Defaults to `"logits"`.
        validation_data: Data to measure on, in the same form. Defaults to `None`.
        epochs: Epochs, at least 1. Defaults to `10`.
        batch_size: Batch size for arrays, at least 1. Defaults to `32`.
        alpha: Part of the distances in the loss, in [0, 1]. Defaults to `0.5`.
        temperature: Temperature of softened outputs, greater than 0. Defaults to `4.0`.
        layers: Pairs of paths, of a layer of the teacher and one of the student.
            Defaults to `None`.
        decoupled: Weights of the true class and of the others. Defaults to
            `(1.0, 8.0)`.
        relational: Weights of distances and angles. Defaults to `(1.0, 2.0)`.
        ema_momentum: Of the moving average, in [0, 1). Defaults to `0.99`.
        teacher_weights: Weights of several teachers. Defaults to `None`, equal ones.
        teacher_from_logits: Whether the teachers' outputs for classes are logits, for
            all or each. Defaults to `None`: as the loss, the last activation or, of a
            file, the numbers say.
        optimizer: Name of an optimizer or one to be copied. Defaults to `None`: that of
            a compiled student, else Adam.
        loss: The student's own loss, which also says what its outputs are. Defaults to
            `None`: that of a compiled student, else cross-entropy for softmax and
            sigmoid and the mean squared error for other outputs.
        metrics: The metrics. Defaults to `None`: those of a compiled student.
        cache_teacher: Whether answers are stored. `"auto"`: for arrays without
            augmentation and features that fit into a quarter of the free memory.
            Files are always stored. Defaults to `"auto"`.
        augment: A Keras layer or model that augments the inputs. Its random numbers
            come from `seed`. Defaults to `None`.
        augment_rounds: Epochs until the augmentation repeats, at least 1. Defaults to
            `None`: never.
        class_weight: As for `fit`. Defaults to `None`.
        callbacks: Callbacks for `fit`, whose model is the `DistillationTrainer`.
            Defaults to `None`.
        seed: Seed of orders and augmentation, or `None` for none. Defaults to `None`.
        verbose: As for `fit`. Defaults to `"auto"`.

    Returns:
        A `DistillationResult`: teachers and student side by side.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, the outputs differ, the labels do
            not fit, or answers must be stored and cannot be. The student is as before
            then.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import training

    def network(units):
        model = keras.Sequential([
            keras.Input((8,)),
            keras.layers.Dense(units, activation="relu"),
            keras.layers.Dense(2, activation="softmax"),
        ])
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    x = np.random.default_rng(0).normal(size=(64, 8))
    y = (x.sum(axis=1) > 0).astype(int)
    teacher, student = network(64), network(4)
    teacher.fit(x, y, epochs=5, verbose=0)
    result = training.distill(
        teacher, student, (x, y), validation_data=(x, y), epochs=2, verbose=0
    )
    print(result)
    ```
    """
    check_model("student", student)
    settings = Settings(
        teachers=_checked_teacher(teacher, student),
        data=checked_data("data", data),
        validation=_optional_data(validation_data),
        epochs=checks.integer("epochs", epochs, low=1),
        batch_size=checks.integer("batch_size", batch_size, low=1),
        optimizer=optimizer,
        loss=loss,
        metrics=None if metrics is None else list(metrics),
        cache_teacher=checks.choice(
            "cache_teacher", cache_teacher, (True, False, "auto")
        ),
        augment=checks.instance("augment", augment, keras.layers.Layer, optional=True),
        augment_rounds=checks.integer(
            "augment_rounds", augment_rounds, low=1, optional=True
        ),
        class_weight=class_weight,
        callbacks=[] if callbacks is None else list(callbacks),
        seed=checks.integer("seed", seed, low=0, optional=True),
        verbose=verbose,
        options={
            "kind": kind,
            "alpha": alpha,
            "temperature": temperature,
            "layers": checked_layers(layers, Objective(checked_kinds(kind))) or None,
            "decoupled": decoupled,
            "relational": relational,
            "ema_momentum": ema_momentum,
            "teacher_weights": teacher_weights,
            "teacher_from_logits": teacher_from_logits,
        },
    )
    _check_data(settings, student)
    return _run(student, settings)


def _run(student, settings):
    run = Run(student, settings)
    models = [] if isinstance(settings.teachers, str) else settings.teachers
    rows = [
        run.measure(f"teacher {n + 1}" if len(models) > 1 else "teacher", model)
        for n, model in enumerate(models)
    ]
    rows.append(run.measure("student before", student))
    _, history = run.train()
    rows.append(run.measure("student", student))
    return DistillationResult(rows, history, run.notes)


def _optional_data(data):
    return None if data is None else checked_data("validation_data", data)


def _checked_teacher(teacher, student):
    if isinstance(teacher, str) and teacher == "ema":
        return "ema"
    several = isinstance(teacher, list | tuple)
    opened = [_opened(item) for item in (teacher if several else [teacher])]
    if not opened:
        checks.fail("`teacher` must have a model", teacher=teacher)
    for model in opened:
        if not isinstance(model, TFLiteModel):
            check_teacher(student, model)
    return opened


def _opened(teacher):
    if not isinstance(teacher, str | os.PathLike):
        return teacher
    path = os.fspath(teacher)
    if path.endswith(".tflite"):
        return TFLiteModel(path)
    if path.endswith(".keras"):
        return keras.models.load_model(path)
    return checks.fail(
        '`teacher` must be a model, "ema", or a file that ends in .keras or .tflite',
        teacher=teacher,
    )


def _check_data(settings, student):
    if settings.augment is not None and not settings.data.are_arrays:
        checks.fail(
            "`augment` needs arrays as data",
            fix="Augment a data set yourself; teacher and student see each batch.",
            data=type(settings.data.x).__name__,
        )
    _, y = settings.data.first()
    if settings.loss is None and not student.compiled:
        check_targets(student, settings.data, y)
