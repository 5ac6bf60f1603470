"""Small networks and data of the tests, which trainings take a second for."""

import keras
import numpy as np

from keras_strategies import ablation
from keras_strategies.ablation._runs import applying, samples, splits
from keras_strategies.ablation._runs.training import Setup

LOSS = "sparse_categorical_crossentropy"


def blobs(count=120, classes=2, seed=0):
    """Points around the corners of a square, which overlap."""
    rng = np.random.default_rng(seed)
    y = np.arange(count) % classes
    x = rng.normal(size=(count, 4)) + 1.5 * np.eye(4)[y]
    return x.astype("float32"), y.astype("int32")


def build(classes=2):
    """A dense network."""
    stack = [keras.Input((4,)), keras.layers.Dense(8, activation="relu")]
    model = keras.Sequential([*stack, keras.layers.Dense(classes, "softmax")])
    model.compile(keras.optimizers.SGD(0.1), LOSS, metrics=["accuracy"])
    return model


def slow_learner():
    """One that hardly learns, so that a better optimizer shows in three pairs."""
    start = keras.initializers.GlorotUniform(seed=1)
    head = keras.layers.Dense(2, "softmax", kernel_initializer=start)
    model = keras.Sequential([keras.Input((4,)), head])
    model.compile(keras.optimizers.SGD(1e-4), LOSS, metrics=["accuracy"])
    return model


def adam(optimizer):
    return keras.optimizers.Adam(0.05)


def nothing():
    return [keras.callbacks.Callback()]


def failing(optimizer):
    raise RuntimeError("no such optimizer")


def diverging():
    """Weights that are NaN from the first epoch on."""

    class Diverging(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            weights = self.model.get_weights()
            self.model.set_weights([weight * np.nan for weight in weights])

    return [Diverging()]


def strategies():
    return {
        "adam": ablation.Strategy("adam", optimizer=adam),
        "nothing": ablation.Strategy("nothing", callbacks=nothing),
    }


def setup(build_fn=build, changes=None, data=None, metric="accuracy", **options):
    """What trainings share, without the checks of `study`."""
    collected = samples.collect("data", blobs() if data is None else data)
    parts = splits.split(
        collected,
        None,
        None,
        validation_split=0.2,
        runs=5,
        seed=0,
        stratify=options.pop("stratify", True),
    )
    given = strategies() if changes is None else changes
    settings = {"epochs": 2, "batch_size": 16, "seed": 0, **options}
    return Setup(
        build_fn,
        given,
        parts,
        metric,
        keras_settings=applying.current_settings(),
        **settings,
    )


@keras.saving.register_keras_serializable("tests")
class SlowAdam(keras.optimizers.Adam):
    """An optimizer of the user's own."""
