"""int8 `.tflite` after pruning and clustering against the float32 one, both gzipped.

A LeNet (conv 32 and 64 of 5x5, dense 1024) and the network of TFMOT's MNIST tutorial
(conv 12 of 3x3, dense 10) are trained, pruned with one threshold for all layers,
clustered with zeros kept, and exported to int8. The recipe was chosen on validation
data; accuracies are those of the `.tflite` files on test data. Without `--data` the
digits are scikit-learn's, 8x8 enlarged to 28x28.

    scripts/benchmark sizes [--data FILE.npz] [--seeds N]

FILE.npz has MNIST's arrays `x_train`, `y_train`, `x_test` and `y_test`.
"""

import argparse
import dataclasses
import os
import statistics
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers

from keras_strategies import compression, export

MOST_LOST = 0.3
BATCH = 64


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Sparsity, values in a kernel, and epochs of the three trainings."""

    target: float
    sparsity: float
    values: int
    epochs: tuple
    rate: float


def lenet():
    """A LeNet with a wide dense layer: 3.3 million weights."""
    found = [keras.Input((28, 28, 1))]
    for count in (32, 64):
        found.append(layers.Conv2D(count, 5, padding="same", activation="relu"))
        found.append(layers.MaxPooling2D())
    found += [layers.Flatten(), layers.Dense(1024, activation="relu")]
    return keras.Sequential([*found, layers.Dense(10)])


def tutorial():
    """The network of TFMOT's tutorials for MNIST, with 20 thousand weights."""
    found = [keras.Input((28, 28, 1)), layers.Conv2D(12, 3, activation="relu")]
    found += [layers.MaxPooling2D(), layers.Flatten()]
    return keras.Sequential([*found, layers.Dense(10)])


NETWORKS = {
    "LeNet 32-64-1024": (lenet, Recipe(40, 0.97, 16, (12, 8, 3), 1e-3)),
    "TFMOT's tutorial": (tutorial, Recipe(12, 0.87, 16, (30, 15, 5), 2e-3)),
}


def digits(file=None):
    """`(x, y)` for training and for the test, and where they are from."""
    if file is not None:
        with np.load(file) as data:
            x, y = (
                [data[f"{kind}_{part}"] for part in ("train", "test")] for kind in "xy"
            )
        x = [images[..., None].astype("float32") / 255 for images in x]
        return (x[0], y[0]), (x[1], y[1]), os.path.basename(file)
    from sklearn.datasets import load_digits

    data = load_digits()
    images = np.kron(data.images / 16, np.ones((3, 3)))
    images = np.pad(images, [(0, 0), (2, 2), (2, 2)])[..., None].astype("float32")
    order = np.random.default_rng(0).permutation(len(images))
    train, test = order[:1297], order[1297:]
    parts = [(images[rows], data.target[rows]) for rows in (train, test)]
    return *parts, "scikit-learn's digits"


def _fit(model, train, rate, epochs, prepare=None):
    steps = -(-len(train[0]) // BATCH) * epochs
    schedule = keras.optimizers.schedules.CosineDecay(rate, steps)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(schedule), loss)
    if prepare is not None:
        prepare(steps)
    model.fit(*train, batch_size=BATCH, epochs=epochs, verbose=0)
    if prepare is not None:
        compression.strip(model)


def _file(model, quantization, train, test):
    """`(bytes, gzipped bytes, accuracy in percent)` of a `.tflite` file."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.tflite")
        result = export.to_tflite(
            model,
            path,
            quantization=quantization,
            representative_data=train[0][:300] if quantization == "int8" else None,
            verify=test[0][:64],
        )
        outputs = export.TFLiteModel(path).predict(test[0], batch_size=250, verbose=0)
    accuracy = 100 * float(np.mean(outputs.argmax(-1) == test[1]))
    return result.bytes, result.gzipped_bytes, accuracy


def compressed(build, recipe, train, test, seed):
    """Trains, compresses and measures one network; returns a dict."""
    keras.utils.set_random_seed(seed)
    started = time.monotonic()
    model = build()
    plain, pruned, clustered = recipe.epochs
    _fit(model, train, recipe.rate, plain)
    before = _file(model, "float32", train, test)

    def prune(steps):
        end = int(0.7 * steps) // 10 * 10
        schedule = compression.PolynomialSparsity(
            0.0, recipe.sparsity, 0, end, frequency=10
        )
        compression.prune(model, schedule, scope="global")

    def cluster(steps):
        compression.cluster(model, recipe.values, preserve_sparsity=True)

    _fit(model, train, 1e-3, pruned, prune)
    _fit(model, train, 3e-4, clustered, cluster)
    after = _file(model, "int8", train, test)
    return {
        "seed": seed,
        "float32": before,
        "int8": after,
        "ratio": before[1] / after[1],
        "lost": before[2] - after[2],
        "seconds": time.monotonic() - started,
    }


def _interval(values, form):
    low, high = form.format(min(values)), form.format(max(values))
    return f"{form.format(statistics.mean(values))} ({low} to {high})"


def show(file=None, seeds=3, networks=NETWORKS):
    """Prints a row for each network and seed, and their means."""
    train, test, name = digits(file)
    print(f"{name}: {len(train[0])} samples to train on, {len(test[0])} to test on")
    for network, (build, recipe) in networks.items():
        rows = []
        for seed in range(seeds):
            row = compressed(build, recipe, train, test, seed)
            rows.append(row)
            (raw, gzipped, accuracy), (small, zipped, kept) = (
                row["float32"],
                row["int8"],
            )
            print(
                f"{network:<18} seed {seed}  {raw:>10,} > {small:>9,} bytes, gzipped "
                f"{gzipped:>10,} > {zipped:>7,}  {accuracy:5.2f} > {kept:5.2f} %  "
                f"({row['seconds']:.0f} s)",
                flush=True,
            )
        ratios, lost = ([row[key] for row in rows] for key in ("ratio", "lost"))
        print(
            f"{network:<18} {_interval(ratios, '{:.1f}')} times smaller (target >= "
            f"{recipe.target}), {_interval(lost, '{:+.2f}')} points lost (target <= "
            f"{MOST_LOST}); {recipe.sparsity:.0%} sparse, {recipe.values} values",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    show(arguments.data, arguments.seeds)


if __name__ == "__main__":
    main()
