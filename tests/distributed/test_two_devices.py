"""What trains on two devices is what one device trains, or says at once why not."""

import contextlib

import keras
import numpy as np
import pytest

from keras_strategies import training
from keras_strategies.training import distributed

pytestmark = pytest.mark.devices

ROWS, BATCH = 45, 16  # the last batch has 13: two devices cannot share it evenly
X = np.random.default_rng(0).normal(size=(ROWS, 6)).astype("float32")
Y = 2 * X[:, :1] + X[:, 1:2]


def _scopes():
    return {"one": contextlib.nullcontext, "two": distributed.scope}


def _model(optimizer=None, layers=(), **arguments):
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(8, "tanh"), *layers]
    )
    model.add(keras.layers.Dense(1))
    optimizer = keras.optimizers.SGD(0.05) if optimizer is None else optimizer
    model.compile(optimizer, **{"loss": "mse", "metrics": ["mae"], **arguments})
    return model


def _trained(build, scope, **arguments):
    keras.utils.set_random_seed(5)
    with scope():
        model = build()
        history = model.fit(
            **{"x": X, "y": Y, "batch_size": BATCH, "epochs": 3, "shuffle": False}
            | {"verbose": 0}
            | arguments
        ).history
        return model.get_weights(), history


def _assert_same(build, arguments=dict, tolerance=2e-5):
    """`build` makes a model, and `arguments` those of fit, in each scope anew."""
    one, two = (_trained(build, scope, **arguments()) for scope in _scopes().values())
    for expected, got in zip(one[0], two[0], strict=True):
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)
    for name, values in one[1].items():
        np.testing.assert_allclose(
            two[1][name], values, rtol=tolerance, atol=tolerance, err_msg=name
        )


def test_there_are_two():
    with distributed.scope() as engine:
        count = getattr(engine, "num_replicas_in_sync", None)
        assert (count or engine.num_model_replicas) == 2


LOSSES = {
    "mean": lambda: "mse",
    "sum": lambda: keras.losses.MeanSquaredError(reduction="sum"),
    "by weight": lambda: keras.losses.MeanSquaredError(
        reduction="mean_with_sample_weight"
    ),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_uneven_batches_weigh_each_sample_alike(loss):
    weights = np.random.default_rng(1).uniform(0, 2, ROWS).astype("float32")
    _assert_same(
        lambda: _model(keras.optimizers.SGD(0.001), loss=LOSSES[loss]()),
        lambda: {"sample_weight": weights, "validation_data": (X[:11], Y[:11])},
    )


def test_masks_count_over_the_whole_batch():
    tokens = np.random.default_rng(2).integers(0, 4, (ROWS, 5))
    tokens[:, 0] = 1
    targets = np.random.default_rng(3).normal(size=(ROWS, 5, 2)).astype("float32")

    def build():
        layers = [keras.layers.Embedding(4, 3, mask_zero=True), keras.layers.Dense(2)]
        model = keras.Sequential([keras.Input((5,), dtype="int32"), *layers])
        model.compile(keras.optimizers.SGD(0.1), "mse")
        return model

    _assert_same(build, lambda: {"x": tokens, "y": targets})


@pytest.mark.parametrize("kind", ["clipnorm", "global_clipnorm", "clipvalue"])
def test_clipping_sees_the_gradient_of_the_batch(kind):
    _assert_same(lambda: _model(keras.optimizers.SGD(0.1, **{kind: 0.05})))


def test_regularizers_and_batch_norm():
    def build():
        dense = keras.layers.Dense(
            4, kernel_regularizer="l2", activity_regularizer=None
        )
        return _model(layers=[dense, keras.layers.BatchNormalization(momentum=0.6)])

    _assert_same(build)


def test_mixed_precision():
    def build():
        keras.config.set_dtype_policy("mixed_float16")
        try:
            # A scale that no half of a batch exceeds, nor the whole: a step that one
            # device leaves out is not left out by two, whose gradients are parts of it.
            sgd = keras.optimizers.SGD(0.05, global_clipnorm=0.5)
            return _model(keras.optimizers.LossScaleOptimizer(sgd, initial_scale=256.0))
        finally:
            keras.config.set_dtype_policy("float32")

    _assert_same(build, tolerance=5e-3)


def test_evaluate_and_predict():
    with distributed.scope():
        model = _model()
        got = model.predict(X, batch_size=BATCH, verbose=0)
        logs = model.evaluate(X, Y, batch_size=BATCH, verbose=0, return_dict=True)
    weights = model.get_weights()
    alone = _model()
    alone.set_weights(weights)
    expected = alone.predict(X, batch_size=BATCH, verbose=0)
    np.testing.assert_allclose(got, expected, atol=1e-6)
    other = alone.evaluate(X, Y, batch_size=BATCH, verbose=0, return_dict=True)
    np.testing.assert_allclose(list(logs.values()), list(other.values()), rtol=1e-5)


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    "arguments", [{"jit_compile": True}, {"steps_per_execution": 2}]
)
def test_what_tensorflow_cannot_is_said_at_once(arguments):
    with distributed.scope():
        model = _model(**arguments)
        with pytest.raises(ValueError, match="cannot be used under tf.distribute"):
            model.fit(X, Y, verbose=0)


class _Stop(keras.callbacks.Callback):
    """Ends a fit by an error after some steps."""

    def __init__(self, steps=None):
        super().__init__()
        self._left = steps

    def on_train_batch_end(self, batch, logs=None):
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                raise InterruptedError

    def get_state(self):
        return {}

    def set_state(self, state):
        pass


@pytest.mark.parametrize("steps", [3, 5])
def test_resume_is_exact(tmp_path, steps):
    def build():
        layers = [keras.layers.Dropout(0.3), keras.layers.BatchNormalization()]
        return _model(keras.optimizers.Adam(0.01), layers)

    def run(folder, stop=None, seed=5):
        keras.utils.set_random_seed(seed)
        data = training.IndexedDataset((X, Y), BATCH, seed=3)
        resumable = training.ResumableTraining(folder, save_freq=2, verbose=0)
        with distributed.scope():
            model = build()
            history = model.fit(
                data, epochs=3, callbacks=[resumable, _Stop(stop)], verbose=0
            ).history
            metrics = model.evaluate(X, Y, BATCH, verbose=0)
        return [np.array(v) for v in model.get_weights()], history, metrics

    whole = run(tmp_path / "whole")
    with pytest.raises(InterruptedError):
        run(tmp_path / "broken", steps)
    resumed = run(tmp_path / "broken", seed=8)
    for expected, got in zip(whole[0], resumed[0], strict=True):
        np.testing.assert_array_equal(got, expected)
    assert resumed[1:] == whole[1:]
