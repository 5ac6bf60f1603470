"""Quantization-aware training under TFMOT's names."""

from keras_strategies.compat.tfmot.quantization import keras

__all__ = ["keras"]
