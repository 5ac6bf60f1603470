"""Augmentation of signals and other sequences.

Layers for arrays `(batch, time, channels)`: windows of sensors, spectrograms,
embeddings. They run in models, called directly and in `tf.data` on every backend;
`keras_strategies.augmentation` has the same names.
"""

from keras_strategies.augmentation.signal.random_jitter import RandomJitter
from keras_strategies.augmentation.signal.random_magnitude_scale import (
    RandomMagnitudeScale,
)
from keras_strategies.augmentation.signal.random_time_shift import RandomTimeShift
from keras_strategies.augmentation.signal.random_time_warp import RandomTimeWarp
from keras_strategies.augmentation.signal.random_window_slice import RandomWindowSlice
from keras_strategies.augmentation.signal.sequence_mix_up import SequenceMixUp
from keras_strategies.augmentation.signal.spec_augment import SpecAugment

__all__ = [
    "RandomJitter",
    "RandomMagnitudeScale",
    "RandomTimeShift",
    "RandomTimeWarp",
    "RandomWindowSlice",
    "SequenceMixUp",
    "SpecAugment",
]
