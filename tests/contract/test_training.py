"""Every case trains: plain, under XLA, in mixed precision, repeatably."""

import keras
import numpy as np
import pytest

from tests.cases import REGULARIZERS, SCHEDULES
from tests.contract import models
from tests.markers import slow_where_compiled

# Compiling is what costs: a graph on TensorFlow, XLA on JAX, nothing on Torch.
PLAIN = "auto"


def _fit(model, x, y, jit, eager=False):
    model.compile("adam", loss="mse", jit_compile=jit, run_eagerly=eager)
    history = model.fit(x, y, batch_size=models.BATCH, epochs=2, verbose=0)
    return history.history["loss"]


def _builders():
    for shape in models.layer_shapes():
        yield pytest.param(
            shape, lambda shape=shape: models.layers_model(shape), id=f"layers{shape}"
        )
    if REGULARIZERS:
        yield pytest.param((6, 6, 2), models.regularizers_model, id="regularizers")


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize(("shape", "build"), list(_builders()))
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_two_epochs_under_xla(policy, shape, build):
    keras.config.set_dtype_policy(policy)
    losses = _fit(build(), *models.regression_data(shape), True)
    assert np.isfinite(losses).all()


@pytest.mark.parametrize(("shape", "build"), list(_builders()))
def test_mixed_precision(shape, build):
    keras.config.set_dtype_policy("mixed_float16")
    # Under XLA in every run on JAX, and on TensorFlow, where it takes long, above: a
    # graph of all layers costs seconds, the four steps here a fraction of one.
    jit = keras.backend.backend() == "jax"
    eager = keras.backend.backend() == "tensorflow"
    losses = _fit(build(), *models.regression_data(shape), jit, eager)
    assert np.isfinite(losses).all()


@pytest.mark.parametrize(("shape", "build"), list(_builders()))
def test_the_same_seed_gives_the_same_model(shape, build):
    made = []
    for _ in range(2):
        keras.utils.set_random_seed(7)
        made.append([keras.ops.convert_to_numpy(v) for v in build().variables])
    assert len(made[0]) == len(made[1])
    for first, second in zip(*made, strict=True):
        np.testing.assert_array_equal(first, second)


@slow_where_compiled
@pytest.mark.parametrize(("shape", "build"), list(_builders()))
def test_two_epochs_have_finite_losses_and_the_same_seed_the_same(shape, build):
    runs = []
    for _ in range(2):
        keras.utils.set_random_seed(7)
        runs.append(_fit(build(), *models.regression_data(shape), PLAIN))
    assert np.isfinite(runs[0]).all()
    np.testing.assert_allclose(runs[0], runs[1], rtol=1e-5)


# Compiled as Keras compiles by itself; without XLA in scripts/test --full.
JIT = [pytest.param(m, marks=pytest.mark.slow) for m in models.jit_modes()[:-1]]


@pytest.mark.parametrize("jit", [*JIT, models.jit_modes()[-1]])
@pytest.mark.parametrize("case", SCHEDULES, ids=lambda case: case.id)
def test_schedule_in_an_optimizer(case, jit):
    model = models.mlp()
    schedule = case.build()
    model.compile(
        keras.optimizers.SGD(schedule),
        loss="sparse_categorical_crossentropy",
        jit_compile=jit,
    )
    x, y = models.classification_data()
    losses = model.fit(x, y, batch_size=8, epochs=2, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    now = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
    assert now == pytest.approx(float(schedule(12)), rel=1e-5)
