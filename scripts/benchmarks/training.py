"""What `training.accelerate` gains over plain `fit`, in turns in one process.

Each model is built twice with the same weights. One is accelerated on 8,192 samples
in batches of 32; then both train in turns, plain `fit` and plain `fit` with the plan
installed. A row's ratio is the median over the turns of the seconds of plain `fit` by
those of the accelerated one. `KERAS_BACKEND=jax` measures the JAX backend.

`--callbacks` adds three that act at each step, to both. `--fit 1 5 30` measures
`training.fit` instead: whole trainings of so many epochs, each with a new model, from
its first step on, with nothing stored of earlier runs; `--processor` counts processor
time there, which a busy machine changes less. `--bare` adds to the row of the
MLP what its epoch takes in plain JAX, as one program without Keras.
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers as kl

from keras_strategies import callbacks, training

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


def wide_deep():
    """Eight categories of 100 values, embedded, beside a linear part of them."""
    categories = keras.Input((8,))
    deep = kl.Flatten()(kl.Embedding(100, 8)(categories))
    for width in (64, 32):
        deep = kl.Dense(width, activation="relu")(deep)
    wide = kl.Flatten()(kl.Embedding(100, 10)(categories))
    return keras.Model(categories, kl.Dense(10)(kl.Concatenate()([deep, wide])))


def gru():
    """GRU(32) over 40 tokens, masked."""
    embedding = kl.Embedding(1000, 32, mask_zero=True)
    return keras.Sequential([keras.Input((40,)), embedding, kl.GRU(32), kl.Dense(10)])


def autoencoder():
    """Two convolutions of stride 2 and their transposes, on 28x28."""
    image = keras.Input((28, 28, 1))
    code = kl.Conv2D(8, 3, strides=2, padding="same", activation="relu")(image)
    code = kl.Conv2D(8, 3, strides=2, padding="same", activation="relu")(code)
    x = kl.Conv2DTranspose(8, 3, strides=2, padding="same", activation="relu")(code)
    x = kl.Conv2DTranspose(1, 3, strides=2, padding="same")(x)
    return keras.Model(image, x)


_ALL = (mlp, lstm, cnn, transformer, mobilenet, wide_deep, gru, autoencoder)
MODELS = {item.__name__: item for item in _ALL}


# Number of values and length of rows of integers.
TOKENS = {
    "lstm": (1000, 40),
    "gru": (1000, 40),
    "transformer": (1000, 32),
    "wide_deep": (100, 8),
}


def acting():
    """Three callbacks that act at each step."""
    return [
        callbacks.CosineDecayScheduler(decay_steps=10_000, update="batch"),
        callbacks.GradientClipping(global_clipnorm=1.0),
        callbacks.WeightAveraging(decay=0.99),
    ]


def data(name, samples):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 10, size=samples)
    if name in TOKENS:
        count, length = TOKENS[name]
        return rng.integers(0, count, size=(samples, length)).astype("int32"), y
    image = (28, 28, 1)
    shapes = {"mlp": (784,), "cnn": image, "autoencoder": image}
    shape = shapes.get(name, (96, 96, 3))
    x = rng.random(size=(samples, *shape), dtype="float32")
    return x, x if name == "autoencoder" else y


def compiled(name):
    keras.utils.set_random_seed(0)
    model = MODELS[name]()
    if name == "autoencoder":
        model.compile("adam", "mse")
        return model
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    return model


def dataset(x, y):
    """The same in a `tf.data` pipeline, shuffled."""
    import tensorflow as tf

    rows = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(1024)
    return rows.batch(BATCH).prefetch(tf.data.AUTOTUNE)


def seconds(model, x, y, epochs, listed=()):
    """Seconds for an epoch of a fit."""
    begin = time.perf_counter()
    shuffle = y is not None
    settings = {"batch_size": BATCH, "verbose": 0, "callbacks": list(listed)}
    model.fit(x, y, epochs=epochs, shuffle=shuffle, **settings)
    return (time.perf_counter() - begin) / epochs


def whole(name, samples, epochs, rounds, with_callbacks, clock=time.perf_counter):
    """`(plain, training.fit)`: median seconds of a whole training, in turns."""
    x, y = data(name, samples)
    times = {"plain": [], "fit": []}
    for turn in range(rounds):
        for kind in list(times)[:: -1 if turn % 2 else 1]:
            model = compiled(name)
            given = {"epochs": epochs, "batch_size": BATCH, "verbose": 0}
            given["callbacks"] = acting() if with_callbacks else []
            begin = clock()
            if kind == "plain":
                model.fit(x, y, **given)
            else:
                training.fit(model, x, y, **given)
            times[kind].append(clock() - begin)
    return [statistics.median(values) for values in times.values()]


def compare(
    name,
    samples,
    rounds,
    most_seconds,
    time_limit,
    as_dataset=False,
    with_callbacks=False,
):
    """One row: the plan, its cost, and both ways in turns."""
    # The same objects in all fits of a model: their steps are traced once.
    listed = [acting() if with_callbacks else [] for _ in range(2)]
    x, y = data(name, samples)
    if as_dataset:
        x, y = dataset(x, y), None
    plain, fast = compiled(name), compiled(name)
    begin = time.perf_counter()
    plan = training.accelerate(fast, x, y, batch_size=BATCH, time_limit=time_limit)
    planning = time.perf_counter() - begin
    epochs = 1 if name == "mobilenet" else 3
    for index, model in enumerate((plain, fast)):  # compiles, and reaches its speed
        seconds(model, x, y, 1, listed[index])
    times, begin = [], time.perf_counter()
    for turn in range(rounds):
        pair = [(0, plain), (1, fast)]
        pair = pair[:: -1 if turn % 2 else 1]
        found = sorted(
            (index, seconds(model, x, y, epochs, listed[index]))
            for index, model in pair
        )
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


def bare(row, given):
    """Prints the epoch of the MLP in plain JAX."""
    from _bare_scan import bare_epoch

    x, y = data("mlp", given.samples)
    seconds = bare_epoch(x, y, BATCH, given.callbacks, 4 * given.rounds)
    faster, longer = row["plain"] / seconds, row["fast"] / seconds
    print(
        f"  plain JAX takes {seconds:.3f} s an epoch, {faster:.2f} times as fast as "
        f"plain fit; the plan takes {longer:.2f} times as long as it",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=tuple(MODELS), nargs="+", default=[*MODELS])
    parser.add_argument("--samples", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=180, help="of turns a model")
    parser.add_argument("--time-limit", type=float, default=20, help="to choose a plan")
    parser.add_argument("--dataset", action="store_true", help="feed by tf.data")
    parser.add_argument("--plans", action="store_true", help="print their tables")
    parser.add_argument("--callbacks", action="store_true", help="three at each step")
    parser.add_argument("--fit", type=int, nargs="+", help="epochs of training.fit")
    parser.add_argument("--bare", action="store_true", help="the MLP in plain JAX too")
    parser.add_argument("--processor", action="store_true", help="--fit: its time")
    given = parser.parse_args()
    os.environ["KERAS_STRATEGIES_CACHE"] = ""  # nothing of earlier runs
    if given.fit:
        print(f"backend {keras.backend.backend()}, {given.samples} samples, cold")
        print("model        epochs  plain s  training.fit s  ratio")
        for name in given.only:
            for epochs in given.fit:
                settings = (given.samples, epochs, given.rounds, given.callbacks)
                clock = time.process_time if given.processor else time.perf_counter
                slow, quick = whole(name, *settings, clock)
                ratio = quick / slow
                print(
                    f"{name:<12} {epochs:6} {slow:8.2f} {quick:15.2f}  {ratio:5.2f}",
                    flush=True,
                )
        return
    print(f"backend {keras.backend.backend()}, {given.samples} samples")
    print("model        plan          choosing s  plain s  with plan s  ratio (range)")
    for name in given.only:
        settings = (given.samples, given.rounds, given.seconds, given.time_limit)
        row = compare(name, *settings, given.dataset, given.callbacks)
        least, most = row["range"]
        target = f"  (target >= {row['target']})" if row["target"] else ""
        print(
            f"{name:<12} {row['plan'].choice:<13} {row['planning']:10.1f} "
            f"{row['plain']:8.3f} {row['fast']:12.3f}  {row['ratio']:5.2f} "
            f"({least:.2f} to {most:.2f}){target}",
            flush=True,
        )
        if given.bare and name == "mlp":
            bare(row, given)
        if given.plans:
            print(row["plan"].table(), row["plan"].explain(), sep="\n", flush=True)


if __name__ == "__main__":
    main()
