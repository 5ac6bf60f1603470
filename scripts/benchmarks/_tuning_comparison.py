"""Searches on functions of their own, stored curve by curve, and what their ranks say.

    python scripts/benchmarks/_tuning_comparison.py run FILE [--seeds N] [--minutes M]
    python scripts/benchmarks/_tuning_comparison.py report FILE

One search has 100 trials; its best after 20, 40 and 100 is compared. `run` goes on
where an earlier run of the same file ended.
"""

import argparse
import collections
import importlib.util
import json
import os
import pathlib
import statistics
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from scipy import stats

TRIALS = 100
BUDGETS = (20, 40, 100)
SEED_STEP = 1000
#: Those that take part, the quickest first; the default first of all.
SEARCHES = (
    "ours, default",
    "ours, tpe",
    "ours, evolution",
    "KerasTuner random",
    "Optuna TPE",
    "Optuna CMA-ES",
    "nevergrad NGOpt",
    "hyperopt TPE",
    "Optuna GP",
    "scikit-optimize GP",
    "KerasTuner Bayesian",
)


def curve(search, function, seed, trials=TRIALS):
    """`(best value after each trial, milliseconds of each proposal)`."""
    from _tuning_functions import FUNCTIONS, NOISE
    from _tuning_searches import METHODS

    asked = FUNCTIONS[function]
    true, seen = [], []
    noise = np.random.default_rng([seed, 77]).normal(size=10 * trials) * NOISE

    def evaluate(values):
        true.append(asked.value(seed, values))
        is_noisy = function == "noisy"
        seen.append(true[-1] + (noise[len(seen)] if is_noisy else 0.0))
        return seen[-1]

    _, seconds = METHODS[search](asked.space, evaluate, trials, seed)
    best = [true[int(np.argmin(seen[: k + 1]))] for k in range(len(seen))]
    return best, [1000 * s for s in seconds]


def read(path):
    """`{(function, search, seed): stored line}`."""
    lines = path.read_text().splitlines() if path.exists() else []
    found = map(json.loads, lines)
    return {(r["function"], r["search"], r["seed"]): r for r in found}


def run(path, seeds, minutes=1e9, searches=SEARCHES, functions=None):
    from _tuning_functions import FUNCTIONS
    from _tuning_searches import PACKAGES

    quiet()
    end = time.monotonic() + 60 * minutes
    done = read(path)
    for package in sorted({PACKAGES[s] for s in searches if s in PACKAGES}):
        if importlib.util.find_spec(package) is None:
            print(f"{package} is not installed: its search is not measured", flush=True)
            searches = [s for s in searches if PACKAGES.get(s) != package]
    for seed in (SEED_STEP * k + 3 for k in range(seeds)):
        for search in searches:
            for function in functions or FUNCTIONS:
                if (function, search, seed) in done:
                    continue
                if time.monotonic() > end:
                    return
                best, times = curve(search, function, seed)
                line = {
                    "function": function,
                    "search": search,
                    "seed": seed,
                    "best": [float(f"{value:.6g}") for value in best],
                    "ms": round(statistics.median(times), 2),
                    "ms_last": round(statistics.median(times[-10:]), 2),
                }
                with open(path, "a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")


def quiet():
    import logging
    import warnings

    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("absl").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")


def blocks(found, searches, budget):
    """Rows of a value for each search: those functions and seeds that all have."""
    rows = {}
    for function, seed in sorted({(f, s) for f, _, s in found}):
        keys = [(function, search, seed) for search in searches]
        if all(key in found for key in keys):
            # A search that has used up its space ends before.
            lines = [found[key]["best"] for key in keys]
            rows[function, seed] = [line[min(budget, len(line)) - 1] for line in lines]
    return rows


def report(path, searches=SEARCHES, seeds=10):
    first = {SEED_STEP * k + 3 for k in range(seeds)}
    found = {key: line for key, line in read(path).items() if key[2] in first}
    searches = [s for s in searches if any(key[1] == s for key in found)]
    print("| Search | " + " | ".join(f"rank at {b}" for b in BUDGETS) + " | ms |")
    print("|---|" + "---|" * (len(BUDGETS) + 1))
    ranks = {}
    for budget in BUDGETS:
        rows = blocks(found, searches, budget)
        ranks[budget] = np.array([stats.rankdata(row) for row in rows.values()])
    for k, search in enumerate(searches):
        times = [r["ms_last"] for key, r in found.items() if key[1] == search]
        cells = [f"{ranks[b][:, k].mean():.2f}" for b in BUDGETS]
        print(f"| {search} | {' | '.join(cells)} | {statistics.median(times):.1f} |")
    for budget in BUDGETS:
        rows = np.array(list(blocks(found, searches, budget).values()))
        friedman = stats.friedmanchisquare(*rows.T)
        print(f"\n{budget} trials, {len(rows)} pairs of function and seed: Friedman")
        print(
            f"p = {friedman.pvalue:.1e}. {searches[0]} against each (Wilcoxon, Holm):"
        )
        compare(searches, ranks[budget])
    print("\nMean over seeds of the best value")
    print(
        "| Search | " + " | ".join(f"{f}, {b}" for f in names(found) for b in BUDGETS)
    )
    for search in searches:
        cells = []
        for function in names(found):
            lines = [
                r["best"]
                for (f, s, _), r in found.items()
                if f == function and s == search
            ]
            cells += [f"{np.mean([v[b - 1] for v in lines]):.3g}" for b in BUDGETS]
        print(f"| {search} | {' | '.join(cells)} |")


def names(found):
    return sorted({function for function, _, _ in found})


def compare(searches, ranks):
    """Signed-rank tests of the ranks of the first against the others, with Holm's."""
    tests = []
    for k in range(1, len(searches)):
        difference = ranks[:, 0] - ranks[:, k]
        p = stats.wilcoxon(difference).pvalue if np.any(difference) else 1.0
        tests.append((p, k, difference.mean()))
    adjusted, text = 0.0, collections.OrderedDict()
    for place, (p, k, mean) in enumerate(sorted(tests)):
        adjusted = max(adjusted, min(1.0, p * (len(tests) - place)))
        text[k] = f"  {searches[k]}: {mean:+.2f} ranks, p = {adjusted:.2g}"
    for k in sorted(text):
        print(text[k])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=("run", "report"))
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--search", action="append", choices=SEARCHES)
    parser.add_argument("--function", action="append")
    given = parser.parse_args()
    searches = given.search or list(SEARCHES)
    if given.action == "run":
        run(given.file, given.seeds, given.minutes, searches, given.function)
    else:
        report(given.file, searches, given.seeds)


if __name__ == "__main__":
    main()
