"""Searches whose trials share compiled models find what other searches find."""

import keras
import numpy as np
import pytest

from keras_strategies import tuning

BACKEND = keras.backend.backend()
X = np.random.default_rng(0).normal(size=(40, 4)).astype("float32")
Y = (X[:, 0] > X[:, 1]).astype("int64")
# What is shared are graphs: they are not run eagerly here.
pytestmark = [
    pytest.mark.skipif(BACKEND == "torch", reason="Torch compiles nothing"),
    pytest.mark.usefixtures("graphs"),
]


def build(hp):
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(4, "relu"),
            keras.layers.Dropout(hp.Float("dropout", 0.1, 0.5)),
            keras.layers.Dense(2, "softmax"),
        ]
    )
    rate = hp.Float("rate", 1e-3, 1e-1, sampling="log")
    model.compile(
        keras.optimizers.Adam(rate),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.optimizer.build(model.trainable_variables)  # so that weights bring its state
    return model


def searched(folder, hypermodel=build, callbacks=(), **kwargs):
    tuner = tuning.Tuner(
        hypermodel,
        "val_loss",
        max_trials=2,
        algorithm="random",
        directory=folder,
        seed=3,
        **kwargs,
    )
    data = {} if "cv" in kwargs else {"validation_split": 0.25}
    fit = {"epochs": 2, "verbose": 0, "callbacks": list(callbacks), **data}
    tuner.search(X, Y, **fit)
    return tuner


def hyper_mlp():
    return tuning.HyperMLP((4,), 2, layers=1, units=(3, 5), batch_size=(8, 16))


@pytest.mark.parametrize(
    ("hypermodel", "kwargs"),
    [
        (build, {"executions_per_trial": 2}),
        pytest.param(build, {"cv": 2}, marks=pytest.mark.slow),
        pytest.param(hyper_mlp(), {}, marks=pytest.mark.slow),
    ],
)
def test_a_search_finds_the_same_with_shared_models(tmp_path, hypermodel, kwargs):
    tuners = [
        searched(tmp_path / str(shares), hypermodel, share_models=shares, **kwargs)
        for shares in (True, False)
    ]
    assert tuners[0].plain_reason is None
    rows = [tuner.results().to_dict()["rows"] for tuner in tuners]
    for one, other in zip(*rows, strict=True):
        assert one["score"] == pytest.approx(other["score"], abs=1e-5)
    weights = [tuner.get_best_models()[0].get_weights() for tuner in tuners]
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, 1e-5, 1e-6)


class Own(keras.callbacks.Callback):
    """A callback of which nothing is known."""


class OwnFit(tuning.HyperMLP):
    def fit(self, hp, model, *args, **kwargs):
        return model.fit(*args, **kwargs)


@pytest.mark.parametrize(
    ("kwargs", "reason"),
    [
        ({"callbacks": [Own()]}, "Own is given the model"),
        ({"hypermodel": OwnFit((4,), 2, layers=1, units=3)}, "`fit` of its own"),
    ],
)
def test_what_is_not_known_trains_as_before_and_is_said(
    tmp_path, kwargs, reason, monkeypatch
):
    # Only what is said matters here: the trainings may be eager.
    if BACKEND == "tensorflow":
        import tensorflow as tf

        monkeypatch.setattr(tf.config, "functions_run_eagerly", lambda: False)
        tf.config.run_functions_eagerly(True)
    tuner = searched(tmp_path, **kwargs)
    assert reason in tuner.plain_reason
    assert len(tuner.results()) == 2


def test_a_model_without_an_input_is_built_by_its_fit(tmp_path):
    def unbuilt(hp):
        layer = keras.layers.Dense(1 + hp.Int("more", 1, 3), "softmax")
        model = keras.Sequential([layer])
        model.compile("sgd", "sparse_categorical_crossentropy")
        return model

    rows = searched(tmp_path, unbuilt).results()
    assert [row["status"] for row in rows] == ["COMPLETED", "COMPLETED"]
