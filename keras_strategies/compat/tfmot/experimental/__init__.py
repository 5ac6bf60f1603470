"""`tfmot.experimental` for Keras 3."""

from keras_strategies.compat.tfmot.experimental import combine

__all__ = ["combine"]
