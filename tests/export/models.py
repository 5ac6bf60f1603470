"""Small models of every kind, with outputs decisive enough to compare."""

import os
import tempfile

import keras
import numpy as np

from tests.export.foreign import Network

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


def preprocessing():
    model = keras.Sequential(
        [
            keras.Input((14, 14, 3), name="image"),
            L.Resizing(12, 12),
            L.Rescaling(1 / 127.5, offset=-1),
            L.RandomFlip("horizontal"),
            L.RandomRotation(0.1),
            L.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 1.5]),
            L.SeparableConv2D(32, 3, activation="relu"),
            L.Conv2D(32, 3, activation="relu6"),
            L.MaxPooling2D(2),
            L.Flatten(),
            L.Dense(3, activation="softmax"),
        ]
    )
    return _decisive(model, 12.0), {"image": (14, 14, 3)}


def package_layers():
    from keras_strategies import augmentation, layers

    inputs = keras.Input((12, 12, 2), name="image")
    hidden = augmentation.RandomAffine(rotation_factor=0.1)(
        L.Rescaling(1 / 255)(inputs)
    )
    hidden = L.Conv2D(32, 3, padding="same", activation="relu")(hidden)
    branch = L.Conv2D(32, 3, padding="same", activation="relu")(hidden)
    hidden = L.Add()([hidden, layers.StochasticDepth(0.2)(branch)])
    hidden = L.Dense(64, activation="relu")(L.GlobalAveragePooling2D()(hidden))
    outputs = L.Dense(4)(hidden)
    return keras.Model(inputs, outputs), {"image": (12, 12, 2)}


def _recurrent(*layers):
    inputs = keras.Input((9,), dtype="int32", name="ids")
    hidden = L.Embedding(40, 24, "glorot_normal", mask_zero=True)(inputs)
    for layer in layers:
        hidden = layer(hidden)
    outputs = L.Dense(4, activation="softmax", name="label")(hidden)
    return _decisive(keras.Model(inputs, outputs), 12.0), {"ids": (9,)}


def lstm():
    return _recurrent(L.LSTM(32))


def gru():
    return _recurrent(L.GRU(24, return_sequences=True), L.GRU(24))


def bidirectional():
    return _recurrent(L.Bidirectional(L.LSTM(24)))


def transformer():
    inputs = keras.Input((10,), dtype="int32", name="ids")
    hidden = L.Embedding(40, 32)(inputs)
    attended = L.MultiHeadAttention(4, 16)(hidden, hidden, use_causal_mask=True)
    hidden = L.LayerNormalization()(hidden + attended)
    inner = L.Dense(64, activation="gelu")(hidden)
    hidden = L.LayerNormalization()(hidden + L.Dense(32)(inner))
    hidden = L.GlobalAveragePooling1D()(hidden)
    outputs = L.Dense(4, activation="softmax")(hidden)
    return _decisive(keras.Model(inputs, outputs)), {"ids": (10,)}


def subclassed():
    model = Network()
    model(np.zeros((1, 12, 12, 1), "float32"))
    return model, {"input_0": (12, 12, 1)}


def reloaded():
    model, shapes = subclassed()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.keras")
        model.save(path)
        return keras.saving.load_model(path), shapes


def pruned():
    from keras_strategies import compression

    model, shapes = dense()
    model.compile("sgd", "sparse_categorical_crossentropy")
    compression.prune(model, compression.ConstantSparsity(0.5, 0))
    x = samples(shapes, 64)["features"]
    model.fit(x, np.arange(64) % 3, verbose=0, epochs=2)
    compression.strip(model)
    return model, shapes


KINDS = {
    "dense": dense,
    "convolutional": convolutional,
    "nested": nested,
    "two_inputs_two_outputs": two_inputs_two_outputs,
    "preprocessing": preprocessing,
    "package_layers": package_layers,
    "lstm": lstm,
    "gru": gru,
    "bidirectional": bidirectional,
    "transformer": transformer,
    "subclassed": subclassed,
    "reloaded": reloaded,
    "pruned": pruned,
}


def samples(shapes, count=96):
    """Returns float32 samples; images in [0, 255]."""
    rng = np.random.default_rng(7)
    named = {}
    for name, shape in shapes.items():
        if name == "ids":  # zeros at the end: the mask has something to do
            values = rng.integers(1, 40, size=(count, *shape))
            lengths = rng.integers(3, shape[0] + 1, size=(count, 1))
            named[name] = np.where(np.arange(shape[0]) < lengths, values, 0)
            continue
        values = rng.normal(size=(count, *shape))
        named[name] = np.abs(values * 80) % 255 if name == "image" else values
    kinds = {"ids": "int32"}
    return {
        name: value.astype(kinds.get(name, "float32")) for name, value in named.items()
    }


def tiny():
    return keras.Sequential([keras.Input((4,), name="x"), L.Dense(3)])
