"""A distillation in one go: stored answers, training, measuring."""

import dataclasses
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import compile_arguments, output_structure
from keras_strategies.export import TFLiteModel
from keras_strategies.training._data.memory import fits_in_memory, float_bytes
from keras_strategies.training._distill import evaluation, stored
from keras_strategies.training._distill import outputs as output_kinds
from keras_strategies.training._distill.distillation_trainer import DistillationTrainer
from keras_strategies.training._distill.projections import channels_of
from keras_strategies.training._fine_tune.data import (
    Data,
    default_loss,
    last_activations,
)


@dataclasses.dataclass
class Settings:
    """The checked arguments of `distill`."""

    teachers: list[Any] | str
    data: Data
    validation: Data | None
    epochs: int
    batch_size: int
    optimizer: Any
    loss: Any
    metrics: Any
    cache_teacher: Any
    augment: Any
    augment_rounds: int | None
    class_weight: Any
    callbacks: list[Any]
    seed: int | None
    verbose: Any
    options: dict[str, Any]


class Run:
    """Builds the trainer, trains it and measures what came of it."""

    def __init__(self, student: keras.Model, settings: Settings):
        self.student, self.settings, self.notes = student, settings, []
        self.compile_arguments = self._arguments()
        self.respondents: list[stored.Respondent] = []

    def _arguments(self):
        settings, student = self.settings, self.student
        given = compile_arguments(student) if student.compiled else {}
        optimizer = settings.optimizer or given.get("optimizer") or "adam"
        # A copy: an optimizer keeps the variables it was built for, and its moments.
        given["optimizer"] = _fresh(optimizer)
        if settings.loss is not None or "loss" not in given:
            _, y = settings.data.first()
            given["loss"] = settings.loss or default_loss(student, y)
        if settings.metrics is not None:
            given["metrics"] = settings.metrics
        return given

    def kinds(self) -> list[Any]:
        """What each output of the student is."""
        outputs = getattr(self.student, "outputs", None)
        structure = output_structure(self.student) if outputs else [None]
        names = output_kinds.output_names(self.student)
        return output_kinds.kinds_of(
            self.compile_arguments["loss"],
            structure,
            names,
            last_activations(self.student),
        )

    def train(self) -> Any:
        """Trains the student; returns the trainer and its history."""
        settings = self.settings
        data, trainer = self._stored()
        if trainer is None:
            trainer = DistillationTrainer(
                self.student, settings.teachers, **settings.options
            )
            data = self._plain()
        trainer.compile(**self.compile_arguments)
        if settings.seed is not None:
            keras.utils.set_random_seed(settings.seed)
        if settings.validation is not None:
            data["validation_data"] = settings.validation.validation_argument()
        if settings.class_weight is not None:
            data["class_weight"] = settings.class_weight
        done = trainer.fit(
            **data,
            epochs=settings.epochs,
            callbacks=settings.callbacks,
            verbose=settings.verbose,
        )
        history = {
            name: [float(value) for value in values]
            for name, values in done.history.items()
        }
        return trainer, history

    def _plain(self):
        settings = self.settings
        if settings.augment is not None:
            data = self._augmented([], settings.augment_rounds)
            return {"x": data, "shuffle": False}  # it has an order of its own
        return settings.data.fit_arguments(settings.batch_size)

    def _augmented(self, respondents, rounds):
        data, settings = self.settings.data, self.settings
        rest = [v for v in (data.y, data.sample_weight) if v is not None]
        seed = 0 if settings.seed is None else settings.seed
        return stored.AugmentedData(
            *(data.x, rest, settings.augment, respondents, rounds),
            *(settings.batch_size, seed),
        )

    def _stored(self):
        """`(data, trainer)` with stored answers, or `(None, None)`."""
        settings = self.settings
        problem = self._why_not_stored()
        if problem is not None:
            if settings.cache_teacher is True or self._has_file():
                checks.fail(
                    f"The teacher's answers cannot be stored: {problem}",
                    cache_teacher=settings.cache_teacher,
                )
            return None, None
        pairs = settings.options["layers"] or []
        self.respondents = [
            stored.Respondent(teacher, self.student, pairs)
            for teacher in settings.teachers
        ]
        sample = self._sample()
        if settings.augment is None:
            size = settings.batch_size
            answers = [r.answer(settings.data.x, size) for r in self.respondents]
            arguments = settings.data.fit_arguments(size)
            arguments["x"] = stored.joined(arguments["x"], answers)
        else:
            # Without rounds each epoch has images, and so answers, of its own.
            rounds = settings.augment_rounds or settings.epochs
            data = self._augmented(self.respondents, rounds)
            arguments = {"x": data, "shuffle": False}
        self.notes.append("The answers of the teacher were computed once and stored.")
        return arguments, self._trainer_of_stored(sample)

    def _why_not_stored(self):
        settings = self.settings
        must = settings.cache_teacher is True or self._has_file()
        # First what can never be stored, then what the caller chose, then what would
        # not pay.
        if isinstance(settings.teachers, str):
            return "a moving average changes in each step"
        if settings.cache_teacher is False and not self._has_file():
            return "cache_teacher=False"
        if not settings.data.are_arrays:
            return "the data are no arrays"
        if must:
            return None
        if settings.augment is not None:
            return "the data are augmented"
        if settings.epochs < 2:
            return "there is one epoch"
        if settings.options["layers"]:
            return "features take much memory"
        return None if self._fits() else "they would not fit into memory"

    def _has_file(self):
        teachers = self.settings.teachers
        return not isinstance(teachers, str) and any(
            isinstance(teacher, TFLiteModel) for teacher in teachers
        )

    def _fits(self):
        shapes = output_kinds.shapes_of(self.student)
        if shapes is None:
            return False
        count = self.settings.data.samples * len(self.settings.teachers)
        nbytes = float_bytes((shape[1:] for shape in shapes), count)
        return nbytes is not None and fits_in_memory(nbytes)

    def _sample(self):
        """Answers to a few samples: what kind of numbers they are, their channels."""
        x = keras.tree.map_structure(lambda v: v[:32], self.settings.data.x)
        found = [respondent.answer(x, 32) for respondent in self.respondents]
        shapes = output_kinds.shapes_of(self.student)
        for answers in found:
            own = [np.shape(value) for value in answers["outputs"]]
            output_kinds.check_same(shapes, own)
        return found

    def _trainer_of_stored(self, sample):
        kinds, options = self.kinds(), dict(self.settings.options)
        if options["teacher_from_logits"] is None:
            options["teacher_from_logits"] = [
                respondent.gives_logits(answers, kinds)
                for respondent, answers in zip(self.respondents, sample, strict=True)
            ]
        if options["teacher_weights"] is None:
            count = len(self.respondents)
            options["teacher_weights"] = [1.0 / count] * count
        if "hints" in _names(options["kind"]):
            options["feature_sizes"] = [
                channels_of(value.shape) for value in sample[0]["features"]
            ]
        return DistillationTrainer(self.student, "cached", **options)

    def measure(self, name: str, model: Any) -> dict[str, Any]:
        """A row of the result."""
        is_file = isinstance(model, TFLiteModel)
        parameters = None if is_file else int(model.count_params())
        row: dict[str, Any] = {"model": name, "parameters": parameters}
        validation = self.settings.validation
        if validation is None or not validation.are_arrays:
            return row
        respondent = stored.Respondent(model, self.student, [])
        answers = respondent.answer(validation.x, self.settings.batch_size)
        kinds = self.kinds()
        if model is self.student:
            values = answers["outputs"]
        else:
            from_logits = respondent.gives_logits(answers, kinds)
            values = evaluation.in_the_students_form(
                answers["outputs"], kinds, from_logits
            )
        targets = {"y": validation.y, "sample_weight": validation.sample_weight}
        figures = evaluation.evaluate_outputs(
            values, self.student, targets, self.compile_arguments
        )
        return row | {key: float(value) for key, value in figures.items()}


def _fresh(optimizer):
    """A new optimizer like one that may be in use already."""
    optimizer = keras.optimizers.get(optimizer)
    return type(optimizer).from_config(optimizer.get_config())


def _names(kind):
    return [kind] if isinstance(kind, str) else list(kind)
