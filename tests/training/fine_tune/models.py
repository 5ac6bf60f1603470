"""Small backbones and data."""

import keras
import numpy as np

L = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(48, 8, 8, 1)).astype("float32")
Y = (np.arange(48) % 3).astype("int32")


def backbone(name="body"):
    """Two convolutions with BatchNormalization and Dropout."""
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            L.Conv2D(4, 3, name="conv_1"),
            L.BatchNormalization(name="norm_1"),
            L.ReLU(),
            L.Conv2D(6, 3, name="conv_2"),
            L.BatchNormalization(name="norm_2"),
            L.ReLU(),
            L.Dropout(0.3, seed=1, name="drop"),
        ],
        name=name,
    )


def values(variables):
    return [np.array(keras.ops.convert_to_numpy(v)) for v in variables]
