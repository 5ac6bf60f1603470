"""Numbers of a model as variables, so that another value needs no other program."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import keras
from keras import ops

from keras_strategies._internal.interception import replacing
from keras_strategies._internal.keras_private.compiled_step import HeldNumber
from keras_strategies._internal.traversal import all_layers
from keras_strategies.training._reuse.structure import regularizers_of


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
        model: The model, before anything of it is traced.
        numbers: `{place: number}`, from `structure`.
    """

    def __init__(self, model: keras.Model, numbers: Mapping[str, float]):
        layers = all_layers(model)
        self._targets: dict[str, tuple[Any, str, HeldNumber]] = {}
        for place, number in numbers.items():
            owner, _, attribute = place.rpartition(".")
            held = HeldNumber(number, name=attribute)
            if owner == "optimizer":
                thing = model.optimizer
            else:
                position, _, kind = owner.partition(".")
                layer = layers[int(position)]
                thing = dict(regularizers_of(layer))[kind] if kind else layer
            self._targets[place] = thing, attribute, held

    def assign(self, numbers: Mapping[str, float]) -> None:
        """Gives the model and its programs other numbers, of the same places."""
        for place, number in numbers.items():
            thing, attribute, held = self._targets[place]
            # Not by setattr, which Keras tracks.
            thing.__dict__[attribute] = number
            held.assign_number(number)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """The variables are in their places inside the block: a fit."""
        with contextlib.ExitStack() as stack:
            for thing, attribute, held in self._targets.values():
                if isinstance(thing, keras.layers.Dropout):
                    call = _dropout(thing, held)
                    stack.enter_context(replacing(thing, "call", call))
                else:
                    stack.enter_context(replacing(thing, attribute, held))
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
