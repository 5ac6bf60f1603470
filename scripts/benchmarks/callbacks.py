"""What callbacks and schedules cost, as a ratio to a fit without them.

    scripts/benchmark callbacks [--rounds N] [--steps N] [--each] [--network cnn|mlp]
    scripts/benchmark callbacks --fits [--rounds N]

A network whose training step takes about 10 ms (two convolutions, 0.1 million weights;
`mlp` has 0.9 million, on which clipping and averaging have more to do) is trained
without callbacks, with a stack of eight (a scheduler for each batch, clipping, early
stopping, an average of the weights, gradient norms, bars, recovery from NaN, a time
budget), and with a schedule in its optimizer. The fits take turns, in one process; each
has an epoch that compiles, which is left out, and then three that count. Figures are
medians of the time of an epoch, by that without callbacks; ratios of processor times
are given too, because other work on the machine disturbs them less. `--each` adds a row
for each of the eight alone and one for the clipping of the optimizer itself.

`--fits` trains a small network by many fits of one step, as online learning and DQN do,
with one callback at a time: what a callback compiles in every fit shows there. Figures
are processor times by those of fits without callbacks, in turns. `KERAS_BACKEND`
chooses the backend.
"""

import argparse
import io
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from rich.console import Console

from keras_strategies import callbacks, schedules

TARGET = 1.05
BATCH, COUNTED = 192, 3


class _Timer(keras.callbacks.Callback):
    """Seconds and processor seconds from the begin of an epoch to its end.

    Two of them, around the other callbacks, share a list.
    """

    async_safe = True

    def __init__(self, times, last):
        super().__init__()
        self.times, self.last = times, last

    def on_epoch_begin(self, epoch, logs=None):
        if not self.last:
            self.times.append((time.perf_counter(), time.process_time()))

    def on_epoch_end(self, epoch, logs=None):
        if self.last:
            wall, processor = self.times[-1]
            self.times[-1] = (
                time.perf_counter() - wall,
                time.process_time() - processor,
            )


def _eight(update_freq=1):
    terminal = Console(file=io.StringIO(), force_terminal=True, width=120)
    return {
        "CosineDecayScheduler, each batch": callbacks.CosineDecayScheduler(
            initial_learning_rate=0.01, update="batch"
        ),
        "GradientClipping": callbacks.GradientClipping(global_clipnorm=1.0),
        "EarlyStopping": callbacks.EarlyStopping(monitor="loss", patience=99),
        "WeightAveraging, each step": callbacks.WeightAveraging(
            decay=0.99, update_freq=update_freq
        ),
        "GradientMonitor": callbacks.GradientMonitor(),
        "ProgressBar": callbacks.ProgressBar(console=terminal),
        "NaNRecovery": callbacks.NaNRecovery(),
        "TimeBudget, each batch": callbacks.TimeBudget(3600, update="batch"),
    }


def _cnn():
    layers = [keras.Input((784,)), keras.layers.Reshape((28, 28, 1))]
    for filters in (16, 32):
        layers.append(keras.layers.Conv2D(filters, 3, activation="relu"))
        layers.append(keras.layers.MaxPooling2D())
    layers += [keras.layers.Flatten(), keras.layers.Dense(128, activation="relu")]
    return layers


def _mlp():
    dense = [keras.layers.Dense(512, activation="relu") for _ in range(3)]
    return [keras.Input((784,)), *dense]


def _model(layers, rate=0.01, **clipping):
    model = keras.Sequential([*layers(), keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(rate, momentum=0.9, **clipping), loss=loss)
    return model


def _times(model, used, x, y):
    """Medians over the epochs that count: seconds and processor seconds of a step."""
    times = []
    around = [_Timer(times, last=False), *used, _Timer(times, last=True)]
    model.fit(x, y, batch_size=BATCH, epochs=1 + COUNTED, callbacks=around, verbose=0)
    steps = len(x) // BATCH
    return [
        statistics.median(column) / steps for column in zip(*times[1:], strict=True)
    ]


def _variants(layers, each, total):
    """`{name: (model, function that makes the callbacks)}`."""
    one_cycle = schedules.OneCycle(0.01, total_steps=total)
    variants = {
        "no callbacks": (_model(layers), list),
        "a schedule in the optimizer": (_model(layers, one_cycle), list),
        "eight callbacks": (_model(layers), lambda: list(_eight().values())),
        "eight, averaging every 10th step": (
            _model(layers),
            lambda: list(_eight(update_freq=10).values()),
        ),
    }
    if each:
        clipping = _model(layers, global_clipnorm=1.0)
        variants["Keras's own clipping"] = (clipping, list)
        for name in _eight():
            variants[name] = (_model(layers), lambda name=name: [_eight()[name]])
    return variants


FITS = 12  # one-step fits in a round
FITS_TARGET = 1.2


def _alone():
    """Callbacks that change the training step, and one that does not."""
    kinds = callbacks
    return {
        "no callback": lambda: None,
        "EarlyStopping": lambda: kinds.EarlyStopping("loss"),
        "GradientClipping": lambda: kinds.GradientClipping(global_clipnorm=1.0),
        "GradientMonitor": kinds.GradientMonitor,
        "WeightAveraging": kinds.WeightAveraging,
        "NaNRecovery": kinds.NaNRecovery,
        "MomentumScheduler": lambda: kinds.MomentumScheduler({0: 0.9}),
        "WeightDecayScheduler": lambda: kinds.WeightDecayScheduler({0: 0.01}),
        "LabelSmoothingScheduler": lambda: kinds.LabelSmoothingScheduler({0: 0.1}),
    }


def _one_step_fits(rounds):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(1, 4)), rng.integers(0, 2, size=1)
    runs, found = {}, {name: [] for name in _alone()}
    for name, make in _alone().items():
        model = keras.Sequential(
            [keras.Input((4,)), keras.layers.Dense(24), keras.layers.Dense(2)]
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss=loss)
        callback = make()
        runs[name] = model, [] if callback is None else [callback]
        for _ in range(2):  # what is compiled once
            model.fit(x, y, callbacks=runs[name][1], verbose=0)
    for _ in range(rounds):
        for name, (model, used) in runs.items():
            begin = time.process_time()
            for _ in range(FITS):
                model.fit(x, y, callbacks=used, verbose=0)
            found[name].append((time.process_time() - begin) / FITS)
    plain = found["no callback"]
    print(f"{keras.backend.backend()} backend, {rounds} rounds of {FITS} one-step fits")
    print(f"{'':<34}{'ms a fit':>10}{'ratio':>8}")
    for name, seconds in found.items():
        ratio = statistics.median(s / p for s, p in zip(seconds, plain, strict=True))
        print(f"{name:<34}{statistics.median(seconds) * 1000:>10.2f}{ratio:>8.3f}")
    print(f"Aim: each at most {FITS_TARGET}.")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=100, help="steps in an epoch")
    parser.add_argument("--each", action="store_true")
    parser.add_argument("--network", choices=("cnn", "mlp"), default="cnn")
    parser.add_argument("--fits", action="store_true", help="many one-step fits")
    arguments = parser.parse_args()
    if arguments.fits:
        _one_step_fits(arguments.rounds)
        return
    layers = {"cnn": _cnn, "mlp": _mlp}[arguments.network]
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(BATCH * arguments.steps, 784)).astype("float32")
    y = rng.integers(0, 10, size=len(x))
    total = arguments.steps * (1 + COUNTED) * arguments.rounds
    variants = _variants(layers, arguments.each, total)
    found = {name: [] for name in variants}
    for _ in range(arguments.rounds):
        for name, (model, make) in variants.items():
            found[name].append(_times(model, make(), x, y))
    plain = found["no callbacks"]
    print(f"{keras.backend.backend()} backend, {arguments.rounds} rounds in turns")
    print(f"{'':<34}{'ms a step':>10}{'ratio':>8}{'processor':>11}")
    for name, values in found.items():
        step = statistics.median(wall for wall, _ in values)
        ratios = [
            statistics.median(v[i] / p[i] for v, p in zip(values, plain, strict=True))
            for i in range(2)
        ]
        print(f"{name:<34}{step * 1000:>10.2f}{ratios[0]:>8.3f}{ratios[1]:>11.3f}")
    print(f"Aim: eight callbacks at most {TARGET} on a step of 10 ms.")


if __name__ == "__main__":
    main()
