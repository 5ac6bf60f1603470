"""Removing half of the filters: time in LiteRT, and accuracy, against the full model.

Latency is the median time of one inference in the LiteRT interpreter (one thread,
XNNPACK) of the float32 `.tflite` of a model and of its pruned copy, measured in turns.
Accuracy is that on the test half of scikit-learn's digits of a small network: trained,
pruned, and trained on, against one that is trained as long without pruning.

    scripts/benchmark filters [--rounds N] [--seeds N]
"""

import argparse
import os
import statistics
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers

from keras_strategies import compression, export

TARGET = 1.5


def _convolutions(filters, count):
    found = []
    for width in filters:
        for _ in range(count):
            found.append(layers.Conv2D(width, 3, padding="same", use_bias=False))
            found += [layers.BatchNormalization(), layers.ReLU()]
        found.append(layers.MaxPooling2D())
    return [*found, layers.Flatten()]


def _vgg():
    body = _convolutions((32, 64, 128), 2)
    head = [layers.Dense(256, activation="relu"), layers.Dense(10)]
    return keras.Sequential([keras.Input((32, 32, 3)), *body, *head])


def _mobile_net():
    build = keras.applications.MobileNetV2
    return build(weights=None, input_shape=(96, 96, 3), classes=10)


def latency(rounds=5, fraction=0.5):
    """Yields one dict a model: MACs, bytes and times, each before and after."""
    for name, build in {"VGG-like, 32 px": _vgg, "MobileNetV2": _mobile_net}.items():
        model = build()
        pruned = compression.prune_filters(model, fraction)
        times = ([], [])
        with tempfile.TemporaryDirectory() as folder:
            paths = [os.path.join(folder, f"{part}.tflite") for part in "ab"]
            for path, one in zip(paths, (model, pruned), strict=True):
                export.to_tflite(one, path)
            for _ in range(rounds):
                for path, found in zip(paths, times, strict=True):
                    result = export.TFLiteModel(path).benchmark(runs=100)
                    found.append(result.median_ms)
            sizes = tuple(os.path.getsize(path) for path in paths)
        before, after = map(statistics.median, times)
        macs = compression.filter_report(model, pruned).macs
        yield {"model": name, "macs": macs, "bytes": sizes, "ms": (before, after)}


def _digits():
    from sklearn.datasets import load_digits

    data = load_digits()
    x, y = data.images[..., None].astype("float32") / 16, data.target
    order = np.random.default_rng(0).permutation(len(x))
    half = len(x) // 2
    return (x[order[:half]], y[order[:half]]), (x[order[half:]], y[order[half:]])


def _network():
    body = _convolutions((16, 32), 1)
    return keras.Sequential([keras.Input((8, 8, 1)), *body, layers.Dense(10)])


def accuracy(seeds=5, fraction=0.5):
    """Yields one dict a seed: test accuracies in percent."""
    train, test = _digits()

    def fit(model, rate, epochs):
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
        model.fit(*train, batch_size=32, epochs=epochs, verbose=0)
        return score(model)

    def score(model):
        return 100 * model.evaluate(*test, verbose=0)[1]

    for seed in range(seeds):
        keras.utils.set_random_seed(seed)
        model = _network()
        row = {"seed": seed, "trained": fit(model, 2e-3, 15)}
        pruned = compression.prune_filters(model, fraction)
        row["pruned"] = score(pruned)
        row["pruned and trained on"] = fit(pruned, 1e-3, 10)
        row["full and trained on"] = fit(model, 1e-3, 10)
        yield row


def show(rounds=5, seeds=5):
    """Prints both tables."""
    for row in latency(rounds):
        before, after = row["ms"]
        print(
            f"prune_filters 0.5  {row['model']:<16} MACs {row['macs'][0]:>11,} > "
            f"{row['macs'][1]:>10,}  bytes {row['bytes'][0]:>9,} > "
            f"{row['bytes'][1]:>9,}  {before:7.3f} > {after:7.3f} ms  "
            f"{before / after:5.2f} times faster  (target >= {TARGET})",
            flush=True,
        )
    found = list(accuracy(seeds))
    for name in [key for key in found[0] if key != "seed"]:
        scores = [row[name] for row in found]
        print(
            f"digits, {name:<22} {statistics.mean(scores):6.2f} % "
            f"({min(scores):.2f} to {max(scores):.2f}, {seeds} seeds)"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    show(arguments.rounds, arguments.seeds)


if __name__ == "__main__":
    main()
