"""`tfmot.quantization.keras.experimental` for Keras 3."""

from keras_strategies.compat.tfmot.quantization.keras.experimental import default_n_bit

__all__ = ["default_n_bit"]
