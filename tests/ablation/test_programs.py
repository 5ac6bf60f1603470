"""Trainings of an arm share one compiled program, with the results of their own."""

import keras
import numpy as np
import pytest

from keras_strategies import ablation, callbacks
from keras_strategies.ablation._runs.execution import Runner
from keras_strategies.ablation._runs.log import Log
from keras_strategies.ablation._runs.programs import Programs
from keras_strategies.ablation._runs.training import Job, train
from tests.ablation import networks

COMPILES = keras.backend.backend() != "torch"


@pytest.fixture
def calls(monkeypatch):
    """Python calls of dense layers in training: of a trace, or of an eager step.

    Counted in Keras's class: a count of the user's could be what a layer computes with.
    """
    made, call = [], keras.layers.Dense.call

    def counting(self, inputs, training=None):
        if training:
            made.append(self)
        return call(self, inputs, training=training)

    monkeypatch.setattr(keras.layers.Dense, "call", counting)
    return made


def build():
    layers = [keras.Input((4,)), keras.layers.Dense(6, "relu")]
    layers += [keras.layers.BatchNormalization(), keras.layers.Dropout(0.3)]
    model = keras.Sequential([*layers, keras.layers.Dense(2, "softmax")])
    model.compile(keras.optimizers.Adagrad(0.1), networks.LOSS, metrics=["accuracy"])
    return model


def averaged(epochs):
    return [keras.callbacks.EarlyStopping("loss", restore_best_weights=True)]


def test_results_are_those_of_single_trainings(calls):
    changes = {"stop": ablation.Strategy("stop", callbacks=averaged)}
    setup, programs = networks.setup(build, changes), Programs()
    train(setup, Job(("stop",), 0), programs)
    count = len(calls)
    shared = train(setup, Job(("stop",), 1), programs)
    if COMPILES:
        assert len(calls) == count > 0
    single = train(setup, Job(("stop",), 1))
    assert len(calls) > count
    assert shared["initial"] == single["initial"]
    np.testing.assert_allclose(shared["parts"], single["parts"], atol=1e-5)
    for name, values in single["history"].items():
        np.testing.assert_allclose(shared["history"][name], values, atol=1e-5)


@pytest.mark.skipif(not COMPILES, reason="Torch compiles nothing to be kept")
def test_what_callbacks_of_ours_keep_in_a_model_is_no_other_model(calls):
    def averaging():
        return [callbacks.WeightAveraging("ema")]

    changes = {"ema": ablation.Strategy("ema", callbacks=averaging)}
    setup, programs = networks.setup(build, changes), Programs()
    train(setup, Job(("ema",), 0), programs)
    count = len(calls)
    shared = train(setup, Job(("ema",), 1), programs)
    assert len(calls) == count
    assert shared["history"] == train(setup, Job(("ema",), 1))["history"]


def test_what_cannot_share_trains_by_itself():
    """A strategy whose callbacks hold the model that it changed."""
    seen = []

    def holding():
        model = seen[-1]
        return [
            keras.callbacks.LambdaCallback(
                on_epoch_begin=lambda epoch, logs: model.layers[0].kernel.assign(
                    model.layers[0].kernel * 0.5
                )
            )
        ]

    changes = {"hold": ablation.Strategy("hold", model=seen.append, callbacks=holding)}
    setup, programs = networks.setup(networks.build, changes), Programs()
    for run in (0, 1):
        record = train(setup, Job(("hold",), run), programs)
    single = train(setup, Job(("hold",), 1))
    np.testing.assert_allclose(record["parts"], single["parts"], atol=1e-6)
    assert record["history"] == single["history"]


def test_a_failure_leaves_nothing_behind():
    broken = []

    def breaking():
        def stop(epoch, logs):
            if broken:
                raise RuntimeError(broken.pop())

        return [keras.callbacks.LambdaCallback(on_epoch_end=stop)]

    changes = {"break": ablation.Strategy("break", callbacks=breaking)}
    setup, programs = networks.setup(networks.build, changes), Programs()
    train(setup, Job(("break",), 0), programs)
    broken.append("once")
    assert "once" in train(setup, Job(("break",), 1), programs)["error"]
    record = train(setup, Job(("break",), 1), programs)
    single = train(setup, Job(("break",), 1))
    assert record["history"] == single["history"]


@pytest.mark.skipif(not COMPILES, reason="Torch compiles nothing to be kept")
def test_the_runner_keeps_arms_that_go_on():
    with Log(None) as log:
        runner = Runner(networks.setup(epochs=1), log, None, 1)
        runner.run([Job((), 0), Job(("adam",), 0)])
        assert sorted(runner._programs._kept) == ["adam", "baseline"]
        runner.run([Job(("adam",), 1)])
        assert list(runner._programs._kept) == ["adam"]


def test_a_layer_that_all_models_share_is_refused_unless_it_is_frozen():
    shared = keras.layers.Dense(6, "relu", name="backbone")
    shared.build((None, 4))

    def make():
        head = keras.layers.Dense(2, "softmax")
        model = keras.Sequential([keras.Input((4,)), shared, head])
        model.compile("sgd", networks.LOSS, metrics=["accuracy"])
        return model

    setup = networks.setup(make, epochs=1)
    assert "models share weights" in train(setup, Job((), 0))["error"]
    shared.trainable = False
    assert "error" not in train(setup, Job((), 0))
