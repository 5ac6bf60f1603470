"""Data augmentation.

`RandomAffine` is a layer that does all geometric operations in one resample.
`ImageDataGenerator` feeds `fit` with augmented images from arrays, directories and data
frames, on the processor.
"""

from keras_strategies.augmentation.image_data_generator import ImageDataGenerator
from keras_strategies.augmentation.random_affine import RandomAffine

__all__ = ["ImageDataGenerator", "RandomAffine"]
