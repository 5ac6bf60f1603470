"""Augmentation of tables.

Layers for rows of numbers `(batch, features)`. They run in models, called directly and
in `tf.data` on every backend; `keras_strategies.augmentation` has the same names.
"""

from keras_strategies.augmentation.tabular.feature_dropout import FeatureDropout
from keras_strategies.augmentation.tabular.swap_noise import SwapNoise
from keras_strategies.augmentation.tabular.tabular_mix_up import TabularMixUp

__all__ = ["FeatureDropout", "SwapNoise", "TabularMixUp"]
