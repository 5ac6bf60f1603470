"""Functions of `scripts/benchmark tuning` that no search here was tuned on.

Five formulas, whose optimum lies elsewhere for each seed, and tables of recorded
trainings of Keras models (`_record_tables.py`).
"""

import csv
import functools
import pathlib
import typing

import numpy as np
from sklearn.gaussian_process import GaussianProcessRegressor, kernels

FOLDER = pathlib.Path(__file__).parent / "data"
# Trainings beyond this quantile are all equally bad; it keeps interpolation smooth.
_WORST = 0.8


class Function(typing.NamedTuple):
    """A space and the value of a point, less is better.

    Attributes:
        space: Declares the hyperparameters.
        value: Of `(seed, values)`.
    """

    space: typing.Callable
    value: typing.Callable


def generator(seed, name):
    return np.random.default_rng([seed, *name.encode()])


def numbers(*names, low=0.0, high=1.0):
    def declare(hp):
        for name in names:
            hp.Float(name, low, high)

    return declare


def griewank(seed, values):
    """Many ripples on a bowl, four numbers."""
    rng = generator(seed, "griewank")
    z = 6 * (point(values, "abcd") - rng.uniform(0.1, 0.9, 4))
    return float((z**2).sum() / 4 + 1 - np.prod(np.cos(z / np.sqrt(np.arange(1, 5)))))


def valley(seed, values):
    """A narrow curved valley of five numbers, as the logarithm."""
    rng = generator(seed, "valley")
    z = 3 * (point(values, "abcde") - rng.uniform(0.15, 0.85, 5)) + 1
    steep = 20 * (z[1:] - z[:-1] ** 2) ** 2 + (1 - z[:-1]) ** 2
    return float(np.log10(1e-3 + steep.sum()))


def network_space(hp):
    hp.Float("rate", 1e-5, 1.0, sampling="log")
    hp.Float("decay", 1e-7, 1e-1, sampling="log")
    hp.Int("units", 8, 1024, sampling="log")
    hp.Int("layers", 1, 6)
    hp.Choice("activation", ["relu", "tanh", "swish", "elu"])
    hp.Choice("norm", ["none", "batch", "layer"])
    hp.Float("dropout", 0.0, 0.8)


def network(seed, values):
    """Numbers, logarithms and names that depend on each other."""
    rng = generator(seed, "network")
    best = rng.uniform(0.15, 0.85, 4)
    names = rng.permutation(4), rng.permutation(3)
    kind = names[0][["relu", "tanh", "swish", "elu"].index(values["activation"])]
    norm = names[1][["none", "batch", "layer"].index(values["norm"])]
    rate = 1 + np.log10(values["rate"]) / 5
    units = np.log(values["units"] / 8) / np.log(128)
    # A normalized network takes larger rates, a larger one smaller rates.
    target = best[0] + 0.1 * norm - 0.2 * (units - 0.5)
    value = 6 * (rate - target) ** 2 + 0.15 * kind + 0.1 * (norm - 1) ** 2
    value += 0.5 * (1 + (np.log10(values["decay"]) + 1) / 6 - best[1]) ** 2
    value += (units - best[2]) ** 2 + 0.03 * abs(values["layers"] - 2 - 2 * kind / 3)
    return float(value + (values["dropout"] - best[3] * 0.8) ** 2)


def branches_space(hp):
    hp.Float("rate", 1e-4, 1.0, sampling="log")
    hp.Choice("kind", ["p", "q", "r"])
    for kind, count in (("p", 1), ("q", 2), ("r", 3)):
        with hp.conditional_scope("kind", [kind]):
            for number in range(count):
                hp.Float(f"{kind}{number}", 0.0, 1.0)


def branches(seed, values):
    """Three kinds with parts of their own; the more parts, the better the best."""
    rng = generator(seed, "branches")
    value = (np.log10(values["rate"]) + rng.uniform(0.8, 3.2)) ** 2 / 3
    for kind, count, floor in (("p", 1, 0.5), ("q", 2, 0.25), ("r", 3, 0.0)):
        z = rng.uniform(0.1, 0.9, count)
        if values["kind"] == kind:
            at = np.array([values[f"{kind}{number}"] for number in range(count)])
            value += floor + 2 * np.abs(at - z).sum() / count
    return float(value)


def noisy(seed, values):
    """A bowl and a ripple of three numbers; the value that is seen has noise.

    What is compared is the value without noise of the point that looked best.
    """
    rng = generator(seed, "noisy")
    z = point(values, "abc") - rng.uniform(0.1, 0.9, 3)
    return float(4 * (z**2).sum() + 0.3 * np.sin(9 * z[0]) ** 2)


NOISE = 0.3


def point(values, names):
    return np.array([values[name] for name in names])


class Table:
    """Recorded trainings, interpolated by a Gaussian process with noise."""

    def __init__(self, name):
        with open(FOLDER / f"{name}.csv", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        loss = np.array([float(row.pop("val_loss")) for row in rows])
        self.names = {}
        for column in rows[0]:
            given = sorted({row[column] for row in rows if row[column]})
            is_choice = column in ("optimizer", "units", "embedding")
            self.names[column] = given if is_choice else None
        y = np.log(np.minimum(loss, np.quantile(loss, _WORST)))
        self.mean, self.deviation = y.mean(), y.std()
        x = np.array([self.encode(row) for row in rows])
        kernel = kernels.ConstantKernel(1.0) * kernels.Matern(
            np.ones(x.shape[1]), (0.1, 30), nu=2.5
        ) + kernels.WhiteKernel(0.05, (1e-3, 0.5))
        model = GaussianProcessRegressor(kernel, random_state=0)
        model.fit(x, (y - self.mean) / self.deviation)
        self.kernel, self.x, self.alpha = model.kernel_.k1, x, model.alpha_

    def encode(self, values):
        columns = []
        for name, given in self.names.items():
            value = values.get(name, "")
            if given is not None:
                columns += [float(str(value) == other) for other in given]
            elif value in ("", None):
                columns.append(0.5)
            else:
                low, high, log = RANGES[name]
                value = float(value)
                if log:
                    low, high, value = np.log([low, high, value])
                columns.append((value - low) / (high - low))
        return np.array(columns)

    def __call__(self, values):
        found = self.kernel(self.encode(values)[None], self.x) @ self.alpha
        return float(np.exp(found[0] * self.deviation + self.mean))

    def declare(self, hp):
        for name, given in self.names.items():
            if name == "momentum":
                continue
            if given is not None:
                is_int = all(other.isdigit() for other in given)
                hp.Choice(name, sorted(map(int, given)) if is_int else given)
            elif name == "batch_size":
                hp.Int(name, *RANGES[name][:2], sampling="log")
            else:
                low, high, log = RANGES[name]
                hp.Float(name, low, high, sampling="log" if log else "linear")
        with hp.conditional_scope("optimizer", ["sgd"]):
            hp.Float("momentum", *RANGES["momentum"][:2])


#: `(low, high, logarithmic)`, as `_record_tables.py` draws them.
RANGES = {
    "learning_rate": (1e-4, 1.0, True),
    "momentum": (0.01, 0.99, False),
    "l2": (1e-7, 1e-1, True),
    "dropout": (0.01, 0.7, False),
    "batch_size": (8, 128, True),
}


@functools.cache
def table(name):
    return Table(name)


def table_function(name):
    return Function(
        lambda hp: table(name).declare(hp), lambda seed, values: table(name)(values)
    )


FUNCTIONS = {
    "griewank": Function(numbers(*"abcd"), griewank),
    "valley": Function(numbers(*"abcde"), valley),
    "network": Function(network_space, network),
    "branches": Function(branches_space, branches),
    "noisy": Function(numbers(*"abc"), noisy),
    # Of the tables that are recorded.
    **{path.stem: table_function(path.stem) for path in sorted(FOLDER.glob("*.csv"))},
}
