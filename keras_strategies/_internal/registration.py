"""Registration of serializable classes and functions with Keras."""

from typing import TypeVar

import keras

PACKAGE = "keras_strategies"
_T = TypeVar("_T")


def serializable(cls: _T) -> _T:
    """Registers a class or function with Keras for saving and loading.

    Its registered name begins with the package name `keras_strategies`.
    `keras.models.load_model` imports modules by itself only for Keras's own packages,
    so every class that can be part of a saved model is registered when
    `keras_strategies` is imported.
    """
    return keras.saving.register_keras_serializable(package=PACKAGE)(cls)
