"""`tensorflow_model_optimization.python.core.keras.compat`: Keras 3 in its place."""

import keras

__all__ = ["keras"]
