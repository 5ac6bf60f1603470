"""The lines of `code` for strategies, losses and data of the user's own."""

import keras
import numpy as np
import pytest

from keras_strategies import ablation
from keras_strategies.ablation import _code
from keras_strategies.ablation._runs.samples import Samples
from tests.ablation import networks
from tests.ablation.networks import SlowAdam, adam

CATALOG = ablation.catalog()
RATE = 0.25


def flat_loss(y, p):
    return keras.losses.sparse_categorical_crossentropy(y, p)


def share(y, p):
    return keras.metrics.sparse_categorical_accuracy(y, p)


def build(loss=flat_loss):
    model = networks.build()
    model.compile(keras.optimizers.SGD(0.1), loss, metrics=[share, "accuracy"])
    return model


def noise(x, y):
    return keras.layers.GaussianNoise(0.1)


def batches(x, y):
    class Two(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return x[:16], y[:16]

    return Two()


def doubled(x, y, weight):
    return (*(np.concatenate([part, part]) for part in (x, y)), np.tile(weight, 2))


class Generator:
    def flow(self, x, y, batch_size=32, seed=None):
        return batches(x, y)


def per_step(epochs, steps_per_epoch):
    return [keras.callbacks.LearningRateScheduler(lambda e: 1 / steps_per_epoch)]


OWN = {
    "own_adam": ablation.Strategy("own_adam", optimizer=lambda old: SlowAdam(0.01)),
    "rate": ablation.Strategy("rate", optimizer=lambda old: keras.optimizers.SGD(RATE)),
    "named": ablation.Strategy("named", optimizer=adam),
    "noise": ablation.Strategy("noise", data=noise),
    "layer": ablation.Strategy("layer", data=keras.layers.GaussianNoise(0.1)),
    "batches": ablation.Strategy("batches", data=batches),
    "generator": ablation.Strategy("generator", data=Generator()),
    "per_step": ablation.Strategy("per_step", callbacks=per_step),
    "epochs": ablation.Strategy("epochs", fit={"epochs": 7}),
}


@pytest.fixture
def ran(monkeypatch):
    """Runs the code of strategies; returns its text and what `fit` was given."""

    def run(strategies, build_fn=build, weight=None):
        caught = {}
        monkeypatch.setattr(
            keras.Model, "fit", lambda *data, **given: caught.update(given, data=data)
        )
        x, y = networks.blobs(90)
        weights = None if weight is None else np.full(90, weight)
        model = build_fn()
        text = _code.script(strategies, model, Samples(x, y, weights), 3, 32)
        scope = {
            "model": model,
            "strategies": OWN,
            "w_train": weights,
            "w_val": weights,
        }
        scope |= {"x_train": x, "y_train": y, "x_val": x, "y_val": y}
        exec(compile(text, "<code>", "exec"), scope)
        return text, caught

    return run


@pytest.mark.parametrize("name", ["adamw", "sam", "one_cycle"])
def test_losses_and_metrics_that_are_functions(ran, name):
    """Keras finds them by their names."""
    text, caught = ran([CATALOG[name]])
    assert f"from {__name__} import share" in text
    model = caught["data"][0]
    assert (
        model.compiled and model.get_compile_config()["loss"]["config"] == "flat_loss"
    )


def test_a_loss_without_a_name(ran):
    text, caught = ran([CATALOG["adamw"]], lambda: build(lambda y, p: flat_loss(y, p)))
    assert "model.optimizer = optimizer" in text
    assert isinstance(caught["data"][0].optimizer, keras.optimizers.AdamW)


def test_functions_are_imported_and_constants_are_not(ran):
    text, caught = ran([OWN["own_adam"]])
    assert f"from {SlowAdam.__module__} import SlowAdam" in text
    assert isinstance(caught["data"][0].optimizer, SlowAdam)
    text, _ = ran([OWN["named"]])
    assert f"from {adam.__module__} import adam" in text
    text, caught = ran([OWN["rate"]])
    assert "strategies['rate'].optimizer(optimizer)" in text
    assert "# `strategies` is the dict" in text
    assert float(caught["data"][0].optimizer.learning_rate) == RATE


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", ["noise", "layer"])
@pytest.mark.parametrize("weight", [None, 2.0])
def test_layers_change_batches(ran, name, weight):
    _, caught = ran([OWN[name]], weight=weight)
    first = next(iter(caught["data"][1]))
    assert len(first) == (2 if weight is None else 3)
    assert first[0].shape == (32, 4)
    assert len(caught["validation_data"]) == len(first)
    assert not caught["shuffle"] and "batch_size" not in caught


@pytest.mark.tensorflow
def test_mixed_images_keep_their_weights(ran):
    def images():
        layers = [keras.Input((4, 1, 1)), keras.layers.Flatten()]
        model = keras.Sequential([*layers, keras.layers.Dense(2, "softmax")])
        model.compile("sgd", networks.LOSS, metrics=["accuracy"])
        return model

    x, y = networks.blobs(90)
    text = _code.script(
        [CATALOG["mixup"]], images(), Samples(x.reshape(90, 4, 1, 1), y, y), 3, 32
    )
    assert "batch, *rest" in text and "validation_data=(x_val, y_val, w_val)" in text


@pytest.mark.parametrize("name", ["batches", "generator"])
def test_functions_that_make_datasets(ran, name):
    text, caught = ran([OWN[name], OWN["per_step"]])
    assert "steps_per_epoch = len(train_data)" in text
    assert isinstance(caught["data"][1], keras.utils.PyDataset)
    assert caught["callbacks"][0].schedule(0) == 0.5


def test_weights_and_steps_of_arrays(ran):
    strategy = ablation.Strategy("doubled", data=doubled)
    text, caught = ran([strategy, OWN["per_step"], OWN["epochs"]], weight=2.0)
    assert "x_train, y_train, w_train = doubled(x_train, y_train, w_train)" in text
    assert len(caught["data"][1]) == len(caught["sample_weight"]) == 180
    assert caught["callbacks"][0].schedule(0) == 1 / 6
    assert caught["epochs"] == 7 and caught["batch_size"] == 32
