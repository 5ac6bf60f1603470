"""Small teachers and students, and data."""

import keras
import numpy as np

L = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 8, 8, 1)).astype("float32")
Y = (np.arange(32) % 3).astype("int32")
LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def network(width, seed=0, activation=None, norm=True):
    """Two convolutions, the second at half the size for the wide ones."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((8, 8, 1))
    x = L.Conv2D(width, 3, padding="same", activation="relu", name="conv_1")(inputs)
    if norm:
        x = L.BatchNormalization(name="norm")(x)
    x = L.MaxPooling2D(2 if width > 8 else 1)(x)
    x = L.Conv2D(width, 3, padding="same", activation="relu", name="conv_2")(x)
    x = L.GlobalAveragePooling2D(name="embedding")(x)
    return keras.Model(inputs, L.Dense(3, activation=activation, name="out")(x))


def values(variables):
    return [np.array(keras.ops.convert_to_numpy(v)) for v in variables]


def compiled(trainer, loss=LOGITS, rate=0.01):
    trainer.compile(keras.optimizers.SGD(rate), loss, metrics=["accuracy"])
    return trainer
