"""Accuracy at equal size: low rank and pruning by magnitude, after fine-tuning.

A network of two wide dense layers is trained on one half of a data set of scikit-learn,
made small in one of several ways, trained on for as long, and scored on the other half.
Size is the number of weights that are not zero. Means and standard errors over seeds.

    scripts/benchmark sparsity [--seeds N] [--size F ...]
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers

from keras_strategies import compression


def data_sets():
    """`{name: (x, y)}`, standardized."""
    from sklearn.datasets import load_breast_cancer, load_digits

    sets = {}
    for name, load in (("digits", load_digits), ("tumours", load_breast_cancer)):
        data = load()
        x = np.asarray(data.data, "float32")
        x = (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-6)
        sets[name] = (x, np.asarray(data.target))
    return sets


def _network(width, classes):
    dense = layers.Dense
    return keras.Sequential(
        [
            keras.Input((width,)),
            dense(96, activation="relu"),
            dense(96, activation="relu"),
            dense(classes),
        ]
    )


def _fit(model, data, epochs, rate):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    model.fit(*data, epochs=epochs, batch_size=64, verbose=0)
    return model


def _pruned(model, size, data, epochs, scope):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
    steps = epochs * -(-len(data[0]) // 64)
    last = max(int(0.7 * steps) // 5 * 5, 5)
    schedule = compression.PolynomialSparsity(0.0, 1 - size, 0, last, frequency=5)
    compression.prune(model, schedule, scope=scope)
    model.fit(*data, epochs=epochs, batch_size=64, verbose=0)
    return compression.strip(model)


def _weights(model):
    kernels = [w for w in model.weights if len(w.shape) > 1]
    return sum(int(np.count_nonzero(keras.ops.convert_to_numpy(w))) for w in kernels)


def _copy(model):
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    return clone


def _dense(base, size, data, epochs):
    return _fit(_copy(base), data, epochs, 1e-3)


def _by_layer(base, size, data, epochs):
    return _pruned(_copy(base), size, data, epochs, "layer")


def _global(base, size, data, epochs):
    return _pruned(_copy(base), size, data, epochs, "global")


def _low_rank(base, size, data, epochs):
    small = compression.factorize(_copy(base), size=size)
    return _fit(small, data, epochs, 1e-3)


WAYS = {
    "dense, trained on": _dense,
    "magnitude, by layer": _by_layer,
    "magnitude, global": _global,
    "low rank": _low_rank,
}


def run(seeds, sizes, epochs=10):
    """Yields one dict for each data set, size and method."""
    for name, (x, y) in data_sets().items():
        found = {}
        for seed in range(seeds):
            order = np.random.default_rng(seed).permutation(len(x))
            half = len(x) // 2
            train = x[order[:half]], y[order[:half]]
            test = x[order[half:]], y[order[half:]]
            keras.utils.set_random_seed(seed)
            base = _fit(_network(x.shape[1], y.max() + 1), train, 2 * epochs, 3e-3)
            for size in sizes:
                for way, make in WAYS.items():
                    model = make(base, size, train, epochs)
                    score = model.evaluate(*test, verbose=0)[1]
                    found.setdefault((size, way), []).append((score, _weights(model)))
        for (size, way), scores in found.items():
            accuracies = np.array([score for score, _ in scores])
            yield {
                "data": name,
                "size": size,
                "way": way,
                "weights": int(np.mean([count for _, count in scores])),
                "accuracy": accuracies.mean(),
                "error": accuracies.std(ddof=1) / np.sqrt(len(accuracies)),
            }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--size", type=float, nargs="+", default=[0.3, 0.1])
    args = parser.parse_args()
    print("| Data | Size | | Weights | Accuracy |\n|---|---|---|---|---|")
    for row in run(args.seeds, args.size):
        print(
            f"| {row['data']} | {row['size']:g} | {row['way']} | {row['weights']:,} "
            f"| {row['accuracy']:.3f} ± {row['error']:.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
