"""HyperTransferLearning and HyperCompression: a training of their own."""

import keras
import keras_tuner
import numpy as np
import pytest

from keras_strategies import tuning
from keras_strategies.tuning.hypermodels.networks._backbones import preprocess
from tests.tuning.searching import backbone, digits, search, space

layers = keras.layers


def images(count=96):
    x, y = digits(count)
    return x.reshape(-1, 8, 8, 1) / 16, y


def transfer(**arguments):
    fixed = {"classes": 10, "backbone": backbone, "batch_size": 32}
    return tuning.HyperTransferLearning((8, 8, 1), **{**fixed, **arguments})


# Transfer learning


@pytest.mark.tensorflow
def test_transfer_learning_searches_and_reloads(tmp_path):
    hypermodel = transfer(head_epochs=1, learning_rate=0.01)
    tuner, model = search(hypermodel, *images(), tmp_path, epochs=2)
    assert {item.name for item in tuner.oracle.get_space().space} == {
        *("unfreeze", "fine_tune_factor", "dropout")
    }
    assert model.get_layer("backbone").built


class _Watch(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.epochs, self.rates = [], []

    def on_epoch_begin(self, epoch, logs=None):
        self.epochs.append(epoch)
        self.rates.append(float(self.model.optimizer.learning_rate))


@pytest.mark.tensorflow
def test_two_phases_train_what_they_say():
    source = backbone()
    hypermodel = transfer(
        backbone=source,
        unfreeze=0.5,
        head_epochs=2,
        learning_rate=0.5,
        fine_tune_factor=0.1,
        optimizer="sgd",
    )
    hp = space(hypermodel)
    model = hypermodel.build(hp)
    before = {w.path: np.array(w) for w in model.get_layer("backbone").weights}
    fits = []
    fit = model.fit

    def spy(*args, **kwargs):
        history = fit(*args, **kwargs)
        open_ = {w.path for w in model.get_layer("backbone").trainable_weights}
        fits.append((open_, history.epoch))
        if len(fits) == 1:
            for weight in model.get_layer("backbone").weights:
                np.testing.assert_array_equal(before[weight.path], np.array(weight))
        return history

    spy.__signature__ = __import__("inspect").signature(fit)
    model.fit = spy
    watch = _Watch()
    x, y = images(32)
    history = hypermodel.fit(
        hp, model, x, y, epochs=3, callbacks=[watch], validation_split=0.25, verbose=0
    )
    assert [epochs for _, epochs in fits] == [[0, 1], [2]]
    assert fits[0][0] == set()
    assert {path.split("/")[-2] for path in fits[1][0]} == {"conv2"}
    assert watch.epochs == [2] and watch.rates == pytest.approx([0.05])
    assert "val_accuracy" in history.history
    changed = {
        w.path.split("/")[-2]
        for w in model.get_layer("backbone").weights
        if not np.array_equal(before[w.path], np.array(w))
    }
    assert changed == {"conv2"}  # and no statistics of norm2
    for one, other in zip(before.values(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("arguments", "epochs"), [({"unfreeze": 0.0}, 2), ({"unfreeze": 1.0}, 1)]
)
def test_one_phase_where_nothing_is_unfrozen_or_time_is_short(arguments, epochs):
    hypermodel = transfer(head_epochs=3, learning_rate=0.5, **arguments)
    hp = space(hypermodel)
    model = hypermodel.build(hp)
    open_ = len(model.get_layer("backbone").trainable_weights)
    assert open_ == (4 if arguments["unfreeze"] else 0)
    history = hypermodel.fit(hp, model, *images(32), epochs=epochs, verbose=0)
    assert history.epoch == list(range(epochs))


PREPROCESSED = [
    ("MobileNetV2", "mobilenet_v2"),
    ("DenseNet121", "densenet"),
    ("ResNet50", "resnet"),
    ("ResNet50V2", "resnet_v2"),
    ("VGG16", "vgg16"),
    ("EfficientNetV2B0", "efficientnet_v2"),
]


@pytest.mark.parametrize(("name", "module"), PREPROCESSED)
def test_images_are_prepared_as_the_network_was_trained(name, module):
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 3, 3, 3)).astype("float32")
    expected = getattr(keras.applications, module).preprocess_input(pixels.copy())
    found = keras.ops.convert_to_numpy(preprocess(keras.ops.array(pixels), name))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MobileNetV2", "ResNet50"])
def test_named_backbones_build_and_save(name, tmp_path):
    hypermodel = tuning.HyperTransferLearning(
        (32, 32, 1), classes=3, backbone=name, weights=None, max_value=1.0
    )
    model = hypermodel.build(space(hypermodel, unfreeze=0.3))
    x = np.random.default_rng(0).uniform(size=(2, 32, 32, 1)).astype("float32")
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        again.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-5
    )


# Compression


@pytest.mark.tensorflow
@pytest.mark.slow
def test_compression_searches_two_objectives(tmp_path):
    objective = [
        keras_tuner.Objective("val_accuracy", "max"),
        keras_tuner.Objective("size", "min"),
    ]
    hypermodel = tuning.HyperCompression((64,), classes=10, batch_size=32)
    x, y = digits(96)
    tuner, model = search(hypermodel, x / 16, y, tmp_path, objective, epochs=2)
    sizes = {}
    for trial in tuner.oracle.trials.values():
        values = trial.hyperparameters.values
        sizes[values["width"] * (1 - values["sparsity"])] = (
            trial.metrics.get_last_value("size")
        )
    assert list(dict(sorted(sizes.items())).values()) == sorted(sizes.values())
    best = tuner.get_best_hyperparameters()[0].values
    kernel = np.array(model.layers[1].kernel)
    assert kernel.shape == (64, round(64 * best["width"]))
    assert np.mean(kernel == 0) == pytest.approx(best["sparsity"], abs=0.02)
    assert model.layers[1].kernel.constraint is None


def test_compression_of_a_given_model():
    model = keras.Sequential([keras.Input((8,)), layers.Dense(16), layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    hypermodel = tuning.HyperCompression(model=model, sparsity=0.75, learning_rate=None)
    hp = space(hypermodel)
    assert hp.space == []
    copy = hypermodel.build(hp)
    x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
    history = hypermodel.fit(hp, copy, x, x[:, 0], batch_size=16, epochs=2, verbose=0)
    assert np.mean(np.array(copy.layers[1].kernel) == 0) == 0.75
    assert history.epoch == [1], "the first epoch made it sparse"
    size, in_bytes = history.history["size"], history.history["size_bytes"]
    np.testing.assert_allclose(np.array(size) * 4 * model.count_params(), in_bytes)
    assert 0 < size[-1] < 0.6
    with pytest.raises(ValueError, match="width=0.5.*prune_filters"):
        tuning.HyperCompression(model=model, width=0.5)


BAD = [
    ("HyperTransferLearning", {"backbone": "LeNet"}, ValueError, "backbone='LeNet'"),
    ("HyperTransferLearning", {"backbone": 3}, ValueError, "backbone=3"),
    ("HyperTransferLearning", {"unfreeze": 2.0}, ValueError, "unfreeze=2.0"),
    ("HyperTransferLearning", {"max_value": 0}, ValueError, "max_value=0"),
    ("HyperTransferLearning", {"head_epochs": -1}, ValueError, "head_epochs=-1"),
    ("HyperCompression", {"sparsity": 1.0}, ValueError, "sparsity=1.0"),
    ("HyperCompression", {"width": 0}, ValueError, "width=0"),
]


@pytest.mark.parametrize(
    ("name", "arguments", "error", "match"), BAD, ids=[str(bad[1]) for bad in BAD]
)
def test_bad_arguments(name, arguments, error, match):
    with pytest.raises(error, match=match):
        getattr(tuning, name)((8, 8, 1), classes=3, **arguments)
