"""What compression gains in size and speed, and what it costs in training.

- size: int8 `.tflite` after pruning and clustering against the float32 one, both
  gzipped, on digits (`scripts/benchmark sizes`);
- steps: a pruned and a quantization-aware training step against the plain one;
- filters: half of the filters removed, time in LiteRT (`scripts/benchmark filters`).

The models of `steps` train the same batches in turns, in one process; figures are
medians of the time a step takes, and their ratio; the ratio of processor times is
given too, because other work on the machine disturbs it less. Masks are renewed
every 100 steps and held in between, as in a usual schedule.

    scripts/benchmark compression_gains [--only size|steps|filters] [--data FILE.npz]
                                  [--seeds N] [--rounds N] [--large]

`KERAS_BACKEND` chooses the backend of the steps. `--data` is a file with MNIST's
arrays, without which the digits are scikit-learn's. `--large` adds the steps of a
LeNet with a dense layer of 1024 units (3.3 million weights).
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import filters
import keras
import numpy as np
import sizes

from keras_strategies import compression

STEPS = 100
BATCH = 128
TARGETS = {"pruned": 1.15, "quantization-aware": 2.5}


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


def _compiled(build, jit, kind):
    keras.utils.set_random_seed(0)
    model = build()
    if kind == "quantization-aware":
        model = compression.quantize_aware(model)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, jit_compile=jit)
    if kind == "pruned":
        schedule = compression.ConstantSparsity(0.8, begin_step=0, frequency=STEPS)
        compression.prune(model, schedule)
    return model


def _seconds_a_step(model, x, y):
    wall, processor = time.perf_counter(), time.process_time()
    model.fit(x, y, batch_size=BATCH, epochs=1, shuffle=False, verbose=0)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return wall / STEPS, processor / STEPS


def _compare(name, build, jit, rounds):
    """Yields a dict for each kind of step, against the plain one."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(STEPS * BATCH, 28, 28, 1)).astype("float32")
    y = rng.integers(0, 10, size=STEPS * BATCH)
    kinds = ("plain", *TARGETS)
    models = {kind: _compiled(build, jit, kind) for kind in kinds}
    times = {kind: [] for kind in kinds}
    for turn in range(rounds + 1):
        for kind in kinds if turn % 2 else kinds[::-1]:
            seconds = _seconds_a_step(models[kind], x, y)
            if turn:  # the first turn compiles
                times[kind].append(seconds)
    medians = {
        kind: tuple(map(statistics.median, zip(*found, strict=True)))
        for kind, found in times.items()
    }
    plain, plain_cpu = medians["plain"]
    for kind, target in TARGETS.items():
        wall, cpu = medians[kind]
        yield {
            "model": name,
            "step": kind,
            "backend": keras.backend.backend(),
            "jit_compile": jit,
            "plain_ms": 1000 * plain,
            "ms": 1000 * wall,
            "ratio": wall / plain,
            "processor_ratio": cpu / plain_cpu,
            "target": target,
        }


def rows(rounds=7, large=False):
    """Measures every model; yields one dict a row."""
    builders = {"MLP 300-100": _mlp, "LeNet-5": _lenet}
    if large:
        builders["LeNet 32-64-1024"] = _large_lenet
    modes = [False] if keras.backend.backend() == "torch" else [False, True]
    for name, build in builders.items():
        for jit in modes:
            yield from _compare(name, build, jit, rounds)


def show_steps(rounds=7, large=False):
    """Prints a row for each model and kind of step."""
    columns = (
        "step                model             backend     jit    plain ms       ms"
    )
    print(f"{columns}  ratio  cpu ratio")
    for row in rows(rounds, large):
        print(
            f"{row['step']:<19} {row['model']:<17} {row['backend']:<11} "
            f"{row['jit_compile']!s:<5}  {row['plain_ms']:8.2f}  {row['ms']:7.2f}  "
            f"{row['ratio']:5.2f}  {row['processor_ratio']:9.2f}  "
            f"(target <= {row['target']})",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("size", "steps", "filters"))
    parser.add_argument("--data")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--large", action="store_true")
    given = parser.parse_args()
    parts = {
        "size": lambda: sizes.show(given.data, given.seeds),
        "steps": lambda: show_steps(given.rounds, given.large),
        "filters": lambda: filters.show(given.rounds, given.seeds),
    }
    for name, show in parts.items():
        if given.only in (None, name):
            show()


if __name__ == "__main__":
    main()
