"""Accuracy at equal size: sparse training and low rank beside pruning by magnitude.

A network of two wide dense layers is trained on one half of a data set, made small in
one of several ways in as many further steps, and scored on the other half. Size is the
number of weights that are not zero. In the third data set the network was trained on
the digits 0 to 4, and is fine-tuned on 5 to 9 while it is pruned. The learning rate is
the best of three for pruning by magnitude on other seeds, and for the others too.
Differences from magnitude are those of the same seed. The package's own pruning is
trained by Keras, all else by one loop in NumPy. Then filters of a convolutional
network: by the size of their weights, or by their share in the loss (Taylor).

    scripts/benchmark sparsity [--seeds N] [--size F ...] [--data NAME ...]
        [--rows FILE] [--light] [--filters]
"""

import argparse
import json
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from _sparse_training import Loop, initial
from keras import layers

from keras_strategies import compression

HIDDEN = (96, 96)
EPOCHS, RATE = 10, 1e-2
BASELINE = "magnitude, one threshold"
METHODS = (
    "dense, trained on",
    BASELINE,
    "movement",
    "lottery ticket, rewound to epoch 2",
    "SET, from the start",
    "RigL, from the start",
    "low rank, by `factorize`",
    "fewer units, by `prune_filters`",
)
# The same in Keras: what the package trains itself.
PACKAGE = (
    "`prune(scope='global')`",
    "`prune(scope='layer')`",
    "`prune(scope='global', criterion='movement')`",
)


def _standard(x):
    x = np.asarray(x, "float32")
    return (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-6)


def digits():
    from sklearn.datasets import load_digits

    data = load_digits()
    return _standard(data.data), np.asarray(data.target)


def generated():
    from sklearn.datasets import make_classification

    x, y = make_classification(
        n_samples=2000,
        n_features=64,
        n_informative=24,
        n_redundant=16,
        n_classes=8,
        class_sep=2.0,
        random_state=0,
    )
    return _standard(x), y


def _halves(x, y, seed):
    order = np.random.default_rng(seed).permutation(len(x))
    half = len(x) // 2
    first, second = order[:half], order[half:]
    return (x[first], y[first]), (x[second], y[second])


def problem(name, seed):
    """`(data to train on before, data to fine-tune on, data to score on)`."""
    if name != "transfer":
        train, test = _halves(*(digits if name == "digits" else generated)(), seed)
        return train, train, test
    x, y = digits()
    train, test = _halves(x[y >= 5], y[y >= 5], seed)
    return (x[y < 5], y[y < 5]), train, test


class Case:
    """A trained network of one seed, and what makes it small."""

    def __init__(self, name, seed):
        before, self.train, self.test = problem(name, seed)
        self.seed = seed
        widths = (before[0].shape[1], *HIDDEN, 10)
        self.start = initial(widths, np.random.default_rng(seed))
        early = Loop(*self.start, before, seed).trained(2, 3e-3)
        self.early = early.kernels, early.biases
        base = Loop(*self.early, before, seed + 1000).trained(2 * EPOCHS - 2, 3e-3)
        self.base = base.kernels, base.biases

    def loop(self, weights=None):
        return Loop(*(weights or self.base), self.train, self.seed + 2000)

    def methods(self):
        """`{name: function of the size}`."""
        rates = RATE, RATE / 3

        def evolved(size, by_gradient):
            loop = self.loop(self.start)
            return loop.evolved(size, 3 * EPOCHS, rates, by_gradient)

        return {
            "dense, trained on": lambda size: self.loop().trained(EPOCHS, RATE),
            "`prune(scope='global')`": lambda size: self._by_package(
                size, scope="global"
            ),
            "`prune(scope='layer')`": lambda size: self._by_package(size),
            BASELINE: lambda size: self.loop().pruned(size, EPOCHS, RATE),
            "`prune(scope='global', criterion='movement')`": lambda size: (
                self._by_package(size, 1, scope="global", criterion="movement")
            ),
            "movement": lambda size: self.loop().movement(size, EPOCHS, RATE),
            "lottery ticket, rewound to epoch 2": self._rewound,
            "SET, from the start": lambda size: evolved(size, False),
            "RigL, from the start": lambda size: evolved(size, True),
            "low rank, by `factorize`": self._low_rank,
            "fewer units, by `prune_filters`": self._fewer_units,
        }

    def _rewound(self, size):
        masks = self.loop().pruned_at_once(size).masks()
        loop = self.loop(self.early)
        for kernel, mask in zip(loop.kernels, masks, strict=True):
            kernel *= mask
        return loop.trained(EPOCHS, RATE, masks)

    def untrained(self):
        """Methods whose result is not trained any more."""
        return {
            "magnitude": lambda size: self.loop().pruned_at_once(size),
            "low rank, by `factorize`": lambda size: self._low_rank(size, 0),
            "fewer units, by `prune_filters`": lambda size: self._fewer_units(size, 0),
        }

    def _network(self):
        kernels, biases = self.base
        dense = layers.Dense
        model = keras.Sequential(
            [
                keras.Input((kernels[0].shape[0],)),
                *(dense(width, activation="relu") for width in HIDDEN),
                dense(10),
            ]
        )
        pairs = zip(kernels, biases, strict=True)
        model.set_weights([array for pair in pairs for array in pair])
        return self._compiled(model)

    def _compiled(self, model):
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(RATE), loss)
        return model

    def _fit(self, model):
        keras.utils.set_random_seed(self.seed)
        model.fit(*self.train, epochs=EPOCHS, batch_size=64, verbose=0)
        return _Scored(model)

    def _by_package(self, size, frequency=5, **options):
        model = self._network()
        steps = EPOCHS * -(-len(self.train[0]) // 64)
        last = int(0.7 * steps) // frequency * frequency
        schedule = compression.PolynomialSparsity(
            0.0, 1 - size, 0, last, frequency=frequency
        )
        compression.prune(model, schedule, **options)
        return self._fit(model)

    def _low_rank(self, size, epochs=EPOCHS):
        model = self._network()
        # The last layer is small, and its rank is the number of classes.
        last = model.layers[-1]
        kept, total = last.kernel.shape[0] * 10, _Scored(model).weights()
        share = (size * total - kept) / (total - kept)
        try:
            small = compression.factorize(model, size=share, exclude=last)
        except ValueError:  # not even rank 1 is as small
            return None
        names = [layer.name for layer in small.layers]
        linear = [n for n, name in enumerate(names) if name.endswith("_low_rank")]
        return self._structured(small, epochs, linear)

    def _fewer_units(self, size, epochs=EPOCHS):
        model = self._network()
        width, units = model.input_shape[-1], HIDDEN[0]

        def weights(kept):
            return kept * (width + kept + 10)

        kept = max(n for n in range(units) if weights(n) <= size * weights(units))
        small = compression.prune_filters(model, 1 - kept / units, round_to=1)
        return self._structured(small, epochs)

    def _structured(self, small, epochs, linear=()):
        dense = [x for x in small.layers if isinstance(x, layers.Dense)]
        kernels = [np.asarray(x.kernel, "float64") for x in dense]
        biases = [
            np.asarray(x.bias, "float64") if x.use_bias else np.zeros(x.units)
            for x in dense
        ]
        loop = Loop(kernels, biases, self.train, self.seed + 2000, linear)
        return loop.trained(epochs, RATE)


class _Scored:
    """A model with the two methods of `Loop`."""

    def __init__(self, model):
        self.model = model

    def accuracy(self, x, labels):
        return float(np.mean(self.model.predict(x, verbose=0).argmax(1) == labels))

    def weights(self):
        kernels = [w for w in self.model.weights if len(w.shape) > 1]
        arrays = [keras.ops.convert_to_numpy(w) for w in kernels]
        return sum(int(np.count_nonzero(array)) for array in arrays)


def measure(name, seeds, sizes, rows, methods):
    """Adds one row for each seed, size and method that `rows` does not have."""
    for seed in range(seeds):
        case = None
        for size in sizes:
            for method in methods:
                key = {"data": name, "seed": seed, "size": size, "method": method}
                if any(row.items() >= key.items() for row in rows.rows):
                    continue
                case = case or Case(name, seed)
                small = case.methods()[method](size)
                if small is not None:
                    accuracy = small.accuracy(*case.test)
                    weights = small.weights()
                    rows.add(key | {"accuracy": accuracy, "weights": weights})
                keras.backend.clear_session()


class Rows:
    """Results, kept in a file of JSON lines if one is given."""

    def __init__(self, path=None):
        self.path, self.rows = path, []
        if path is not None and path.exists():
            self.rows = [json.loads(line) for line in path.read_text().splitlines()]

    def add(self, row):
        self.rows.append(row)
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(json.dumps(row) + "\n")


def table(name, sizes, rows, methods):
    """Yields one line for each size and method."""
    for size in sizes:
        own = [x for x in rows.rows if x["data"] == name and x["size"] == size]
        base = {x["seed"]: x["accuracy"] for x in own if x["method"] == BASELINE}
        for method in methods:
            of = [x for x in own if x["method"] == method]
            if not of:
                yield f"| {name} | {size:g} | {method} | | cannot be as small | |"
                continue
            gain = 100 * np.array([x["accuracy"] - base[x["seed"]] for x in of])
            error = gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else 0.0
            accuracy = 100 * np.mean([x["accuracy"] for x in of])
            weights = int(np.mean([x["weights"] for x in of]))
            yield (
                f"| {name} | {size:g} | {method} | {weights:,} | {accuracy:.1f} "
                f"| {gain.mean():+.1f} ± {error:.1f} |"
            )


def run_untrained(name, seeds, sizes=(0.7, 0.5, 0.3)):
    """Yields one line for each size and method."""
    scores = {}
    for seed in range(seeds):
        case = Case(name, seed)
        for size in sizes:
            for method, make in case.untrained().items():
                accuracy = make(size).accuracy(*case.test)
                scores.setdefault((size, method), []).append(100 * accuracy)
    for (size, method), values in scores.items():
        error = np.std(values, ddof=1) / np.sqrt(len(values))
        yield f"| {name} | {size:g} | {method} | {np.mean(values):.1f} ± {error:.1f} |"


def _convolutional(classes=10):
    inputs = keras.Input((8, 8, 1))
    x = inputs
    for width in (16, 32, 32):
        x = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(classes)(x))


def taylor_scores(model, x, labels, batch=64):
    """`{bytes of a kernel: score of each filter}`: squared change of the loss.

    Removing a filter changes the loss by about the sum of gradient times weight over
    its kernel; its square, summed over batches (Molchanov et al., "Importance
    estimation for neural network pruning", 2019).
    """
    import tensorflow as tf

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    kernels = [w for w in model.trainable_variables if len(w.shape) > 1]
    totals = [np.zeros(w.shape[-1]) for w in kernels]
    for start in range(0, len(x), batch):
        rows = slice(start, start + batch)
        with tf.GradientTape() as tape:
            value = loss(labels[rows], model(x[rows]))
        for total, kernel, gradient in zip(
            totals, kernels, tape.gradient(value, kernels), strict=True
        ):
            products = np.asarray(gradient) * np.asarray(kernel)
            total += products.reshape(-1, len(total)).sum(axis=0) ** 2
    return {np.asarray(w).tobytes(): t for w, t in zip(kernels, totals, strict=True)}


def run_filters(seeds, fractions):
    """Yields one row for each fraction and criterion."""
    x, y = digits()
    x = x.reshape(-1, 8, 8, 1)
    scores = {}
    for seed in range(seeds):
        train, test = _halves(x, y, seed)
        keras.utils.set_random_seed(seed)
        base = _trained_filters(_convolutional(), train, 12)
        taylor = taylor_scores(base, *train)
        criteria = {
            "l1": "l1",
            "l2": "l2",
            "Taylor": lambda kernel, by=taylor: by[kernel.tobytes()],
        }
        for fraction in fractions:
            for name, criterion in criteria.items():
                small = compression.prune_filters(
                    base, fraction, criterion=criterion, exclude="dense"
                )
                at_once = _Scored(small).accuracy(*test)
                after = _Scored(_trained_filters(small, train, 4)).accuracy(*test)
                scores.setdefault((fraction, name), []).append((at_once, after))
    for (fraction, name), values in scores.items():
        values = 100 * np.array(values)
        gain = values[:, 1] - 100 * np.array(scores[fraction, "l1"])[:, 1]
        error = gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else 0.0
        yield (
            f"| {fraction:g} | {name} | {values[:, 0].mean():.1f} "
            f"| {values[:, 1].mean():.1f} | {gain.mean():+.1f} ± {error:.1f} |"
        )


def _trained_filters(model, data, epochs):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss)
    model.fit(*data, epochs=epochs, batch_size=64, verbose=0)
    return model


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--size", type=float, nargs="+", default=[0.3, 0.1, 0.03])
    names = ["digits", "generated", "transfer"]
    parser.add_argument("--data", nargs="*", default=names, choices=names)
    parser.add_argument("--rows", type=pathlib.Path, help="file to go on from")
    parser.add_argument("--light", action="store_true", help="NumPy alone")
    parser.add_argument("--filters", action="store_true", help="filters alone")
    args = parser.parse_args()
    if not args.filters:
        rows = Rows(args.rows)
        methods = METHODS if args.light else METHODS + PACKAGE
        print(
            "| Data | Size | | Weights | Accuracy | Gain |\n|---|---|---|---|---|---|"
        )
        for name in args.data:
            measure(name, args.seeds, args.size, rows, methods)
            for line in table(name, args.size, rows, methods):
                print(line, flush=True)
        print("\n| Data | Size | Not trained | Accuracy |\n|---|---|---|---|")
        for name in [name for name in args.data if name != "transfer"]:
            for line in run_untrained(name, args.seeds):
                print(line, flush=True)
    if args.filters or args.data == names:
        print("\n| Removed | By | At once | Trained on | Gain |\n|---|---|---|---|---|")
        for row in run_filters(args.seeds, (0.5, 0.75)):
            print(row, flush=True)


if __name__ == "__main__":
    main()
