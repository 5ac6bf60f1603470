"""What a compiled step of a model is made of: its key, its numbers and its state."""

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import keras

from keras_strategies._internal.keras_private.compiled_step import decays
from keras_strategies._internal.keras_private.step_blocks import is_distributed
from keras_strategies._internal.keras_private.training import compile_arguments
from keras_strategies._internal.references import is_of_library
from keras_strategies._internal.traversal import (
    all_layers,
    all_variables,
    optimizer_paths,
    optimizer_variables,
)
from keras_strategies.training._programs.description import (
    Description,
    NotUnderstoodError,
)

# Numbers of Keras's that a program can take as a variable, by class: these are read
# while a step is traced, and by Keras's own code nowhere else.
_NUMBERS = {
    "Dropout": ("rate",),
    "L1": ("l1",),
    "L2": ("l2",),
    "L1L2": ("l1", "l2"),
    **dict.fromkeys(
        ("SGD", "Adam", "AdamW", "Adamax", "Nadam", "RMSprop", "Adagrad", "Adadelta")
        + ("Lion", "Ftrl", "Lamb"),
        ("weight_decay", "momentum"),
    ),
}
_HELD = "<number>"
# Names by which code of the user's may read them too, and compute with constants.
_READERS = {"getattr", "vars", "__dict__", *sum(_NUMBERS.values(), ())}


class Number(NamedTuple):
    """A number in an attribute of a part of a model."""

    owner: Any
    attribute: str
    value: float


class ModelForm(NamedTuple):
    """What models that share a program have in common, and where they differ.

    Attributes:
        key: A hash of all that a compiled step is made of, without state and numbers.
        numbers: `{place: number}` of what a program can take as a variable: dropout
            rates, factors of regularizers, weight decay and momentum.
        state: The variables of model and optimizer, those too that Keras does not
            list, such as the state of a `tf.random.Generator`; in an order that models
            of one key share.
        has_own_code: Whether a part is of the user's code, which may do what is
            only seen while it is traced.
    """

    key: str
    numbers: dict[str, Number]
    state: list[Any]
    has_own_code: bool


def model_form(model: keras.Model, holds_numbers: bool = False) -> ModelForm:
    """Returns the form of a compiled, built model. Its optimizer is built by this.

    Layers, loss, metrics and optimizer are described by class, config and attributes:
    a config may leave out what a class of the user's computes with. Their code is part
    of it, with what it closes over and the globals that it names.

    Args:
        model: The model.
        holds_numbers: Whether numbers may be variables of a program; else they belong
            to the key, as they do where code of the user's may read them.

    Raises:
        NotUnderstoodError: If a part could compute with anything; the message names it.
    """
    if not model.built or model.optimizer is None:
        raise NotUnderstoodError("the model is not built and compiled")
    if is_distributed(model):
        raise NotUnderstoodError("training is distributed over devices")
    if not model.optimizer.built:  # built again, some make new variables
        model.optimizer.build(model.trainable_variables)
    reading = _Reading(model, holds_numbers)
    form = reading.form()
    if form.numbers and reading.text.own_names & _READERS:
        return _Reading(model, holds_numbers=False).form()
    return form


class _Reading:
    """The reading of one model."""

    def __init__(self, model, holds_numbers):
        self.model, self._holds = model, holds_numbers
        self.numbers: dict[str, Number] = {}
        self.text = Description(self._attribute)

    def form(self) -> ModelForm:
        model, text = self.model, self.text
        layers = [model, *all_layers(model)]
        for number, layer in enumerate(layers):
            text.number(layer)
            text.names.setdefault(layer.name, f"layer {number}")
        listed = [*all_variables(model), *optimizer_variables(model.optimizer)]
        compiled = compile_arguments(model)
        parts = [
            [[text.of(variable), bool(variable.trainable)] for variable in listed],
            [self._layer(layer, number) for number, layer in enumerate(layers)],
            text.of(model.optimizer, "optimizer"),
            [
                decays(path[0], model.trainable_variables)
                for path in optimizer_paths(model.optimizer)
            ],
            [
                self._compiled(compiled.get(name), name)
                for name in ("loss", "loss_weights", "metrics", "weighted_metrics")
            ],
            [model.jit_compile, model.run_eagerly, model.steps_per_execution],
            [keras.config.floatx(), keras.config.dtype_policy().name],
            self._constants(),
        ]
        key = hashlib.sha256(repr(parts).encode()).hexdigest()
        return ModelForm(key, self.numbers, text.variables, text.has_own_code)

    def _layer(self, layer, number):
        try:
            return self.text.layer(layer, str(number))
        except NotUnderstoodError as reason:
            raise NotUnderstoodError(f"{layer.name}: {reason}") from None

    def _constants(self):
        """Values of the variables that JAX takes as constants, as Keras lists none."""
        if keras.backend.backend() != "jax":
            return []
        model, text = self.model, self.text
        taken = {id(v) for v in [*model.variables, *model.optimizer.variables]}
        others = [v for v in text.variables if id(v) not in taken]
        return [text.of(keras.ops.convert_to_numpy(variable)) for variable in others]

    def _compiled(self, value, path):
        """Losses and metrics: of Keras's metrics, variables are made by `fit`."""
        text = self.text
        if isinstance(value, Mapping):
            items = sorted(value.items())
            return [[key, self._compiled(item, path)] for key, item in items]
        if isinstance(value, list | tuple):
            return [self._compiled(item, path) for item in value]
        if isinstance(value, keras.metrics.Metric) and is_of_library(type(value)):
            try:
                config = value.get_config()
            except NotImplementedError as error:  # `model.metrics` given to `compile`
                kind = type(value).__name__
                reason = f"the model is compiled with {kind}"
                raise NotUnderstoodError(reason) from error
            config = {k: v for k, v in config.items() if k != "name"}
            return [text.of(type(value), path), text.of(config, path)]
        return text.of(value, path)

    def _attribute(self, place, owner, name, value):
        """What is described in the place of an attribute: of a held number, a mark."""
        if not self._holds or not isinstance(value, float | int) or not value:
            return value
        if name not in _NUMBERS.get(_keras_name(owner), ()):
            return value
        is_optimizer = isinstance(owner, keras.optimizers.Optimizer)
        if is_optimizer and owner is not self.model.optimizer:
            return value  # what is around it may compute with its numbers
        self.numbers[place] = Number(owner, name, float(value))
        return _HELD


def _keras_name(owner):
    """The name of a class of Keras's, `None` of another one."""
    kind = type(owner)
    for room in (keras.layers, keras.regularizers, keras.optimizers):
        if getattr(room, kind.__name__, None) is kind:
            return kind.__name__
    return None
