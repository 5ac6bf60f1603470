"""Searches against KerasTuner's own and Optuna's TPE, at equal budget.

    scripts/benchmark tuning [--only PART] [--seeds N] [--jobs N]

The parts: `functions`: Hartmann-6 and a conditional toy, 40 trials; the milliseconds
are processor time. `digits`: a network on scikit-learn's digits, 25 trials of 8 epochs.
`pruning`: epochs that the median pruner saves there. `speed`: the same random trials by
KerasTuner and with shared models, one search after the other. Other searches run side
by side, one to a core. `searches` (only if asked for) compares eleven searches on
formulas and recorded trainings; it takes hours, and goes on with the curves that are in
the file `--curves`.
"""

import argparse
import concurrent.futures
import importlib.util
import logging
import multiprocessing
import os
import pathlib
import statistics
import tempfile
import time
import warnings

# A search has one core: what is measured side by side does not disturb its neighbour.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import _tuning_comparison
import keras
import keras_tuner
import optuna
from _tuning_problems import DIGITS_TRIALS, EPOCHS, PROBLEMS, digits, network
from _tuning_searches import METHODS
from scipy.stats import rankdata

from keras_strategies import tuning

PARTS = ("functions", "digits", "pruning", "speed", "searches")
SEED_STEP = 1000  # neighbouring seeds of KerasTuner's random search share draws


def one_search(method, problem, seed):
    """Best value, and milliseconds of each proposal; runs in a process of its own."""
    quiet()
    given = PROBLEMS[problem]
    evaluate = given.evaluate(seed)
    values, seconds = METHODS[method](given.space, evaluate, given.trials, seed)
    return min(values), [1000 * s for s in seconds]


def measured(problem, seeds, pool):
    """`{method: (best value of each seed, milliseconds of each proposal)}`."""
    epochs = PROBLEMS[problem].epochs
    names = [n for n in METHODS if epochs or n != "KerasTuner Hyperband"]
    if importlib.util.find_spec("hyperopt") is None:
        names.remove("hyperopt TPE")
        print("hyperopt is not installed and not measured", flush=True)
    started = {
        name: [pool.submit(one_search, name, problem, seed) for seed in seeds]
        for name in names
    }
    found = {}
    for name, searches in started.items():
        best, times = zip(*(search.result() for search in searches), strict=True)
        found[name] = best, [ms for each in times for ms in each]
        show(name, *found[name])
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
            for name, rank in zip(here, rankdata(row), strict=True):
                placed[name].append(float(rank))
    print("\nMean rank against KerasTuner's own:")
    for name, found in placed.items():
        if found:
            print(f"  {name}: {statistics.mean(found):.2f}")


def pruned_search(pruner, seed):
    """Epochs trained, and the best error."""
    quiet()
    (x, y), held = digits()
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
        epochs = sum(map(len, tuner.oracle.curves.values()))
        return epochs, 1 - tuner.oracle.get_best_trials(1)[0].score


def pruning(seeds, pool):
    """Epochs and best errors with the median pruner and without, same proposals."""
    print(f"\nmedian pruner, {DIGITS_TRIALS} trials, {len(seeds)} seeds\n")
    print("| Seed | epochs | of | best with | best without |\n|---|---|---|---|---|")
    started = [
        [pool.submit(pruned_search, pruner, seed) for pruner in ("median", None)]
        for seed in seeds
    ]
    for seed, pair in zip(seeds, started, strict=True):
        (with_, best), (without, whole) = (search.result() for search in pair)
        print(
            f"| {seed} | {with_} | {without} | {best:.4f} | {whole:.4f} |", flush=True
        )


def speed(trials):
    """Seconds of the same trials, by KerasTuner and by us, with shared models too.

    Random searches with the proposals and initial weights of one seed.
    """
    print(f"\n{trials} trials of {EPOCHS} epochs on the digits, processor seconds\n")
    print("| Space | search | seconds | wall | times | largest difference |")
    print("|---|---|---|---|---|---|")
    for name, net in (("all of HyperMLP", network()), ("numbers only", one_network)):
        peer = timed_search(net, trials, keras_tuner.RandomSearch)
        print(f"| {name} | KerasTuner | {peer[0]:.1f} | {peer[1]:.1f} | 1.00 | |")
        scores = None
        for shares in (False, True):
            found = timed_search(net, trials, tuning.Tuner, share_models=shares)
            differs = "" if scores is None else f"{worst(scores, found[2]):.1e}"
            scores = found[2]
            label = "ours, shared models" if shares else "ours, `share_models=False`"
            cells = f"{found[0]:.1f} | {found[1]:.1f} | {peer[0] / found[0]:.2f}"
            print(f"| {name} | {label} | {cells} | {differs} |", flush=True)


def one_network(hp):
    """One architecture whose trials differ in numbers."""
    factor = hp.Float("l2", 1e-6, 1e-2, sampling="log")
    model = keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Dense(
                64, "relu", kernel_regularizer=keras.regularizers.L2(factor)
            ),
            keras.layers.Dropout(hp.Float("dropout", 0.05, 0.5)),
            keras.layers.Dense(10, "softmax"),
        ]
    )
    rate = hp.Float("learning_rate", 1e-3, 1.0, sampling="log")
    momentum = hp.Float("momentum", 0.1, 0.99)
    hp.Int("batch_size", 32, 128)
    model.compile(
        keras.optimizers.SGD(rate, momentum=momentum),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def timed_search(net, trials, kind, **kwargs):
    """`(processor seconds, seconds, scores by trial)`."""
    (x, y), held = digits()
    if kind is tuning.Tuner:
        kwargs["algorithm"] = "random"
    with tempfile.TemporaryDirectory() as folder:
        tuner = kind(
            net,
            objective=keras_tuner.Objective("val_accuracy", "max"),
            max_trials=trials,
            directory=folder,
            seed=1,
            **kwargs,
        )
        begin, wall = time.process_time(), time.perf_counter()
        tuner.search(x, y, validation_data=held, epochs=EPOCHS, verbose=0)
        seconds = time.process_time() - begin, time.perf_counter() - wall
        scores = [trial.score for trial in tuner.oracle.trials.values()]
    return *seconds, scores


def worst(one, other):
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


def quiet():
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("absl").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--curves", type=pathlib.Path, default="searches.jsonl")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    quiet()
    if arguments.only == "searches":
        _tuning_comparison.run(arguments.curves, arguments.seeds)
        _tuning_comparison.report(arguments.curves, seeds=arguments.seeds)
        return
    seeds = [SEED_STEP * k + 1 for k in range(arguments.seeds)]
    tables = []
    with concurrent.futures.ProcessPoolExecutor(
        arguments.jobs, multiprocessing.get_context("spawn")
    ) as pool:
        for name, problem in PROBLEMS.items():
            if arguments.only in (None, "digits" if problem.epochs else "functions"):
                heading(name, problem.trials, seeds)
                tables.append(measured(name, seeds, pool))
        if tables:
            ranks(tables)
        if arguments.only in (None, "pruning"):
            pruning(seeds, pool)
    if arguments.only in (None, "speed"):
        speed(DIGITS_TRIALS)
    print("\nAims: the default within one standard error of the best; at most 20 ms a")
    print("proposal for TPE and evolution; a fifth of the epochs saved by the pruner.")


if __name__ == "__main__":
    main()
