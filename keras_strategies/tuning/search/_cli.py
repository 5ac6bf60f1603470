"""What the command line needs of KerasTuner, which only this subpackage imports."""

import keras_tuner
from keras_tuner.errors import FatalError

__all__ = ["FatalError", "is_hypermodel", "objective"]


def objective(name, direction):
    return keras_tuner.Objective(name, direction)


def is_hypermodel(value):
    return isinstance(value, keras_tuner.HyperModel)
