"""Weight clustering under TFMOT's names."""

from keras_strategies.compat.tfmot.clustering import keras

__all__ = ["keras"]
