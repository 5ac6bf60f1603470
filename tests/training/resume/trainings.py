"""Small trainings of many parts, interrupted anywhere, and all that they come to."""

import random

import keras
import numpy as np

from keras_strategies import callbacks, compression, optimizers, training

ROWS, BATCH, EPOCHS = 26, 4, 3
STEPS = 7  # an epoch: six full batches and one of two rows


class Interruption(Exception):
    """Stands for the end of a process."""


class InterruptAt(keras.callbacks.Callback):
    """Raises after so many batches, at the end of one or of an epoch, or validates."""

    def __init__(self, batches, hook="batch"):
        super().__init__()
        self.remaining, self.hook = batches, hook

    def on_train_batch_end(self, batch, logs=None):
        self.remaining -= 1
        self._raise_at("batch")

    def on_test_begin(self, logs=None):
        self._raise_at("validation")

    def on_epoch_end(self, epoch, logs=None):
        self._raise_at("epoch")

    def _raise_at(self, hook):
        if self.hook == hook and self.remaining <= 0:
            raise Interruption

    def get_state(self):
        return {}

    def set_state(self, state):
        """Nothing: an interruption comes once."""


class RandomRates(keras.callbacks.Callback):
    """A rate for each batch from every global generator there is."""

    def on_train_batch_begin(self, batch, logs=None):
        numbers = random.random(), np.random.rand(), float(keras.random.uniform(()))
        self.model.optimizer.learning_rate.assign(0.01 * (1 + sum(numbers)))

    def get_state(self):
        return {}

    def set_state(self, state):
        """Nothing."""


def arrays(rows=ROWS):
    rng = np.random.default_rng(5)
    x = rng.normal(size=(rows, 6)).astype("float32")
    return x, (x[:, :1] + 0.1 * rng.normal(size=(rows, 1))).astype("float32")


def indexed(**options):
    return training.IndexedDataset(
        arrays(), **{"batch_size": BATCH, "seed": 2, **options}
    )


def network():
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(5, "relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.3),
            layers.Dense(1),
        ]
    )


def compiled(optimizer=None, **options):
    model = network()
    optimizer = optimizer or keras.optimizers.Adam(0.01)
    model.compile(optimizer, "mse", metrics=["mae"], **options)
    return model


def _plain(folder):
    adam = keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9)
    stop = keras.callbacks.EarlyStopping(
        "loss", patience=1, min_delta=0.05, restore_best_weights=True
    )
    logger = keras.callbacks.CSVLogger(str(folder / "log.csv"))
    return compiled(adam), [RandomRates(), stop, logger]


def _logs(folder):
    plateau = keras.callbacks.ReduceLROnPlateau("loss", patience=0, min_delta=1.0)
    saver = keras.callbacks.ModelCheckpoint(
        str(folder / "best.weights.h5"), "loss", save_best_only=True
    )
    return compiled(), [plateau, saver]


def _executions(_):
    return compiled(steps_per_execution=2), []


def _loss_scale(_):
    # The product of its momenta is in no list of variables here.
    nadam = keras.optimizers.Nadam(0.01, gradient_accumulation_steps=3, use_ema=True)
    wrapped = keras.optimizers.LossScaleOptimizer(nadam, 64.0, dynamic_growth_steps=4)
    return compiled(wrapped), []


def _transforms(_):
    inner = optimizers.Lookahead(keras.optimizers.Adam(0.01), sync_period=3)
    transforms = [
        optimizers.PercentileClip(50, window=4),
        optimizers.AddNoise(0.1),
    ]
    return compiled(optimizers.GradientTransform(inner, transforms)), []


def _sharpness(_):
    model = optimizers.SharpnessAware(network(), rho=0.05)
    model.compile("adam", "mse", metrics=["mae"])
    return model, []


def _averaging(_):
    averages = callbacks.WeightAveraging(decay=0.8, update_freq=2, swap_on_epoch=True)
    return compiled(), [averages, callbacks.BestWeights("val_loss")]


def _schedulers(_):
    return compiled(keras.optimizers.AdamW(0.01)), [
        callbacks.OneCycleScheduler(0.02),
        callbacks.WeightDecayScheduler(lambda step: 0.01 * step, update="batch"),
        callbacks.GradientMonitor(),
        callbacks.GradientClipping(global_clipnorm=0.1),
        callbacks.EarlyStopping("loss", patience=1, min_delta=1.0),
    ]


def _pruning(_):
    model = compiled()
    schedule = compression.PolynomialSparsity(0.0, 0.6, 2, 16, frequency=3)
    compression.prune(model, schedule, include=lambda layer: layer.units == 5)
    return model, []


def _quantization(_):
    layers = keras.layers
    stack = [keras.Input((6,)), layers.Dense(5, "relu"), layers.Dense(1)]
    model = compression.quantize_aware(keras.Sequential(stack))
    model.compile("adam", "mse")
    return model, []


def _swapped(_):
    sgd = keras.optimizers.SGD(0.01, use_ema=True, ema_momentum=0.8)
    return compiled(sgd), [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)]


SETTINGS = {
    "plain": _plain,
    "logs": _logs,
    "executions": _executions,
    "loss_scale": _loss_scale,
    "transforms": _transforms,
    "sharpness": _sharpness,
    "averaging": _averaging,
    "schedulers": _schedulers,
    "pruning": _pruning,
    "quantization": _quantization,
    "swapped": _swapped,
}


def run(folder, setting, interruption=None, seed=0, data=indexed, **options):
    """Trains; returns all that the training has come to, as comparable values."""
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(seed)
    folder.mkdir(exist_ok=True, parents=True)
    model, others = SETTINGS[setting](folder)
    fit = options.pop("fit", {})
    resumable = training.ResumableTraining(
        folder / "checkpoints", **{"save_freq": 2, "verbose": 0, **options}
    )
    interruptions = [interruption or InterruptAt(10**9)]
    x, y = arrays()
    try:
        history = model.fit(
            data(),
            epochs=EPOCHS,
            validation_data=(x[:9], y[:9]),
            callbacks=[*others, resumable, *interruptions],
            verbose=0,
            **fit,
        )
    except Interruption:
        for callback in others:  # as the end of a process would
            if isinstance(callback, keras.callbacks.CSVLogger):
                callback.csv_file.close()
        raise
    return outcome(folder, model, history, others)


def outcome(folder, model, history, others):
    values = [*model.variables, *model.metrics_variables]
    values += model.optimizer.variables
    files = {p.name: p.read_bytes() for p in folder.glob("*.csv")}
    return {
        "variables": [np.array(keras.ops.convert_to_numpy(v)) for v in values],
        "history": history.history,
        "epoch": history.epoch,
        "callbacks": [
            callbacks.get_state(c) for c in others if not isinstance(c, RandomRates)
        ],
        "files": files,
        "random": (random.random(), np.random.rand()),
    }


def assert_same(first, second):
    """Every number is the same, bit for bit."""
    first_leaves, second_leaves = (keras.tree.flatten(v) for v in (first, second))
    assert len(first_leaves) == len(second_leaves)
    assert str(keras.tree.map_structure(type, first["history"])) == str(
        keras.tree.map_structure(type, second["history"])
    )
    for a, b in zip(first_leaves, second_leaves, strict=True):
        np.testing.assert_array_equal(a, b)
