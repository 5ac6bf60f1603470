"""A hypermodel over a compiled model: its training, and changes of its layers."""

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.walking import base_optimizers
from keras_strategies.tuning._space import ranges as _ranges
from keras_strategies.tuning.hypermodels import _task
from keras_strategies.tuning.hypermodels._compiling import compile_like, make_optimizer
from keras_strategies.tuning.hypermodels._rewrite import (
    Changes,
    check_rewritable,
    rewrite,
)
from keras_strategies.tuning.hypermodels._tuned_fit import TunedFit

PENALTIES = ("none", "l1", "l2", "l1_l2")
PLACES = ("off", "before", "after")
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
# Hyperparameter -> arguments of RandomAffine
AUGMENTATIONS = {
    "rotation": ("rotation_factor",),
    "translation": ("translation_height_factor", "translation_width_factor"),
    "shear": ("shear_x_factor", "shear_y_factor"),
    "zoom": ("zoom_height_factor",),
}


def default_model(input_shape, classes, task, width=1.0):
    """The network to vary where none is given: small, compiled with Adam."""
    shape = _task.input_shape(input_shape)
    outputs = _task.outputs(checks.choice("task", task, _task.TASKS), classes)
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


def given_or_default(model, input_shape, classes, task):
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
    `AUGMENTATIONS` and choices under `"flip"`.
    """

    def __init__(
        self,
        model,
        *,
        optimizer=None,
        learning_rate=None,
        schedule=None,
        batch_size=None,
        epochs=None,
        activation=None,
        initializer=None,
        regularization=None,
        l1=(1e-6, 1e-2),
        l2=(1e-6, 1e-2),
        dropout=None,
        batch_normalization=None,
        augmentation=None,
        keep_weights=False,
        name=None,
        tunable=True,
    ):
        self.model = _compiled(model)
        self.keep_weights = checks.boolean("keep_weights", keep_weights)
        self._set("optimizer", optimizer, _ranges.names, _task.optimizers())
        self.learning_rate = _positive("learning_rate", learning_rate)
        self._set("activation", activation, _ranges.names, _task.activations())
        self._set("initializer", initializer, _ranges.names, INITIALIZERS)
        self._set("regularization", regularization, _ranges.names, PENALTIES)
        self.l1, self.l2 = _positive("l1", l1), _positive("l2", l2)
        rate = {"low": 0, "high": 1, "high_open": True}
        self.dropout = dropout
        if dropout is not None:
            self.dropout = _ranges.float_range("dropout", dropout, **rate)
        self._set("batch_normalization", batch_normalization, _ranges.names, PLACES)
        self.augmentation = _augmentation(augmentation)
        check_rewritable(model, self._lowest())
        super().__init__(batch_size, epochs, schedule, name, tunable)

    def _set(self, name, value, check, known):
        setattr(self, name, value if value is None else check(name, value, known))

    def _lowest(self):
        """Changes of the same kinds as any trial's."""
        return Changes(
            activation=self.activation and self.activation[0],
            initializer=self.initializer and self.initializer[0],
            penalty=self.regularization and (0.0, 0.0),
            dropout=None if self.dropout is None else 0.0,
            batch_normalization=self.batch_normalization
            and self.batch_normalization[0],
            augmentation=None if self.augmentation is None else {},
        )

    def build(self, hp):
        values = self._sample(hp)
        source = self._source(values)
        model = rewrite(source, values["changes"], self.keep_weights)
        compile_like(model, self.model, optimizer=self._optimizer(values))
        if model.built:
            # So that the weights a tuner saved find the optimizer's variables.
            model.optimizer.build(model.trainable_variables)
        return model

    def _source(self, values):
        return self.model

    def _optimizer(self, values):
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

    def _sample(self, hp):
        values = {"changes": self._sample_changes(hp)}
        values["optimizer"] = None
        if self.optimizer is not None:
            values["optimizer"] = _ranges.sample_name(hp, "optimizer", self.optimizer)
        values["optimizer_settings"] = self._sample_optimizer(hp, values["optimizer"])
        values.update(self._sample_fit(hp))
        return values

    def _sample_optimizer(self, hp, optimizer):
        """Declares what the optimizer gets, and returns it."""
        if self.learning_rate is None:
            return {}
        rate = _ranges.sample_float(hp, "learning_rate", self.learning_rate, "log")
        return {"learning_rate": rate}

    def _sample_changes(self, hp):
        changes = Changes()
        for name in ("activation", "initializer", "batch_normalization"):
            if getattr(self, name) is not None:
                value = _ranges.sample_name(hp, name, getattr(self, name))
                setattr(changes, name, value)
        if self.regularization is not None:
            changes.penalty = self._sample_penalty(hp)
        if self.dropout is not None:
            changes.dropout = _ranges.sample_float(hp, "dropout", self.dropout)
        if self.augmentation is not None:
            changes.augmentation = _sample_augmentation(hp, self.augmentation)
        return changes

    def _sample_penalty(self, hp):
        kind = _ranges.sample_name(hp, "regularization", self.regularization)
        factors = []
        for name in ("l1", "l2"):
            kinds = [k for k in self.regularization if name in k.split("_")]
            value = 0.0
            if kinds and len(self.regularization) > 1:
                with hp.conditional_scope("regularization", kinds):
                    value = _ranges.sample_float(hp, name, getattr(self, name), "log")
            elif kinds:
                value = _ranges.sample_float(hp, name, getattr(self, name), "log")
            factors.append(value if kind in kinds else 0.0)
        return tuple(factors)


def _compiled(model):
    checks.instance("model", model, keras.Model)
    if not model.compiled:
        checks.fail(
            "`model` must be compiled",
            fix="Its loss, its metrics and what is not searched are kept.",
            model=model.name,
        )
    return model


def _positive(name, value):
    if value is None:
        return None
    return _ranges.float_range(name, value, low=0, low_open=True)


def _augmentation(value):
    if value is None or not isinstance(value, dict):
        if value is None:
            return None
        return _ranges.float_range("augmentation", value, low=0, high=0.5)
    ranges = {}
    for name, bounds in value.items():
        if name == "flip":
            ranges[name] = _ranges.names(name, bounds, _FLIPS)
        else:
            checks.choice("augmentation", name, (*AUGMENTATIONS, "flip"))
            ranges[name] = _ranges.float_range(name, bounds, low=0, high=0.5)
    return ranges


def _sample_augmentation(hp, ranges):
    if not isinstance(ranges, dict):
        strength = _ranges.sample_float(hp, "augmentation", ranges)
        # Of a full turn: a strength of 0.2 turns by up to 18 degrees.
        arguments = {"rotation_factor": strength / 4, "fill_mode": "nearest"}
        for name in ("translation", "shear", "zoom"):
            arguments |= dict.fromkeys(AUGMENTATIONS[name], strength)
        return arguments
    arguments = {"fill_mode": "nearest"}
    for name, bounds in ranges.items():
        if name == "flip":
            flip = _ranges.sample_name(hp, name, bounds)
            arguments["flip_mode"] = None if flip == "none" else flip
        else:
            value = _ranges.sample_float(hp, name, bounds)
            arguments |= dict.fromkeys(AUGMENTATIONS[name], value)
    return arguments
