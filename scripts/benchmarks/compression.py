"""Cost of pruning: a pruned training step against the plain step.

Plain and pruned models train the same steps in turns, in one process; figures are
medians of the time a step takes, and their ratio; the ratio of processor times is
given too, because other work on the machine disturbs it less. The masks are renewed
every 100 steps and held in between, as in a usual schedule.

    scripts/benchmark compression [--large] [--rounds N]

`KERAS_BACKEND` chooses the backend. `--large` adds a LeNet with a dense layer of
1024 units (3.3 million weights).
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from keras_strategies import compression

STEPS = 100
BATCH = 128
TARGET = 1.15


def _mlp():
    layers = [keras.Input((28, 28, 1)), keras.layers.Flatten()]
    layers += [keras.layers.Dense(units, activation="relu") for units in (300, 100)]
    return keras.Sequential([*layers, keras.layers.Dense(10)])


def _lenet(filters=(6, 16), units=(120, 84)):
    layers = [keras.Input((28, 28, 1))]
    for count in filters:
        layers.append(keras.layers.Conv2D(count, 5, padding="same", activation="relu"))
        layers.append(keras.layers.MaxPooling2D())
    layers.append(keras.layers.Flatten())
    layers += [keras.layers.Dense(count, activation="relu") for count in units]
    return keras.Sequential([*layers, keras.layers.Dense(10)])


def _large_lenet():
    return _lenet(filters=(32, 64), units=(1024,))


def _compiled(build, jit, pruned):
    keras.utils.set_random_seed(0)
    model = build()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, jit_compile=jit)
    if pruned:
        schedule = compression.ConstantSparsity(0.8, begin_step=0, frequency=STEPS)
        compression.prune(model, schedule)
    return model


def _seconds_a_step(model, x, y):
    wall, processor = time.perf_counter(), time.process_time()
    model.fit(x, y, batch_size=BATCH, epochs=1, shuffle=False, verbose=0)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return wall / STEPS, processor / STEPS


def _compare(name, build, jit, rounds):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(STEPS * BATCH, 28, 28, 1)).astype("float32")
    y = rng.integers(0, 10, size=STEPS * BATCH)
    models = {pruned: _compiled(build, jit, pruned) for pruned in (False, True)}
    times = {False: [], True: []}
    for turn in range(rounds + 1):
        for pruned in (False, True) if turn % 2 else (True, False):
            seconds = _seconds_a_step(models[pruned], x, y)
            if turn:  # the first turn compiles
                times[pruned].append(seconds)
    (plain, plain_cpu), (sparse, sparse_cpu) = (
        map(statistics.median, zip(*times[pruned], strict=True))
        for pruned in (False, True)
    )
    return {
        "model": name,
        "backend": keras.backend.backend(),
        "jit_compile": jit,
        "weights": models[True].count_params(),
        "sparsity": compression.sparsity_report(models[True]).sparsity,
        "plain_ms": 1000 * plain,
        "pruned_ms": 1000 * sparse,
        "ratio": sparse / plain,
        "processor_ratio": sparse_cpu / plain_cpu,
    }


def rows(rounds=7, large=False):
    """Measures every model; yields one dict a row."""
    builders = {"MLP 300-100": _mlp, "LeNet-5": _lenet}
    if large:
        builders["LeNet 32-64-1024"] = _large_lenet
    modes = [False] if keras.backend.backend() == "torch" else [False, True]
    for name, build in builders.items():
        for jit in modes:
            yield _compare(name, build, jit, rounds)


def run(rounds=7, large=False):
    """Measures every model; returns the rows as a list."""
    return list(rows(rounds, large))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--large", action="store_true")
    arguments = parser.parse_args()
    columns = "model             backend     jit    weights  plain ms  pruned ms"
    print(f"{columns}  ratio  cpu ratio")
    for row in rows(arguments.rounds, arguments.large):
        print(
            f"{row['model']:<17} {row['backend']:<11} {row['jit_compile']!s:<5} "
            f"{row['weights']:>8}  {row['plain_ms']:8.2f}  {row['pruned_ms']:9.2f}  "
            f"{row['ratio']:5.2f}  {row['processor_ratio']:9.2f}  (target <= {TARGET})",
            flush=True,
        )


if __name__ == "__main__":
    main()
