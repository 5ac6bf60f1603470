"""Data augmentation.

`RandomAffine` is a layer that does all geometric operations in one resample.
"""

from keras_strategies.augmentation.random_affine import RandomAffine

__all__ = ["RandomAffine"]
