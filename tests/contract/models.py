"""One small model a kind that carries every case, so that the battery stays quick."""

import keras
import numpy as np

from tests.cases import CONSTRAINTS, INITIALIZERS, LAYERS, REGULARIZERS

BATCH = 8


def layer_shapes():
    return sorted({case.input_shape for case in LAYERS}, key=str)


def layers_model(shape):
    """Every registered layer that takes `shape`, side by side in one model."""
    inputs = keras.Input(shape)
    branches = []
    for case in LAYERS:
        if case.input_shape == shape:
            outputs = case.apply(case.build(), inputs)
            branches.append(keras.layers.Dense(2)(keras.layers.Flatten()(outputs)))
    total = branches[0] if len(branches) == 1 else keras.layers.Add()(branches)
    return keras.Model(inputs, total, name="layers")


def regularizers_model():
    """Every registered regularizer, constraint and initializer in some layer."""
    inputs = keras.Input((6, 6, 2))
    flat = keras.layers.Flatten()(inputs)
    images, vectors = [], []
    for number, case in enumerate(REGULARIZERS + CONSTRAINTS):
        place = {f"{case.setting or 'kernel'}_{case.kind}": case.build()}
        if number % 2:
            images.append(keras.layers.Conv2D(4, 3, **place)(inputs))
        else:
            vectors.append(keras.layers.Dense(4, **place)(flat))
    for case in INITIALIZERS:
        images.append(
            keras.layers.Conv2D(4, 3, kernel_initializer=case.build())(inputs)
        )
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Add()(images))
    total = keras.layers.Dense(2)(keras.layers.Add()([x, *vectors]))
    return keras.Model(inputs, total, name="regularizers")


def mlp():
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8, activation="relu"),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )


def classification_data(n=48):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 6)).astype("float32")
    return x, (x[:, :3].argmax(axis=1)).astype("int32")


def regression_data(shape, outputs=2, n=2 * BATCH):
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, size=(n, *shape)).astype("float32")
    return x, rng.normal(size=(n, outputs)).astype("float32")


def jit_modes():
    """XLA is not an option of Torch."""
    return [False] if keras.backend.backend() == "torch" else [False, True]
