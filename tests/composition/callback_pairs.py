"""The callbacks of the matrix, the scenarios, and one cell of it."""

import itertools

import keras
import numpy as np

from keras_strategies import callbacks
from tests.composition import callbacks_by_hand as by_hand

X = np.reshape(np.float32(by_hand.GRADIENTS), (-1, 1))
ONE = np.ones((1, 1), "float32")
NAN_BATCH = 1

# {name: (how it is made, what it writes, what it reads)} with w the weights, r the
# learning rate, o the state of the optimizer, h its other hyperparameters and clip
# settings, s `stop_training`, l the logs, m what siblings remember.
CALLBACKS = {
    "step_decay": (
        lambda: callbacks.StepDecayScheduler(decay_steps=2, decay_rate=0.5),
        "rl",
        "r",
    ),
    "exponential": (
        lambda: callbacks.ExponentialDecayScheduler(None, 4, 0.5, "batch"),
        "rl",
        "r",
    ),
    "cosine": (lambda: callbacks.CosineDecayScheduler(update="batch"), "rl", "r"),
    "absolute": (
        lambda: callbacks.LearningRateScheduler({0: 0.1, 2: 0.05}),
        "rl",
        "r",
    ),
    "relative": (
        lambda: callbacks.LearningRateScheduler(lambda epoch, rate: 0.9 * rate),
        "rl",
        "r",
    ),
    "plateau": (
        lambda: callbacks.ReduceOnPlateau(
            "val_distance", factor=0.5, patience=1, mode="min"
        ),
        "rl",
        "rl",
    ),
    "weight_decay": (
        lambda: callbacks.WeightDecayScheduler(lambda epoch: 0.1 * (1 + epoch)),
        "hl",
        "h",
    ),
    "momentum": (lambda: callbacks.MomentumScheduler({0: 0.5, 1: 0.8}), "hl", "h"),
    "clip": (lambda: callbacks.GradientClipping(clipvalue=1.2), "h", "h"),
    "monitor": (callbacks.GradientMonitor, "l", "ho"),
    "recovery": (
        lambda: callbacks.NaNRecovery(factor=0.5, max_retries=99, verbose=0),
        "worsm",
        "wol",
    ),
    "ema": (lambda: callbacks.WeightAveraging(decay=0.5, warmup=False), "w", "wm"),
    "swa": (lambda: callbacks.WeightAveraging("swa"), "w", "wm"),
    "best": (lambda: callbacks.BestWeights("val_distance", mode="min"), "w", "wl"),
    "early": (
        lambda: callbacks.EarlyStopping(
            "val_distance",
            patience=2,
            mode="min",
            restore_best_weights=True,
            restore_optimizer=True,
        ),
        "wors",
        "wol",
    ),
    "target": (
        lambda: callbacks.TargetStopping(0.25, "val_distance", mode="min"),
        "s",
        "l",
    ),
    "finder": (lambda: callbacks.LearningRateFinder(steps=4), "wor", "lw"),
}
SETTERS = {"step_decay", "exponential", "cosine", "absolute", "relative"}
FINAL = ({"ema", "swa"}, {"best", "early"})  # two that average, two that restore
SCENARIOS = ("plain", "nan", "early_stop", "exception", "second_fit", "initial_epoch")
ORDERS = ("given", "swapped")


def pairs():
    """Those of which one writes what the other reads or writes."""
    for first, second in itertools.combinations(CALLBACKS, 2):
        (_, writes, reads), (_, others, read) = CALLBACKS[first], CALLBACKS[second]
        if set(writes) & (set(others) | set(read)) or set(others) & set(reads):
            yield first, second


def named_error(first, second):
    """The words of the error that this pair is, or `None`."""
    if "finder" in (first, second):
        return "must be the only callback of its fit"
    if {first, second} <= SETTERS:
        return "Only one callback of a fit can set the learning rate"
    if {first, second} in FINAL:
        return "Only one callback of a fit can set the weights at its end"
    return None


def cells():
    for pair in pairs():
        for scenario in SCENARIOS:
            for order in ORDERS:
                yield (*pair, scenario, order)


def table():
    """The matrix as a Markdown table: `=`, by hand in all scenarios; `!`, an error."""
    names = list(CALLBACKS)
    shared = set(pairs())
    rows = [["", *[str(i) for i in range(1, len(names) + 1)]]]
    rows.append(["---"] * (len(names) + 1))
    for i, first in enumerate(names):
        row = [f"{i + 1} {first}"]
        for second in names:
            pair = (first, second) if (first, second) in shared else (second, first)
            known = pair in shared
            row.append(("!" if named_error(*pair) else "=") if known else "")
        rows.append(row)
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


class Distance(keras.metrics.MeanMetricWrapper):
    def __init__(self):
        super().__init__(lambda y, p: keras.ops.abs(p - by_hand.GOAL), name="distance")


def make_model():
    layer = keras.layers.Dense(1, use_bias=False)
    model = keras.Sequential([keras.Input((1,)), layer])
    optimizer = keras.optimizers.SGD(by_hand.RATE, by_hand.MOMENTUM, weight_decay=None)
    model.compile(
        optimizer, loss=lambda y, prediction: prediction, metrics=[Distance()]
    )
    optimizer.build(model.trainable_variables)
    return model


class _Interrupts(keras.callbacks.Callback):
    """Raises or stops at a batch; JAX runs its steps one by one with it."""

    def __init__(self, fails_at=None, stops_at=None):
        super().__init__()
        self.fails_at, self.stops_at = fails_at, stops_at

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if (self.epoch, batch) == self.fails_at:
            raise by_hand.Failure

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.stops_at:
            self.model.stop_training = True


FITS = {
    "plain": [{"epochs": 4}],
    "nan": [{"epochs": 4}],
    "early_stop": [
        {"epochs": 4, "stops_at": (1, 1)},
        {"epochs": 3, "initial_epoch": 2},
    ],
    "exception": [{"epochs": 4, "fails_at": (1, 1)}, {"epochs": 3}],
    "second_fit": [{"epochs": 3}, {"epochs": 2}],
    "initial_epoch": [{"epochs": 2}, {"epochs": 4, "initial_epoch": 2}],
}


def values(model):
    optimizer = model.optimizer
    numbers = [model.weights[0], optimizer.momentums[0], optimizer.learning_rate]
    return [float(np.reshape(keras.ops.convert_to_numpy(n), -1)[0]) for n in numbers]


def reset(model):
    """The values of a new model; what callbacks changed must be gone."""
    optimizer = model.optimizer
    assert optimizer.clipvalue is None and optimizer.weight_decay is None
    assert optimizer.momentum == by_hand.MOMENTUM
    assert "apply" not in optimizer.__dict__
    for variable in optimizer.variables:
        variable.assign(np.zeros(variable.shape))
    optimizer.learning_rate.assign(by_hand.RATE)
    model.weights[0].assign([[by_hand.START]])


def check(cell, model):
    """Runs one cell of the matrix; raises `AssertionError` where it is not right."""
    first, second, scenario, order = cell
    chosen = [CALLBACKS[name][0]() for name in (first, second)]
    chosen = chosen if order == "given" else chosen[::-1]
    x = X.copy()
    if scenario == "nan":
        x[NAN_BATCH] = np.nan
    names = (first, second) if order == "given" else (second, first)
    hand = by_hand.Training(names, NAN_BATCH if scenario == "nan" else None)
    reset(model)
    for arguments in FITS[scenario]:
        hand.fit(**arguments)
        points = {k: arguments.get(k) for k in ("fails_at", "stops_at")}
        history = _fit(model, x, chosen, points, arguments)
        expected = [hand.w, hand.v, hand.rate]
        np.testing.assert_allclose(values(model), expected, rtol=1e-5, atol=1e-6)
        if history is None:
            continue
        assert len(history["val_distance"]) == len(hand.logs)
        for name in hand.logs[0]:
            wanted = [entry[name] for entry in hand.logs]
            np.testing.assert_allclose(history[name], wanted, rtol=1e-5, atol=1e-6)


def _fit(model, x, chosen, points, arguments):
    try:
        return model.fit(
            x,
            np.zeros_like(x),
            batch_size=1,
            epochs=arguments["epochs"],
            initial_epoch=arguments.get("initial_epoch", 0),
            shuffle=False,
            validation_data=(ONE, ONE),
            callbacks=[_Interrupts(**points), *chosen],
            verbose=0,
        ).history
    except by_hand.Failure:
        return None
