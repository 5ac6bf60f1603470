"""Numbers of a model as variables, so that another value needs no other program."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
from keras import ops

from keras_strategies._internal.interception import replacing
from keras_strategies._internal.keras_private.compiled_step import (
    HeldNumber,
    state_with,
    watching_steps,
)
from keras_strategies.training._programs.model_form import Number


def can_hold_numbers() -> bool:
    """Whether a compiled program takes variables that no layer owns as arguments.

    A program of TensorFlow refers to any variable. JAX takes the values of those that
    Keras lists as arguments, and any other value as a constant: they are listed while a
    model is fitted. Torch has no such program.
    """
    return keras.backend.backend() != "torch"


def runs_functions_eagerly() -> bool:
    """Whether TensorFlow runs its functions uncompiled, as for debugging."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return tf.config.functions_run_eagerly()


class HeldNumbers:
    """Variables in the place of the numbers of a model.

    They are there while a step is traced: callbacks, files and what else looks at the
    model find numbers.

    Args:
        model: A model of which nothing is traced yet.
        numbers: `{place: number}` of it.
    """

    def __init__(self, model: keras.Model, numbers: Mapping[str, Number]):
        self._model = model
        self._targets = {
            place: (number, HeldNumber(number.value, name=number.attribute))
            for place, number in numbers.items()
        }

    @property
    def variables(self) -> list[Any]:
        """The variables, and what is kept by those that are rates."""
        return self._variables(lambda number: True)

    def _variables(self, which):
        held = [held for number, held in self._targets.values() if which(number)]
        return [*held, *(variable.kept for variable in held)]

    def assign(self, numbers: Mapping[str, Number]) -> None:
        """Gives the model and its programs other numbers, of the same places."""
        for place, (own, _) in self._targets.items():
            # Not by setattr, which Keras tracks.
            own.owner.__dict__[own.attribute] = numbers[place].value
        self.take()

    def take(self) -> None:
        """Gives the programs the numbers that the model has now."""
        for (owner, attribute, _), held in self._targets.values():
            held.assign_number(owner.__dict__[attribute])

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Steps that are traced in the block use the variables: a fit."""
        if not self._targets:
            yield
            return
        model = self._model
        with contextlib.ExitStack() as stack:
            stack.enter_context(watching_steps(model, self._traced))
            if keras.backend.backend() == "jax":
                is_slot = lambda number: number.owner is model.optimizer  # noqa: E731
                slots = self._variables(is_slot)
                others = self._variables(lambda number: not is_slot(number))
                stack.enter_context(state_with(model, others, slots))
            yield

    def _traced(self, call: Callable[[], Any]) -> Any:
        with contextlib.ExitStack() as stack:
            for (owner, attribute, _), held in self._targets.values():
                if isinstance(owner, keras.layers.Dropout):
                    traced = _dropout(owner, held)
                    stack.enter_context(replacing(owner, "call", traced))
                else:
                    stack.enter_context(replacing(owner, attribute, held))
            return call()


def _dropout(layer, rate):
    """`call` of a `Dropout` with a variable rate: the same draws and roundings."""

    def call(inputs, training=False):
        if not training:
            return inputs
        shape = ops.shape(inputs)
        if layer.noise_shape is not None:
            pairs = zip(layer.noise_shape, shape, strict=True)
            shape = [size if own is None else own for own, size in pairs]
        seed, kept = layer.seed_generator, ops.cast(rate.kept, inputs.dtype)
        if keras.backend.backend() == "tensorflow":
            drawn = keras.random.uniform(shape, dtype=inputs.dtype, seed=seed)
            keep = ops.greater_equal(drawn, ops.cast(rate, inputs.dtype))
            scaled = inputs * kept
        else:
            drawn = keras.random.uniform(shape, dtype="float32", seed=seed)
            keep, scaled = ops.less(drawn, rate.kept), inputs / kept
        return ops.where(keep, scaled, ops.zeros_like(inputs))

    return call
