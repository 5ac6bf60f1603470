"""Pruning under TFMOT's names."""

from keras_strategies.compat.tfmot.sparsity import keras

__all__ = ["keras"]
