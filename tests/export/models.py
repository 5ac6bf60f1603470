"""Small models of every kind, with outputs decisive enough to compare."""

import keras
import numpy as np

L = keras.layers


def _decisive(model, factor=8.0):
    """Scales the kernels of the last layers, so that top-1 is no near tie."""
    for layer in model.layers:
        if isinstance(layer, L.Dense) and layer.units <= 10:
            layer.set_weights([value * factor for value in layer.get_weights()])
    return model


def dense():
    inputs = keras.Input((16,), name="features")
    hidden = L.Dropout(0.5)(L.Dense(128, activation="relu")(inputs))
    hidden = L.Dense(128, activation="relu")(hidden)
    outputs = L.Dense(3, activation="softmax", name="label")(hidden)
    return _decisive(keras.Model(inputs, outputs)), {"features": (16,)}


def convolutional():
    model = keras.Sequential(
        [
            keras.Input((12, 12, 1), name="image"),
            L.Rescaling(1 / 255),
            L.Conv2D(16, 3),
            L.BatchNormalization(),
            L.ReLU(),
            L.Conv2D(24, 3, strides=2),
            L.BatchNormalization(),
            L.ReLU(),
            L.Flatten(),
            L.Dense(64, activation="relu"),
            L.Dense(3, activation="softmax"),
        ]
    )
    return _decisive(model, 60.0), {"image": (12, 12, 1)}


def nested():
    encoder = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            L.Conv2D(32, 3, activation="relu"),
            L.Conv2D(32, 3, activation="relu"),
            L.GlobalAveragePooling2D(),
        ],
        name="encoder",
    )
    inputs = keras.Input((8, 8, 3), name="image")
    outputs = L.Dense(16, name="embedding")(encoder(inputs))
    return keras.Model(inputs, outputs), {"image": (8, 8, 3)}


def two_inputs_two_outputs():
    # The order of the list is not the order of the names, nor of the tensors.
    left = keras.Input((6,), name="zeta")
    right = keras.Input((10,), name="alpha")
    hidden = L.Concatenate()(
        [L.Dense(64, activation="relu")(left), L.Dense(64, activation="relu")(right)]
    )
    hidden = L.Dense(64, activation="relu")(hidden)
    outputs = {
        "kind": L.Dense(4, activation="softmax", name="kind")(hidden),
        "value": L.Dense(1, name="value")(hidden),
    }
    model = keras.Model([left, right], outputs)
    return _decisive(model), {"zeta": (6,), "alpha": (10,)}


KINDS = {
    "dense": dense,
    "convolutional": convolutional,
    "nested": nested,
    "two_inputs_two_outputs": two_inputs_two_outputs,
}


def samples(shapes, count=96):
    """Returns float32 samples; images in [0, 255]."""
    rng = np.random.default_rng(7)
    named = {}
    for name, shape in shapes.items():
        values = rng.normal(size=(count, *shape))
        named[name] = np.abs(values * 80) % 255 if name == "image" else values
    return {name: value.astype("float32") for name, value in named.items()}


def tiny():
    return keras.Sequential([keras.Input((4,), name="x"), L.Dense(3)])
