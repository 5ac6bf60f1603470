"""What `training.accelerate` gains over plain `fit`, in turns in one process.

Each model is built twice with the same weights. One is accelerated on 8,192 samples
in batches of 32; then both train in turns, plain `fit` and plain `fit` with the plan
installed. A row's ratio is the median over the turns of the seconds of plain `fit` by
those of the accelerated one. `KERAS_BACKEND=jax` measures the JAX backend.
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers as kl

from keras_strategies import training

BATCH = 32
TARGETS = {
    "tensorflow": {
        "mlp": 8.0,
        "lstm": 2.5,
        "cnn": 1.5,
        "mobilenet": 1,
        "transformer": 1,
    },
    "jax": {"mlp": 3.0},
}


def mlp():
    """784-128-10."""
    return keras.Sequential(
        [keras.Input((784,)), kl.Dense(128, activation="relu"), kl.Dense(10)]
    )


def lstm():
    """LSTM(32) over 40 tokens."""
    return keras.Sequential(
        [keras.Input((40,)), kl.Embedding(1000, 32), kl.LSTM(32), kl.Dense(10)]
    )


def cnn():
    """Two convolutions of 16 and 32 filters on 28x28."""
    stack = [keras.Input((28, 28, 1))]
    for filters in (16, 32):
        stack += [kl.Conv2D(filters, 3, activation="relu"), kl.MaxPooling2D()]
    return keras.Sequential([*stack, kl.Flatten(), kl.Dense(10)])


def transformer():
    """Two blocks of four heads, width 32, over 32 tokens."""
    tokens = keras.Input((32,))
    x = kl.Embedding(1000, 32)(tokens)
    for _ in range(2):
        attended = kl.MultiHeadAttention(4, 8)(x, x)
        x = kl.LayerNormalization()(kl.Add()([x, attended]))
        hidden = kl.Dense(32)(kl.Dense(64, activation="relu")(x))
        x = kl.LayerNormalization()(kl.Add()([x, hidden]))
    return keras.Model(tokens, kl.Dense(10)(kl.GlobalAveragePooling1D()(x)))


def mobilenet():
    """MobileNetV2, alpha 0.35, 96x96."""
    return keras.applications.MobileNetV2(
        (96, 96, 3), alpha=0.35, weights=None, classes=10, classifier_activation=None
    )


MODELS = {item.__name__: item for item in (mlp, lstm, cnn, transformer, mobilenet)}


def data(name, samples):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 10, size=samples)
    if name in ("lstm", "transformer"):
        length = 40 if name == "lstm" else 32
        return rng.integers(0, 1000, size=(samples, length)).astype("int32"), y
    shape = {"mlp": (784,), "cnn": (28, 28, 1), "mobilenet": (96, 96, 3)}[name]
    return rng.random(size=(samples, *shape), dtype="float32"), y


def compiled(name):
    keras.utils.set_random_seed(0)
    model = MODELS[name]()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    return model


def dataset(x, y):
    """The same in a `tf.data` pipeline, shuffled."""
    import tensorflow as tf

    rows = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(1024)
    return rows.batch(BATCH).prefetch(tf.data.AUTOTUNE)


def seconds(model, x, y, epochs):
    """Seconds for an epoch of a fit."""
    begin = time.perf_counter()
    model.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0, shuffle=y is not None)
    return (time.perf_counter() - begin) / epochs


def compare(name, samples, rounds, most_seconds, time_limit, as_dataset=False):
    """One row: the plan, its cost, and both ways in turns."""
    x, y = data(name, samples)
    if as_dataset:
        x, y = dataset(x, y), None
    plain, fast = compiled(name), compiled(name)
    begin = time.perf_counter()
    plan = training.accelerate(fast, x, y, batch_size=BATCH, time_limit=time_limit)
    planning = time.perf_counter() - begin
    epochs = 1 if name == "mobilenet" else 3
    for model in (plain, fast):  # compiles, and reaches its speed
        seconds(model, x, y, 1)
    times, begin = [], time.perf_counter()
    for turn in range(rounds):
        pair = [(0, plain), (1, fast)]
        pair = pair[:: -1 if turn % 2 else 1]
        found = sorted((index, seconds(model, x, y, epochs)) for index, model in pair)
        times.append([value for _, value in found])
        if time.perf_counter() - begin > most_seconds:
            break
    slow, quick = (statistics.median(column) for column in zip(*times, strict=True))
    ratios = [first / second for first, second in times]
    return {
        "model": name,
        "plan": plan,
        "planning": planning,
        "plain": slow,
        "fast": quick,
        "ratio": statistics.median(ratios),
        "range": (min(ratios), max(ratios)),
        "target": not as_dataset and TARGETS.get(keras.backend.backend(), {}).get(name),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=tuple(MODELS), nargs="+", default=[*MODELS])
    parser.add_argument("--samples", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=180, help="of turns a model")
    parser.add_argument("--time-limit", type=float, default=20, help="to choose a plan")
    parser.add_argument("--dataset", action="store_true", help="feed by tf.data")
    parser.add_argument("--plans", action="store_true", help="print their tables")
    given = parser.parse_args()
    print(f"backend {keras.backend.backend()}, {given.samples} samples")
    print("model        plan          choosing s  plain s  with plan s  ratio (range)")
    for name in given.only:
        settings = (given.samples, given.rounds, given.seconds, given.time_limit)
        row = compare(name, *settings, given.dataset)
        least, most = row["range"]
        target = f"  (target >= {row['target']})" if row["target"] else ""
        print(
            f"{name:<12} {row['plan'].choice:<13} {row['planning']:10.1f} "
            f"{row['plain']:8.3f} {row['fast']:12.3f}  {row['ratio']:5.2f} "
            f"({least:.2f} to {most:.2f}){target}",
            flush=True,
        )
        if given.plans:
            print(row["plan"].table(), row["plan"].explain(), sep="\n", flush=True)


if __name__ == "__main__":
    main()
