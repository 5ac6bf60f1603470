"""What a compiled training step takes from the objects it is traced with."""

from typing import Any

import keras


def excludes_from_weight_decay(optimizer: Any) -> bool:
    """Whether some variables were excluded from weight decay.

    `exclude_from_weight_decay` leaves no public trace, in no config either. Keras 3.12
    to 3.15.
    """
    names = ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern")
    return any(getattr(optimizer, name, None) for name in names)


class HeldNumber(keras.Variable):
    """A number that is a variable, in the place of a Python number.

    Keras asks its numbers `momentum != 0`, `rate > 0` or `l1 != 0.0` while a step is
    traced, to leave out what a 0 makes needless. That has to be answered by Python: a
    held number is never 0. The inverse of what a dropout keeps is computed in double
    precision, as Keras does. Keras 3.12 to 3.15.
    """

    def __init__(self, number, name):
        super().__init__(number, dtype="float32", trainable=False, name=name)
        # Not by setattr: Keras tracks variables in attributes of variables.
        scale = keras.Variable(_scale(number), dtype="float32", trainable=False)
        self.__dict__["scale"] = scale

    def assign_number(self, number: float) -> None:
        """Takes another value, and the scale that belongs to it as a rate."""
        self.assign(number)
        self.__dict__["scale"].assign(_scale(number))

    def __eq__(self, other):
        return self is other

    def __ne__(self, other):
        return self is not other

    def __gt__(self, other):
        return True

    __hash__ = keras.Variable.__hash__


def _scale(rate):
    return 1 / (1 - rate) if 0 <= rate < 1 else 1.0
