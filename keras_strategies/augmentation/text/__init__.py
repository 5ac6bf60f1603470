"""Augmentation of texts; the public names are in `keras_strategies.augmentation`."""
