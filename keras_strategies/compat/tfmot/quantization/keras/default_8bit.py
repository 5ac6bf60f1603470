"""`tfmot.quantization.keras.default_8bit` for Keras 3."""

from keras_strategies.compat.tfmot.quantization._schemes import (
    Default8BitQuantizeLayoutTransform,
    Default8BitQuantizeRegistry,
    Default8BitQuantizeScheme,
    NoOpQuantizeConfig,
)

__all__ = [
    "Default8BitQuantizeLayoutTransform",
    "Default8BitQuantizeRegistry",
    "Default8BitQuantizeScheme",
    "NoOpQuantizeConfig",
]
