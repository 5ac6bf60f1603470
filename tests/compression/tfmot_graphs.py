"""Small graphs that Keras 3 and tf_keras both build, for comparisons with TFMOT."""

import numpy as np


def _sequential(keras, *layers):
    return keras.Sequential(list(layers))


def graphs(keras, inputs):
    """`{name: (model, options)}`; `inputs(shape, dtype)` makes an input layer."""
    layers = keras.layers
    image, steps, tokens = (8, 8, 4), (6, 8), (5,)

    def two_inputs():
        left, right = keras.Input((8,)), keras.Input((12,))
        x = layers.Add()([layers.Dense(16)(left), layers.Dense(16)(right)])
        return keras.Model([left, right], layers.Dense(8)(x))

    def residual():
        x = start = keras.Input(image)
        x = layers.Conv2D(4, 3, padding="same")(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(layers.Add()([x, start]))
        x = layers.GlobalAveragePooling2D()(x)
        return keras.Model(start, layers.Dense(8)(x))

    def chain(shape, *parts, dtype="float32"):
        return _sequential(keras, inputs(shape, dtype), *parts)

    blocks = {"block_size": (2, 4)}
    largest = {"block_size": (4, 2), "block_pooling": "max"}
    half = {"m_by_n": (2, 4)}
    mlp = (16,), lambda: [layers.Dense(32), layers.Dense(16), layers.Dense(8)]
    cnn = image, lambda: [layers.Conv2D(8, 3), layers.Flatten(), layers.Dense(5)]
    return {
        "mlp": (chain(mlp[0], *mlp[1]()), {}),
        "mlp in blocks": (chain(mlp[0], *mlp[1]()), blocks),
        "mlp in blocks by their largest": (chain(mlp[0], *mlp[1]()), largest),
        "mlp two of four": (chain(mlp[0], *mlp[1]()), half),
        "cnn": (chain(cnn[0], *cnn[1]()), {}),
        "cnn two of four": (chain(cnn[0], *cnn[1]()), half),
        "two inputs": (two_inputs(), {}),
        "residual": (residual(), {}),
        "conv1d": (chain(steps, layers.Conv1D(6, 3), layers.Dense(3)), {}),
        "separable": (chain(image, layers.SeparableConv2D(6, 3)), {}),
        "depthwise and 1x1": (
            chain(image, layers.DepthwiseConv2D(3), layers.Conv2D(6, 1)),
            {},
        ),
        "transposed": (chain(image, layers.Conv2DTranspose(5, 3)), {}),
        "tokens": (
            chain(tokens, layers.Embedding(11, 6), layers.LSTM(4), dtype="int32"),
            {},
        ),
        "recurrent": (
            chain(steps, layers.GRU(5, return_sequences=True), layers.SimpleRNN(4)),
            {},
        ),
    }


def value_for(name, index, shape):
    """The weights that both sides get, without ties."""
    seed = sum(name.encode()) * 100 + index
    size = int(np.prod(shape))
    order = np.random.default_rng(seed).permutation(size) + 1.0
    signs = np.where(np.arange(size) % 2, 1, -1)
    return (order * signs / size).reshape(shape).astype("float32")
