"""Hypermodel over a compiled model: its training, and changes of its layers."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import keras
import keras_tuner

from keras_strategies._internal import checks
from keras_strategies._internal.traversal import base_optimizers
from keras_strategies.tuning._space import ranges
from keras_strategies.tuning.hypermodels import _task
from keras_strategies.tuning.hypermodels._compiling import compile_like, make_optimizer
from keras_strategies.tuning.hypermodels._rewrite import (
    Changes,
    check_rewritable,
    rewrite,
)
from keras_strategies.tuning.hypermodels._tuned_fit import TunedFit

PENALTIES = ("none", "l1", "l2", "l1_l2")
BATCH_NORMALIZATION_POSITIONS = ("off", "before", "after")
INITIALIZERS = (
    "glorot_uniform",
    "glorot_normal",
    "he_uniform",
    "he_normal",
    "lecun_uniform",
    "lecun_normal",
    "orthogonal",
    "random_normal",
    "random_uniform",
    "truncated_normal",
    "variance_scaling",
)
_FLIPS = ("none", "horizontal", "vertical", "horizontal_and_vertical")
# hyperparameter -> arguments of RandomAffine
_AUGMENTATIONS = {
    "rotation": ("rotation_factor",),
    "translation": ("translation_height_factor", "translation_width_factor"),
    "shear": ("shear_x_factor", "shear_y_factor"),
    "zoom": ("zoom_height_factor",),
}


#: One strength, or ranges and choices by the names of `HyperAugment`.
Augmentation: TypeAlias = (
    ranges.FloatRange | Mapping[str, ranges.FloatRange | ranges.Names]
)


def default_model(
    input_shape: Any, classes: int | None, task: str, width: float = 1.0
) -> keras.Model:
    """The network to vary if the user has none: small, compiled with Adam.

    Args:
        input_shape: Shape of one example.
        classes: Number of classes or of values to predict.
        task: The task.
        width: Factor on the numbers of filters and units.
    """
    shape = _task.check_input_shape(input_shape)
    outputs = _task.num_outputs(checks.choice("task", task, _task.TASKS), classes)
    activation, loss, metric = _task.HEADS[task]
    x = inputs = keras.Input(shape)
    if len(shape) == 3:
        for filters in (32, 64):
            filters = max(round(width * filters), 1)
            x = keras.layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
            if min(shape[:2]) > 4:
                x = keras.layers.MaxPooling2D()(x)
    if len(shape) > 1:
        x = keras.layers.Flatten()(x)
    for _ in range(1 if len(shape) == 3 else 2):
        x = keras.layers.Dense(max(round(width * 64), 1), activation="relu")(x)
    x = keras.layers.Dense(outputs, activation=activation, dtype="float32")(x)
    model = keras.Model(inputs, x)
    model.compile("adam", loss, metrics=[metric])
    return model


def model_or_default(
    model: keras.Model | None, input_shape: Any, classes: int | None, task: str
) -> keras.Model:
    """The model to vary; `input_shape` and `classes` are for the default one."""
    if model is None:
        if input_shape is None:
            checks.fail(
                "Either `input_shape` (and `classes`) or a compiled `model` is needed",
                input_shape=None,
                model=None,
            )
        return default_model(input_shape, classes, task)
    if input_shape is not None or classes is not None:
        checks.fail(
            "`input_shape` and `classes` are for the default network",
            fix="Leave them out, the model has them.",
            input_shape=input_shape,
            classes=classes,
        )
    return model


class TunedModel(TunedFit):
    """Varies `model`. Every range may be `None`: not searched, as it is in the model.

    `augmentation` is a range of one strength, or a dict of ranges by the names of
    `_AUGMENTATIONS` and choices under `"flip"`.
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        optimizer: ranges.Names | None = None,
        learning_rate: ranges.FloatRange | None = None,
        schedule: ranges.Names | None = None,
        batch_size: ranges.IntRange | None = None,
        epochs: ranges.IntRange | None = None,
        activation: ranges.Names | None = None,
        initializer: ranges.Names | None = None,
        regularization: ranges.Names | None = None,
        l1: ranges.FloatRange | None = (1e-6, 1e-2),
        l2: ranges.FloatRange | None = (1e-6, 1e-2),
        dropout: ranges.FloatRange | None = None,
        batch_normalization: ranges.Names | None = None,
        augmentation: Augmentation | None = None,
        keep_weights: bool = False,
        name: str | None = None,
        tunable: bool = True,
    ) -> None:
        self.model: keras.Model = _check_compiled(model)
        self.keep_weights: bool = checks.boolean("keep_weights", keep_weights)
        names = ranges.names
        self.optimizer: tuple[str, ...] | None = _optional(
            "optimizer", optimizer, names, _task.optimizers()
        )
        self.learning_rate: tuple[float, float] | None = _optional(
            "learning_rate", learning_rate, ranges.positive_range
        )
        self.activation: tuple[str, ...] | None = _optional(
            "activation", activation, names, _task.activations()
        )
        self.initializer: tuple[str, ...] | None = _optional(
            "initializer", initializer, names, INITIALIZERS
        )
        self.regularization: tuple[str, ...] | None = _optional(
            "regularization", regularization, names, PENALTIES
        )
        self.l1: tuple[float, float] | None = _optional("l1", l1, ranges.positive_range)
        self.l2: tuple[float, float] | None = _optional("l2", l2, ranges.positive_range)
        self.dropout: tuple[float, float] | None = _optional(
            "dropout", dropout, ranges.fraction_range
        )
        self.batch_normalization: tuple[str, ...] | None = _optional(
            "batch_normalization",
            batch_normalization,
            names,
            BATCH_NORMALIZATION_POSITIONS,
        )
        self.augmentation: Any = _check_augmentation(augmentation)
        # Here and not in the first trial, whose error would be recorded only.
        check_rewritable(model, self._minimal_changes())
        super().__init__(batch_size, epochs, schedule, name, tunable)

    def _minimal_changes(self) -> Changes:
        """Changes of the same kinds as those of any trial."""
        return Changes(
            activation=self.activation and self.activation[0],
            initializer=self.initializer and self.initializer[0],
            penalty=self.regularization and (0.0, 0.0),
            dropout=None if self.dropout is None else 0.0,
            batch_normalization=self.batch_normalization
            and self.batch_normalization[0],
            augmentation=None if self.augmentation is None else {},
        )

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        values = self._sample(hp)
        source = self._source(values)
        model = rewrite(source, values["changes"], self.keep_weights)
        compile_like(model, self.model, optimizer=self._make_optimizer(values))
        if model.built:
            # So that the weights a tuner saved find the optimizer's variables.
            model.optimizer.build(model.trainable_variables)
        return model

    def _source(self, values: dict[str, Any]) -> keras.Model:
        """The model to copy; the values of the trial may choose it."""
        return self.model

    def _make_optimizer(self, values: dict[str, Any]) -> keras.optimizers.Optimizer:
        settings = values["optimizer_settings"]
        if values["optimizer"] is not None:
            return make_optimizer(values["optimizer"], settings)
        optimizers = base_optimizers(self.model.optimizer)
        if not settings:
            return make_optimizer(self.model.optimizer)
        if len(optimizers) > 1:
            checks.fail(
                "The model must have one optimizer to search its learning rate",
                fix="Pass learning_rate=None, or optimizer= with names.",
                optimizer=self.model.optimizer.name,
            )
        return make_optimizer(optimizers[0], settings)

    def _sample(self, hp: keras_tuner.HyperParameters) -> dict[str, Any]:
        values: dict[str, Any] = {"changes": self._sample_changes(hp)}
        values["optimizer"] = None
        if self.optimizer is not None:
            values["optimizer"] = ranges.sample_choice(hp, "optimizer", self.optimizer)
        values["optimizer_settings"] = self._sample_optimizer(hp, values["optimizer"])
        values.update(self._sample_fit(hp))
        return values

    def _sample_optimizer(
        self, hp: keras_tuner.HyperParameters, optimizer: str | None
    ) -> dict[str, Any]:
        """Declares the settings of the optimizer; those of this trial."""
        if self.learning_rate is None:
            return {}
        learning_rate = ranges.sample_float(
            hp, "learning_rate", self.learning_rate, "log"
        )
        return {"learning_rate": learning_rate}

    def _sample_changes(self, hp: keras_tuner.HyperParameters) -> Changes:
        changes = Changes()
        for name in ("activation", "initializer", "batch_normalization"):
            if getattr(self, name) is not None:
                value = ranges.sample_choice(hp, name, getattr(self, name))
                setattr(changes, name, value)
        if self.regularization is not None:
            changes.penalty = self._sample_penalty(hp, self.regularization)
        if self.dropout is not None:
            changes.dropout = ranges.sample_float(hp, "dropout", self.dropout)
        if self.augmentation is not None:
            changes.augmentation = _sample_augmentation(hp, self.augmentation)
        return changes

    def _sample_penalty(
        self, hp: keras_tuner.HyperParameters, penalties: tuple[str, ...]
    ) -> tuple[float, ...]:
        """Declares the kind of penalty and its factors; `(l1, l2)` of this trial."""
        kind = ranges.sample_choice(hp, "regularization", penalties)
        factors = []
        for name in ("l1", "l2"):
            # The factor is in the scope of the kinds that have it.
            kinds = [k for k in penalties if name in k.split("_")]
            value = 0.0
            if kinds and len(penalties) > 1:
                with hp.conditional_scope("regularization", kinds):
                    value = ranges.sample_float(hp, name, getattr(self, name), "log")
            elif kinds:
                value = ranges.sample_float(hp, name, getattr(self, name), "log")
            factors.append(value if kind in kinds else 0.0)
        return tuple(factors)


def _check_compiled(model: Any) -> keras.Model:
    checks.instance("model", model, keras.Model)
    if not model.compiled:
        checks.fail(
            "`model` must be compiled",
            fix="Its loss, its metrics and what is not searched are kept.",
            model=model.name,
        )
    return model


def _optional(name: str, value: Any, check: Callable[..., Any], *args: Any) -> Any:
    return None if value is None else check(name, value, *args)


def _check_augmentation(value: Any) -> Any:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        return ranges.float_range("augmentation", value, low=0, high=0.5)
    checked: dict[str, Any] = {}
    for name, bounds in value.items():
        if name == "flip":
            checked[name] = ranges.names(name, bounds, _FLIPS)
        else:
            checks.choice("augmentation", name, (*_AUGMENTATIONS, "flip"))
            checked[name] = ranges.float_range(name, bounds, low=0, high=0.5)
    return checked


def _sample_augmentation(
    hp: keras_tuner.HyperParameters, augmentation: Any
) -> dict[str, Any]:
    """Declares the augmentation; the arguments of `RandomAffine` of this trial."""
    if not isinstance(augmentation, dict):
        strength = ranges.sample_float(hp, "augmentation", augmentation)
        # Of a full turn: a strength of 0.2 turns by up to 18 degrees.
        arguments = {"rotation_factor": strength / 4, "fill_mode": "nearest"}
        for name in ("translation", "shear", "zoom"):
            arguments |= dict.fromkeys(_AUGMENTATIONS[name], strength)
        return arguments
    arguments = {"fill_mode": "nearest"}
    for name, bounds in augmentation.items():
        if name == "flip":
            flip = ranges.sample_choice(hp, name, bounds)
            arguments["flip_mode"] = None if flip == "none" else flip
        else:
            value = ranges.sample_float(hp, name, bounds)
            arguments |= dict.fromkeys(_AUGMENTATIONS[name], value)
    return arguments
