"""`tfmot.experimental.combine` for Keras 3: the combinations of techniques."""

import keras

from keras_strategies import compression
from keras_strategies.compat.tfmot.quantization._schemes import (
    Default8BitClusterPreserveQuantizeScheme,
    Default8BitPrunePreserveQuantizeScheme,
)

__all__ = [
    "Default8BitClusterPreserveQuantizeScheme",
    "Default8BitPrunePreserveQuantizeScheme",
    "strip_clustering_cqat",
]


def strip_clustering_cqat(to_strip: keras.Model) -> keras.Model:
    """Ends the preservation of clusters in a quantized model, in place; returns it."""
    return compression.strip(to_strip)
