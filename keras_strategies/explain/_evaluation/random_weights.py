"""Models with shuffled weights, for a moment."""

import contextlib
from collections.abc import Iterator

import keras
import numpy as np


@contextlib.contextmanager
def random_weights(model: keras.Model, seed: int) -> Iterator[None]:
    """Shuffles the values within each weight of a model inside the block.

    What was learned is gone, while the size of each layer's outputs stays about what
    it was. The weights are put back also after an error.
    """
    random = np.random.default_rng(seed)
    weights = [w for w in model.weights if keras.backend.is_float_dtype(w.dtype)]
    before = [np.array(keras.ops.convert_to_numpy(w)) for w in weights]
    try:
        for weight, value in zip(weights, before, strict=True):
            weight.assign(random.permutation(value.ravel()).reshape(value.shape))
        yield
    finally:
        for weight, value in zip(weights, before, strict=True):
            weight.assign(value)
