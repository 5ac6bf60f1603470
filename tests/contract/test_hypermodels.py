"""Every hypermodel declares its space and builds its smallest model, on any backend."""

import keras
import keras_tuner
import numpy as np
import pytest

from keras_strategies import tuning

IMAGE, TEXT = (4, 4, 1), (3,)
OWN = {
    "HyperMLP": (TEXT, {"layers": 1, "units": 2}),
    "HyperCNN": (IMAGE, {"blocks": 1, "filters": 2, "units": 2}),
    "HyperResNet": (IMAGE, {"stages": 1, "blocks": 1, "filters": 2}),
    "HyperRNN": (TEXT, {"vocabulary_size": 4, "embedding": 2, "units": 2}),
    "HyperTransformer": (
        TEXT,
        {"vocabulary_size": 4, "layers": 1, "heads": 2, "head_size": 2},
    ),
}
VARIED = (
    "HyperActivation",
    "HyperAugment",
    "HyperCompression",
    "HyperInitializer",
    "HyperOptimizer",
    "HyperRegularization",
    "HyperSchedule",
    "tune_model",
)


@pytest.fixture(scope="module")
def network():
    layers = [
        keras.Input(IMAGE),
        keras.layers.Conv2D(2, 3, activation="relu"),
        keras.layers.Flatten(),
        keras.layers.Dense(2, activation="softmax"),
    ]
    model = keras.Sequential(layers)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def test_every_hypermodel_is_here():
    names = {name for name in tuning.__all__ if name.startswith("Hyper")}
    here = {*OWN, *VARIED, "HyperTransferLearning"} - {"tune_model"}
    assert here == names - {"HyperbandOracle"}


def make(name, network):
    """The smallest hypermodel of a name."""
    cls = getattr(tuning, name)
    if name in OWN:
        shape, arguments = OWN[name]
        return cls(shape, classes=2, **arguments)
    if name == "tune_model":
        return cls(network)
    if name == "HyperTransferLearning":
        backbone = keras.Sequential([keras.Input(IMAGE), keras.layers.Conv2D(2, 3)])
        return cls(IMAGE, classes=2, backbone=backbone)
    return cls(model=network)


NAMES = [*OWN, *VARIED, "HyperTransferLearning"]


@pytest.mark.parametrize("name", NAMES)
def test_builds_in_a_tuner(name, network, tmp_path):
    hypermodel = make(name, network)
    assert isinstance(hypermodel, keras_tuner.HyperModel)
    hp = keras_tuner.HyperParameters()
    hypermodel.declare_hyperparameters(hp)
    assert hp.space
    tuner = tuning.Tuner(
        hypermodel, "val_loss", max_trials=1, algorithm="random", directory=tmp_path
    )
    space = tuner.oracle.get_space()
    declared = [(item.name, item.conditions) for item in hp.space]
    assert [(item.name, item.conditions) for item in space.space] == declared
    model = hypermodel.build(space)
    assert model.compiled and model.output_shape == (None, 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_tuner_searches_and_rebuilds_the_best(name, network, tmp_path):
    tuner = tuning.Tuner(
        make(name, network), "val_loss", max_trials=2, directory=tmp_path, seed=1
    )
    shape = TEXT if OWN.get(name, (IMAGE,))[0] == TEXT else IMAGE
    rng = np.random.default_rng(0)
    x = rng.integers(1, 4, (48, *shape)).astype("float32")
    y = rng.integers(0, 2, 48)
    held = x[32:], y[32:]
    tuner.search(x[:32], y[:32], validation_data=held, epochs=2, verbose=0)
    rows = tuner.results()
    assert [row["status"] for row in rows] == ["COMPLETED"] * 2
    (model,) = tuner.get_best_models()
    logs = model.evaluate(*held, verbose=0, return_dict=True)
    best = min(row["score"] for row in rows)
    assert logs["loss"] == pytest.approx(best, rel=1e-4)
