"""Searches against KerasTuner's own and Optuna's TPE, at equal budget.

    scripts/benchmark tuning [--only functions|digits|pruning] [--seeds N]

`functions`: Hartmann-6 and a conditional toy, 40 trials; the milliseconds are processor
time. `digits`: a network on scikit-learn's digits, 25 trials of 8 epochs. `pruning`:
epochs that the median pruner saves there.
"""

import argparse
import functools
import logging
import os
import statistics
import tempfile
import time
import warnings

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import keras_tuner
import numpy as np
import optuna
from sklearn.datasets import load_digits

from keras_strategies import tuning
from keras_strategies.tuning import _algorithms

SEED_STEP = 1000  # neighbouring seeds of KerasTuner's random search share draws
FUNCTION_TRIALS, DIGITS_TRIALS, EPOCHS = 40, 25, 8
OBJECTIVE = keras_tuner.Objective("loss", "min")


# What is searched: a space and the value of a point in it


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


FUNCTIONS = {
    "Hartmann-6": (hartmann_space, hartmann),
    "conditional toy": (toy_space, toy),
}


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


def digits_error(data, seed, values):
    """Error on the held-out digits after a training."""
    (x, y), held = data
    hp = keras_tuner.HyperParameters()
    digits_space(hp)
    hp.values = {**hp.values, **values}
    keras.utils.set_random_seed(seed)
    model = network().build(hp)
    epochs = int(values.get("tuner/epochs", EPOCHS))
    network().fit(hp, model, x, y, epochs=epochs, verbose=0)
    return 1 - model.evaluate(*held, verbose=0, return_dict=True)["accuracy"]


# Who searches


def space_of(declare):
    hp = keras_tuner.HyperParameters()
    declare(hp)
    return hp


def with_oracle(oracle, evaluate, trials):
    """Values and times of the proposals of an oracle of KerasTuner's or ours."""
    found, seconds = [], []
    budget = trials * EPOCHS if hasattr(oracle, "max_epochs") else float("inf")
    with tempfile.TemporaryDirectory() as folder:
        oracle._set_project_dir(folder, "search")
        oracle.verbose = oracle._display.verbose = 0
        while len(found) < trials or budget < float("inf"):
            start = time.process_time()
            trial = oracle.create_trial("tuner0")
            seconds.append(time.process_time() - start)
            if trial.status != "RUNNING" or budget <= 0:
                break
            values = trial.hyperparameters.values
            budget -= values.get("tuner/epochs", 0)
            found.append(evaluate(values))
            oracle.update_trial(trial.trial_id, {"loss": found[-1]})
            trial.status = "COMPLETED"
            oracle.end_trial(trial)
    return found, seconds


def keras_tuner_search(cls, declare, evaluate, trials, seed, **options):
    settings = {"objective": OBJECTIVE, "seed": seed, **options}
    if cls is not keras_tuner.oracles.HyperbandOracle:
        settings["max_trials"] = trials
    oracle = cls(hyperparameters=space_of(declare), **settings)
    return with_oracle(oracle, evaluate, trials)


def our_search(name, declare, evaluate, trials, seed):
    space = space_of(declare)
    if name == "auto":
        name, _ = _algorithms.choose(space.space, trials, 1)
    arguments = {"objective": OBJECTIVE, "max_trials": trials, "seed": seed}
    oracle = _algorithms.make(name, {}, {**arguments, "hyperparameters": space})
    return with_oracle(oracle, evaluate, trials)


def optuna_search(declare, evaluate, trials, seed):
    """Optuna's own TPE with its defaults, asked for what is active."""
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    found, seconds = [], []
    for _ in range(trials):
        start = time.process_time()
        trial, values = study.ask(), {}
        for hp in space_of(declare).space:
            if all(c.is_active(values) for c in hp.conditions):
                values[hp.name] = _suggest(trial, hp)
        seconds.append(time.process_time() - start)
        found.append(evaluate(values))
        study.tell(trial, found[-1])
    return found, seconds


def _suggest(trial, hp):
    if isinstance(hp, keras_tuner.engine.hyperparameters.Choice):
        return trial.suggest_categorical(hp.name, hp.values)
    log = hp.sampling == "log"
    if isinstance(hp, keras_tuner.engine.hyperparameters.Int):
        return trial.suggest_int(hp.name, hp.min_value, hp.max_value, log=log)
    return trial.suggest_float(hp.name, hp.min_value, hp.max_value, log=log)


# The measurements


ORACLES = keras_tuner.oracles
METHODS = {
    "KerasTuner random": functools.partial(
        keras_tuner_search, ORACLES.RandomSearchOracle
    ),
    "KerasTuner Hyperband": functools.partial(
        keras_tuner_search, ORACLES.HyperbandOracle, max_epochs=EPOCHS
    ),
    "Optuna TPE": optuna_search,
    "ours, default": functools.partial(our_search, "auto"),
    "ours, bayesian": functools.partial(our_search, "bayesian"),
    "ours, tpe": functools.partial(our_search, "tpe"),
    "ours, evolution": functools.partial(our_search, "evolution"),
    "KerasTuner Bayesian": functools.partial(
        keras_tuner_search, ORACLES.BayesianOptimizationOracle
    ),
}
KERAS_TUNERS = ("KerasTuner random", "KerasTuner Bayesian", "KerasTuner Hyperband")


def measured(declare, evaluate, trials, seeds, hyperband):
    """`{method: (best value of each seed, milliseconds of each proposal)}`."""
    found = {}
    for name, search in METHODS.items():
        if name == "KerasTuner Hyperband" and not hyperband:
            continue  # there are no epochs
        best, times = [], []
        for seed in seeds:
            values, seconds = search(declare, evaluate(seed), trials, seed)
            best.append(min(values))
            times += [1000 * s for s in seconds]
        found[name] = best, times
        show(name, best, times)
    return found


def interval(values):
    """Mean and standard error."""
    if len(values) < 2:
        return statistics.mean(values), float("nan")
    return statistics.mean(values), statistics.stdev(values) / len(values) ** 0.5


def show(name, best, times):
    mean, error = interval(best)
    text = f"| {name} | {mean:.4f} ± {error:.4f} "
    text += f"| {statistics.median(times):.1f} | {max(times):.0f} |"
    print(text, flush=True)


def heading(title, trials, seeds):
    print(f"\n{title}, {trials} trials, {len(seeds)} seeds; less is better\n")
    print("| Search | best, mean ± standard error | ms a proposal | largest |")
    print("|---|---|---|---|")


def ranks(tables):
    """Mean rank of each method over tables and seeds, with the default choice."""
    names = [n for n in METHODS if n.startswith("KerasTuner") or n == "ours, default"]
    placed = {name: [] for name in names}
    for found in tables:
        here = [name for name in names if name in found]
        for row in zip(*(found[name][0] for name in here), strict=True):
            order = np.argsort(np.argsort(row)) + 1
            for name, rank in zip(here, order, strict=True):
                placed[name].append(float(rank))
    print("\nMean rank against KerasTuner's own:")
    for name, found in placed.items():
        if found:
            print(f"  {name}: {statistics.mean(found):.2f}")


def pruning(data, seeds):
    """Epochs and best errors with the median pruner and without, same proposals."""
    (x, y), held = data
    print(f"\nmedian pruner, {DIGITS_TRIALS} trials, {len(seeds)} seeds\n")
    print("| Seed | epochs | of | best with | best without |\n|---|---|---|---|---|")
    for seed in seeds:
        found = []
        for pruner in ("median", None):
            with tempfile.TemporaryDirectory() as folder:
                tuner = tuning.Tuner(
                    network(),
                    keras_tuner.Objective("val_accuracy", "max"),
                    max_trials=DIGITS_TRIALS,
                    algorithm="random",
                    pruner=pruner,
                    directory=folder,
                    seed=seed,
                )
                tuner.search(x, y, validation_data=held, epochs=EPOCHS, verbose=0)
                curves = tuner.oracle._curves.values()
                best = 1 - tuner.oracle.get_best_trials(1)[0].score
                found.append((sum(map(len, curves)), best))
        (with_, best), (without, whole) = found
        print(
            f"| {seed} | {with_} | {without} | {best:.4f} | {whole:.4f} |", flush=True
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("functions", "digits", "pruning"))
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("absl").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    seeds = [SEED_STEP * k + 1 for k in range(arguments.seeds)]
    tables = []
    if arguments.only in (None, "functions"):
        for title, (declare, function) in FUNCTIONS.items():
            heading(title, FUNCTION_TRIALS, seeds)
            evaluate = functools.partial(_unseeded, function)
            tables.append(measured(declare, evaluate, FUNCTION_TRIALS, seeds, False))
    if arguments.only in (None, "digits"):
        heading(f"digits, {EPOCHS} epochs a trial", DIGITS_TRIALS, seeds)
        evaluate = functools.partial(functools.partial, digits_error, digits())
        tables.append(measured(digits_space, evaluate, DIGITS_TRIALS, seeds, True))
    if tables:
        ranks(tables)
    if arguments.only in (None, "pruning"):
        pruning(digits(), seeds)
    print("\nAims: the default within one standard error of the best; at most 20 ms a")
    print("proposal for TPE and evolution; a fifth of the epochs saved by the pruner.")


def _unseeded(function, seed):
    return function


if __name__ == "__main__":
    main()
