"""Pruning goes on after a model was saved, in another process too."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_strategies.compression import (
    ConstantSparsity,
    PolynomialSparsity,
    prune,
    sparsity_report,
)
from tests.compression.common import Witness, backend, fit, kernels, mlp

# Keras's own saving on TensorFlow meets a deprecation of NumPy 2.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)

PLAIN_KERAS = """
import sys
import keras
import numpy as np

model = keras.models.load_model(sys.argv[1])
assert not any(name.startswith("keras_strategies") for name in sys.modules)
x = np.load(sys.argv[2])
np.save(sys.argv[3], model.predict(x, verbose=0))
"""


def schedule():
    return PolynomialSparsity(0.2, 0.8, 2, 12, frequency=5)


def test_resumed_training_is_the_uninterrupted_one(tmp_path):
    keras.utils.set_random_seed(3)
    whole = mlp("adam")
    prune(whole, schedule())
    expected = Witness()
    fit(whole, 9)
    fit(whole, 9, callbacks=[expected])

    keras.utils.set_random_seed(3)
    first = mlp("adam")
    prune(first, schedule())
    fit(first, 9)
    first.save(tmp_path / "at_9.keras")
    second = keras.models.load_model(tmp_path / "at_9.keras")
    assert int(second.optimizer.iterations) == 9
    prune(second, schedule())
    got = Witness()
    fit(second, 9, callbacks=[got])
    assert got.sparsity == expected.sparsity
    for a, b in zip(whole.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.slow
def test_saved_file_needs_only_keras(tmp_path):
    model = mlp("adam")
    prune(model, schedule())
    fit(model, 9)
    x = np.random.default_rng(1).normal(size=(5, 12)).astype("float32")
    model.save(tmp_path / "pruned.keras")
    np.save(tmp_path / "x.npy", x)
    names = [str(tmp_path / name) for name in ("pruned.keras", "x.npy", "y.npy")]
    done = subprocess.run(
        [sys.executable, "-c", PLAIN_KERAS, *names],
        capture_output=True,
        text=True,
        env=os.environ | {"KERAS_BACKEND": backend()},
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    got = np.load(tmp_path / "y.npy")
    np.testing.assert_allclose(got, model.predict(x, verbose=0), rtol=1e-5, atol=1e-6)


def test_sparse_weights_with_a_fresh_optimizer_stay_sparse():
    model = mlp("adam")
    for layer in model.layers:
        values = np.random.default_rng(2).normal(size=layer.kernel.shape)
        values[np.abs(values) < 0.8] = 0
        layer.kernel.assign(values)
    before = [kernel == 0 for kernel in kernels(model)]
    shares = [row["sparsity"] for row in sparsity_report(model).rows]
    prune(model, PolynomialSparsity(0.0, 0.9, 3, 11, frequency=4))
    witness = Witness()
    fit(model, 14, callbacks=[witness])
    for old, new in zip(before, witness.zeros[2], strict=True):
        np.testing.assert_array_equal(old, new)
    assert (np.array(witness.sparsity) >= np.array(shares) - 1e-6).all()
    assert witness.sparsity[-1] == pytest.approx([0.9, 0.9], abs=0.01)


def test_schedule_that_is_over_holds_what_is_there():
    model = mlp("adam")
    prune(model, ConstantSparsity(0.5, begin_step=0, end_step=4, frequency=2))
    fit(model, 8)
    zeros = [kernel == 0 for kernel in kernels(model)]
    again = mlp("adam")
    again.set_weights(model.get_weights())
    again.optimizer.build(again.trainable_variables)
    again.optimizer.iterations.assign(8)
    prune(again, ConstantSparsity(0.5, begin_step=0, end_step=4, frequency=2))
    fit(again, 4)
    for before, after in zip(zeros, kernels(again), strict=True):
        np.testing.assert_array_equal(before, after == 0)


def test_identity_initializer_is_not_taken_for_sparsity():
    inputs = keras.Input((5, 3))
    cell = keras.layers.SimpleRNN(6, recurrent_initializer="identity")
    model = keras.Model(inputs, keras.layers.Dense(2)(cell(inputs)))
    model.compile(keras.optimizers.Adam(0.01), "mse")
    prune(model, ConstantSparsity(0.5, begin_step=3))
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(24, 5, 3)), rng.normal(size=(24, 2))
    model.fit(x, y, batch_size=8, verbose=0)
    assert [row["zeros"] for row in sparsity_report(model).rows] == [0, 0, 0]
    model.fit(x, y, batch_size=8, verbose=0)
    shares = [row["sparsity"] for row in sparsity_report(model).rows]
    assert shares == pytest.approx([0.5] * 3, abs=0.03)
