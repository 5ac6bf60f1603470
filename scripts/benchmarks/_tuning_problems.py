"""What `scripts/benchmark tuning` searches: spaces and the values of points."""

import functools
import typing

import keras
import keras_tuner
import numpy as np
from sklearn.datasets import load_digits

from keras_strategies import tuning

FUNCTION_TRIALS, DIGITS_TRIALS, EPOCHS = 40, 25, 8


def space_of(declare):
    hp = keras_tuner.HyperParameters()
    declare(hp)
    return hp


def hartmann_space(hp):
    for k in range(6):
        hp.Float(f"x{k}", 0.0, 1.0)


def hartmann(values):
    """Six numbers; the minimum is -3.32."""
    alpha = np.array([1.0, 1.2, 3.0, 3.2])
    a = np.array(
        [
            [10, 3, 17, 3.5, 1.7, 8],
            [0.05, 10, 17, 0.1, 8, 14],
            [3, 3.5, 1.7, 10, 17, 8],
            [17, 8, 0.05, 10, 0.1, 14],
        ]
    )
    p = 1e-4 * np.array(
        [
            [1312, 1696, 5569, 124, 8283, 5886],
            [2329, 4135, 8307, 3736, 1004, 9991],
            [2348, 1451, 3522, 2883, 3047, 6650],
            [4047, 8828, 8732, 5743, 1091, 381],
        ]
    )
    x = np.array([values[f"x{k}"] for k in range(6)])
    return -float(alpha @ np.exp(-(a * (x - p) ** 2).sum(axis=1)))


def toy_space(hp):
    hp.Float("rate", 1e-4, 1.0, sampling="log")
    hp.Choice("kind", ["flat", "deep", "wide"])
    with hp.conditional_scope("kind", ["flat"]):
        hp.Float("flat_x", 0.0, 1.0)
    with hp.conditional_scope("kind", ["deep"]):
        hp.Int("deep_n", 1, 30)
        hp.Float("deep_x", 0.0, 1.0)
        hp.Float("deep_y", 0.0, 1.0)
    with hp.conditional_scope("kind", ["wide"]):
        hp.Int("wide_n", 1, 300, sampling="log")
        hp.Choice("wide_how", ["p", "q", "r"])


def toy(values):
    """Three kinds with parts of their own; the best, `deep`, has 0 as its minimum."""
    value = (np.log10(values["rate"]) + 2.5) ** 2 / 4
    if values["kind"] == "flat":
        return float(value + 0.6 + values["flat_x"])
    if values["kind"] == "deep":
        value += abs(values["deep_n"] - 22) / 15
        value += 4 * (values["deep_x"] - 0.7) ** 2 + 4 * (values["deep_y"] - 0.2) ** 2
        return float(value)
    value += 0.25 + abs(np.log10(values["wide_n"]) - 1.5) / 2
    return float(value + {"p": 0.3, "q": 0.0, "r": 0.5}[values["wide_how"]])


@functools.cache
def digits():
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order].astype("float32") / 16, y[order]
    return (x[:1000], y[:1000]), (x[1000:], y[1000:])


def network():
    return tuning.HyperMLP(
        (64,),
        classes=10,
        layers=(1, 3),
        units=(16, 256),
        dropout=(0.0, 0.5),
        batch_size=(32, 128),
        optimizer=("sgd", "adam", "rmsprop"),
        learning_rate=(1e-4, 1e-1),
    )


def digits_space(hp):
    network().declare_hyperparameters(hp)


def digits_error(seed, values):
    """Error on the held-out digits after a training."""
    (x, y), held = digits()
    hp = space_of(digits_space)
    hp.values = {**hp.values, **values}
    keras.utils.set_random_seed(seed)
    model = network().build(hp)
    epochs = int(values.get("tuner/epochs", EPOCHS))
    network().fit(hp, model, x, y, epochs=epochs, verbose=0)
    return 1 - model.evaluate(*held, verbose=0, return_dict=True)["accuracy"]


class Problem(typing.NamedTuple):
    space: typing.Callable  # declares the hyperparameters
    value: typing.Callable  # of a point; where there are epochs, of a seed and a point
    trials: int
    epochs: bool = False

    def evaluate(self, seed):
        return functools.partial(self.value, seed) if self.epochs else self.value


PROBLEMS = {
    "Hartmann-6": Problem(hartmann_space, hartmann, FUNCTION_TRIALS),
    "conditional toy": Problem(toy_space, toy, FUNCTION_TRIALS),
    "digits": Problem(digits_space, digits_error, DIGITS_TRIALS, epochs=True),
}
