"""What each layer costs in training, as a ratio to its nearest peer.

    scripts/benchmark layers [--rounds N] [--steps N] [--only NAME ...]

Each layer stands in a small network, between two layers of Keras, and the same network
has its peer in its place: the layer of Keras that it wraps or varies, or what Keras has
for the same job. Blocks are held against the same layers of Keras, called one by one in
a functional model. The two networks take turns: an epoch of each, for several rounds,
after one that compiles. Figures are medians over the rounds of the ratio of the time of
a training step to the peer's in the same round, and the same for processor times, which
other work on the machine disturbs less. `KERAS_BACKEND` chooses the backend.
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from keras_strategies import layers

KL = keras.layers
BATCH = 64
VECTOR, SEQUENCE, IMAGE = (256,), (32, 64), (16, 16, 32)


def _network(shape, make):
    """A network around the layers that `make` returns, a function of a tensor."""
    inputs = keras.Input(shape)
    if len(shape) == 3:
        x = KL.Conv2D(32, 3, padding="same", activation="relu")(inputs)
    else:
        x = KL.Dense(shape[-1], activation="relu")(inputs)
    x = make()(x)
    while len(x.shape) > 2:
        x = keras.ops.mean(x, axis=1)
    model = keras.Model(inputs, KL.Dense(4)(x))
    model.compile(keras.optimizers.SGD(0.01), "mse")
    return model


def _residual(x):
    y = KL.Conv2D(32, 3, padding="same", use_bias=False)(x)
    y = KL.ReLU()(KL.BatchNormalization()(y))
    y = KL.Conv2D(32, 3, padding="same", use_bias=False)(y)
    return KL.ReLU()(KL.Add()([x, KL.BatchNormalization()(y)]))


def _encoder(x):
    y = KL.LayerNormalization(epsilon=1e-6)(x)
    x = KL.Add()([x, KL.MultiHeadAttention(4, 16)(y, y)])
    y = KL.LayerNormalization(epsilon=1e-6)(x)
    y = KL.Dense(64)(KL.Dense(128, activation="gelu")(y))
    return KL.Add()([x, y])


def _gate(x):
    return KL.Multiply()([KL.Dense(64)(x), KL.Dense(64, activation="sigmoid")(x)])


def _positions(x):
    places = KL.Embedding(32, 64)(keras.ops.arange(32))
    return x + keras.ops.expand_dims(places, 0)


def _squeeze(x):
    y = KL.GlobalAveragePooling2D(keepdims=True)(x)
    y = KL.Conv2D(2, 1, activation="relu")(y)
    return KL.Multiply()([x, KL.Conv2D(32, 1, activation="sigmoid")(y)])


def _pyramid(x):
    levels = [KL.MaxPooling2D(16 // bins)(x) for bins in (1, 2, 4)]
    return KL.Concatenate()([KL.Flatten()(level) for level in levels])


def _channels(x):
    y = KL.Reshape((32, 1))(KL.GlobalAveragePooling2D()(x))
    y = KL.Conv1D(1, 3, padding="same", use_bias=False, activation="sigmoid")(y)
    return KL.Multiply()([x, KL.Reshape((1, 1, 32))(y)])


def _attention_pooling(x):
    scores = KL.Softmax(axis=1)(KL.Dense(1)(KL.Dense(64, activation="tanh")(x)))
    return keras.ops.sum(x * scores, axis=1)


# Name: (shape of the input, the layer, what it is held against, that in words).
ROWS = {
    "AconC": (IMAGE, layers.AconC, lambda: KL.Activation("silu"), "Activation silu"),
    "AttentionPooling": (
        SEQUENCE,
        layers.AttentionPooling,
        lambda: _attention_pooling,
        "the same of Keras's layers",
    ),
    "BlurPooling2D": (
        IMAGE,
        layers.BlurPooling2D,
        lambda: KL.DepthwiseConv2D(3, 2, "same", use_bias=False),
        "DepthwiseConv2D",
    ),
    "ConcreteDropout": (
        VECTOR,
        lambda: layers.ConcreteDropout(KL.Dense(256)),
        lambda: lambda x: KL.Dense(256)(KL.Dropout(0.1)(x)),
        "Dropout and Dense",
    ),
    "ConvolutionalBlockAttention": (
        IMAGE,
        layers.ConvolutionalBlockAttention,
        lambda: _squeeze,
        "squeeze and excitation of Keras's layers",
    ),
    "DropBlock1D": (
        SEQUENCE,
        lambda: layers.DropBlock1D(0.1),
        lambda: KL.Dropout(0.1),
        "Dropout",
    ),
    "DropBlock2D": (
        IMAGE,
        lambda: layers.DropBlock2D(0.1),
        lambda: KL.Dropout(0.1),
        "Dropout",
    ),
    "EfficientChannelAttention": (
        IMAGE,
        layers.EfficientChannelAttention,
        lambda: _channels,
        "the same of Keras's layers",
    ),
    "FilterResponseNormalization": (
        IMAGE,
        layers.FilterResponseNormalization,
        lambda: lambda x: KL.ReLU()(KL.BatchNormalization()(x)),
        "BatchNormalization and ReLU",
    ),
    "GatedLinearUnit": (
        SEQUENCE,
        lambda: layers.GatedLinearUnit(64),
        lambda: _gate,
        "the same of Keras's layers",
    ),
    "GhostBatchNormalization": (
        IMAGE,
        layers.GhostBatchNormalization,
        KL.BatchNormalization,
        "BatchNormalization",
    ),
    "GlobalResponseNormalization": (
        IMAGE,
        layers.GlobalResponseNormalization,
        KL.LayerNormalization,
        "LayerNormalization",
    ),
    "LayerScale": (
        IMAGE,
        layers.LayerScale,
        lambda: KL.Rescaling(0.1),
        "Rescaling",
    ),
    "LearnableSwish": (
        IMAGE,
        layers.LearnableSwish,
        lambda: KL.Activation("silu"),
        "Activation silu",
    ),
    "Maxout": (VECTOR, lambda: layers.Maxout(64), KL.ReLU, "ReLU"),
    "MonteCarloDropout": (
        VECTOR,
        lambda: layers.MonteCarloDropout(0.1),
        lambda: KL.Dropout(0.1),
        "Dropout",
    ),
    "NoisyDense": (
        VECTOR,
        lambda: layers.NoisyDense(256),
        lambda: KL.Dense(256),
        "Dense",
    ),
    "PositionalEmbedding": (
        SEQUENCE,
        lambda: layers.PositionalEmbedding(32),
        lambda: _positions,
        "Embedding of the positions",
    ),
    "ResidualBlock": (
        IMAGE,
        lambda: layers.ResidualBlock(32),
        lambda: _residual,
        "the same of Keras's layers",
    ),
    "Snake": (IMAGE, layers.Snake, lambda: KL.Activation("silu"), "Activation silu"),
    "SpatialPyramidPooling2D": (
        IMAGE,
        layers.SpatialPyramidPooling2D,
        lambda: _pyramid,
        "the same of MaxPooling2D",
    ),
    "SqueezeExcitation": (
        IMAGE,
        layers.SqueezeExcitation,
        lambda: _squeeze,
        "the same of Keras's layers",
    ),
    "StochasticDepth": (
        IMAGE,
        lambda: layers.StochasticDepth(0.1),
        lambda: KL.Dropout(0.1, noise_shape=(None, 1, 1, 1)),
        "Dropout of whole samples",
    ),
    "TransformerBlock": (
        SEQUENCE,
        lambda: layers.TransformerBlock(128, 4),
        lambda: _encoder,
        "the same of Keras's layers",
    ),
    "WeightNormalization": (
        IMAGE,
        lambda: layers.WeightNormalization(KL.Conv2D(32, 3, padding="same")),
        lambda: KL.Conv2D(32, 3, padding="same"),
        "Conv2D alone",
    ),
    "WeightStandardizedConv2D": (
        IMAGE,
        lambda: layers.WeightStandardizedConv2D(32, 3, padding="same"),
        lambda: KL.Conv2D(32, 3, padding="same"),
        "Conv2D",
    ),
}


class _Start(keras.callbacks.Callback):
    """Remembers when the first step was done: what comes before it is no training."""

    async_safe = True

    def on_train_batch_begin(self, batch, logs=None):
        if batch == 1:
            self.times = time.perf_counter(), time.process_time()


def _epoch(model, x, y):
    """Seconds and processor seconds of all steps but the first."""
    start = _Start()
    model.fit(x, y, batch_size=BATCH, callbacks=[start], verbose=0)
    wall, processor = start.times
    return time.perf_counter() - wall, time.process_time() - processor


def _row(shape, ours, peer, rounds, steps):
    """Milliseconds of a step, and the two ratios."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(BATCH * steps, *shape)).astype("float32")
    y = rng.normal(size=(len(x), 4)).astype("float32")
    models = [_network(shape, ours), _network(shape, peer)]
    for model in models:
        _epoch(model, x, y)  # compiles
    times = [[_epoch(model, x, y) for model in models] for _ in range(rounds)]
    step = statistics.median(own[0] for own, _ in times) / (steps - 1)
    ratios = [
        statistics.median(own[kind] / other[kind] for own, other in times)
        for kind in range(2)
    ]
    return step * 1000, *ratios


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=40, help="steps in an epoch")
    parser.add_argument("--only", nargs="*", choices=ROWS, help="names of layers")
    arguments = parser.parse_args()
    print(f"{keras.backend.backend()} backend, {arguments.rounds} rounds in turns")
    print(f"{'':<29}{'ms a step':>10}{'ratio':>8}{'processor':>11}  beside")
    for name in arguments.only or ROWS:
        shape, ours, peer, beside = ROWS[name]
        step, ratio, processor = _row(
            shape, ours, peer, arguments.rounds, arguments.steps
        )
        print(
            f"{name:<29}{step:>10.2f}{ratio:>8.2f}{processor:>11.2f}  {beside}",
            flush=True,
        )


if __name__ == "__main__":
    main()
