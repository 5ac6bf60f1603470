"""`tfmot.quantization.keras.experimental.default_n_bit` for Keras 3."""

from keras_strategies.compat.tfmot.quantization._schemes import (
    DefaultNBitQuantizeScheme,
)

__all__ = ["DefaultNBitQuantizeScheme"]
