"""Numbers of a model as variables, so that another value needs no other program."""

import contextlib
from collections.abc import Iterator, Mapping

import keras
from keras import ops

from keras_strategies._internal.interception import replacing
from keras_strategies._internal.keras_private.compiled_step import HeldNumber
from keras_strategies.training._programs.model_form import Number


def can_hold_numbers() -> bool:
    """Whether a compiled program takes variables that no layer owns as arguments.

    A program of TensorFlow refers to any variable. JAX takes the values of those that
    Keras lists as arguments, and any other value as a constant.
    """
    return keras.backend.backend() == "tensorflow"


def runs_functions_eagerly() -> bool:
    """Whether TensorFlow runs its functions uncompiled, as for debugging."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return tf.config.functions_run_eagerly()


class HeldNumbers:
    """Variables in the place of the numbers of a model.

    Args:
        numbers: `{place: number}` of a model of which nothing is traced yet.
    """

    def __init__(self, numbers: Mapping[str, Number]):
        self._targets = {
            place: (number, HeldNumber(number.value, name=number.attribute))
            for place, number in numbers.items()
        }

    @property
    def variables(self) -> list[keras.Variable]:
        """The variables, and the scales of what is a rate."""
        held = [held for _, held in self._targets.values()]
        return [*held, *(variable.scale for variable in held)]

    def assign(self, numbers: Mapping[str, Number]) -> None:
        """Gives the model and its programs other numbers, of the same places."""
        for place, (own, held) in self._targets.items():
            # Not by setattr, which Keras tracks.
            own.owner.__dict__[own.attribute] = numbers[place].value
            held.assign_number(numbers[place].value)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """The variables are in their places inside the block: a fit."""
        with contextlib.ExitStack() as stack:
            for (owner, attribute, _), held in self._targets.values():
                if isinstance(owner, keras.layers.Dropout):
                    call = _dropout(owner, held)
                    stack.enter_context(replacing(owner, "call", call))
                else:
                    stack.enter_context(replacing(owner, attribute, held))
            yield


def _dropout(layer, rate):
    """`call` of a `Dropout` with a variable rate: the same draws and roundings."""

    def call(inputs, training=False):
        if not training:
            return inputs
        shape = ops.shape(inputs) if layer.noise_shape is None else layer.noise_shape
        drawn = keras.random.uniform(
            shape, dtype=inputs.dtype, seed=layer.seed_generator
        )
        keep = ops.greater_equal(drawn, ops.cast(rate, inputs.dtype))
        scaled = inputs * ops.cast(rate.scale, inputs.dtype)
        return ops.where(keep, scaled, ops.zeros_like(inputs))

    return call
