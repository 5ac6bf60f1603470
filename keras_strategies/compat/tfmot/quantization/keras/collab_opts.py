"""`tfmot.quantization.keras.collab_opts` for Keras 3."""

from keras_strategies.compat.tfmot.quantization._schemes import (
    Default8BitClusterPreserveQuantizeScheme,
    Default8BitPrunePreserveQuantizeScheme,
)

__all__ = [
    "Default8BitClusterPreserveQuantizeScheme",
    "Default8BitPrunePreserveQuantizeScheme",
]
