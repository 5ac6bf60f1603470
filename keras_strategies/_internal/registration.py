"""Registration of classes that a `.keras` file may contain."""

import keras

PACKAGE = "keras_strategies"


def serializable(cls):
    """Registers `cls` with Keras under the package name `keras_strategies`.

    `keras.models.load_model` imports modules by itself only for Keras's own
    packages, so every class that can stand in a saved model is registered when
    `keras_strategies` is imported.
    """
    return keras.saving.register_keras_serializable(package=PACKAGE)(cls)
