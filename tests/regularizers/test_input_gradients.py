"""JacobianPenalty and R1 against NumPy, in training steps, saved and loaded."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_strategies._internal import keras_private
from keras_strategies.regularizers import R1, JacobianPenalty
from tests.markers import slow_on_jax

RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 3)).astype("float32")
Y = RNG.normal(size=(8, 2)).astype("float32")
KERNEL = RNG.normal(size=(3, 2)).astype("float32")
LABELS = np.float32([1, 0, 1, 1, 0, 0, 1, 0])


def _linear(outputs=2):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(outputs)])
    model.layers[0].set_weights([KERNEL[:, :outputs], np.zeros(outputs)])
    return model


def _fitted(wrapped, x=X, y=Y, rate=0.1, **arguments):
    wrapped.compile(keras.optimizers.SGD(rate), loss="mse", **arguments)
    return wrapped.fit(x, y, batch_size=len(x), verbose=0).history["loss"][0]


def test_a_step_of_r1_equals_the_formula():
    """`||d D / d x||^2 = ||w||^2` for a linear discriminator."""
    wrapped = R1(_linear(1), factor=3.0)
    loss = _fitted(wrapped, y=LABELS)
    w = KERNEL[:, :1].astype("float64")
    error = X @ w - LABELS[:, None]
    assert loss == pytest.approx((error**2).mean() + 1.5 * (w**2).sum(), rel=1e-5)
    expected = w - 0.1 * (2 * X.T @ error / 8 + 3.0 * w)
    np.testing.assert_allclose(wrapped.get_weights()[0], expected, rtol=1e-4)
    # In evaluation it is the plain loss.
    kernel, bias = wrapped.get_weights()
    plain = ((X @ kernel + bias - LABELS[:, None]) ** 2).mean()
    assert wrapped.evaluate(X, LABELS, verbose=0) == pytest.approx(plain, rel=1e-5)


def _squares(x):
    """A model of the inputs `x` whose gradient differs from sample to sample."""
    inputs = keras.Input((3,))
    outputs = keras.layers.Dense(1, use_bias=False)(inputs * inputs)
    model = keras.Model(inputs, outputs)
    model.set_weights([KERNEL[:, :1]])
    return model, ((2 * x * KERNEL[:, 0]) ** 2).sum(axis=1)


def test_r1_counts_the_real_samples_only():
    model, squares = _squares(X)
    for real, chosen in ((1.0, LABELS == 1), (0.0, LABELS == 0), (None, LABELS < 2)):
        got = R1(model, real=real).penalty(ops.array(X), ops.array(LABELS), None)
        got = float(ops.convert_to_numpy(ops.stop_gradient(got)))
        assert got == pytest.approx(squares[chosen].mean() / 2, rel=1e-5)
    none = R1(model, real=7).penalty(ops.array(X), ops.array(LABELS[:, None]), None)
    assert float(ops.convert_to_numpy(ops.stop_gradient(none))) == 0
    with pytest.raises(ValueError, match="one number"):
        R1(model).penalty(ops.array(X), ops.array(Y), None)


@slow_on_jax
def test_the_jacobian_penalty_is_right_on_average():
    wrapped = JacobianPenalty(_linear(), projections=100, seed=1)
    x = np.tile(X, (8, 1))
    y_pred = wrapped(x)
    got = wrapped.penalty(ops.array(x), None, y_pred)
    got = float(ops.convert_to_numpy(ops.stop_gradient(got)))
    # 6400 directions.
    assert got == pytest.approx((KERNEL**2).sum() / 2, rel=0.05)
    single = JacobianPenalty(_linear(1), seed=1)  # one output: no chance in it
    got = single.penalty(ops.array(X), None, single(X))
    got = float(ops.convert_to_numpy(ops.stop_gradient(got)))
    assert got == pytest.approx((KERNEL[:, :1] ** 2).sum() / 2, rel=1e-5)


def _stateful():
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5, seed=7),
            keras.layers.Dense(2, activation="tanh", activity_regularizer="l2"),
        ]
    )


def test_states_are_those_of_one_pass():
    plain, inner = _stateful(), _stateful()
    wrapped = JacobianPenalty(inner, factor=0.5, seed=1)
    losses = [_fitted(model, rate=0.0) for model in (plain, wrapped)]
    assert losses[1] > losses[0]
    for expected, found in zip(plain.variables, inner.variables, strict=True):
        np.testing.assert_allclose(
            ops.convert_to_numpy(found), ops.convert_to_numpy(expected), rtol=1e-6
        )
    first = ops.convert_to_numpy(wrapped.seed_generator.state)
    wrapped.fit(X, Y, batch_size=8, verbose=0)
    assert (ops.convert_to_numpy(wrapped.seed_generator.state) != first).any()


@pytest.mark.parametrize("cls", [JacobianPenalty, R1])
def test_a_loaded_model_goes_on_alike(cls, tmp_path):
    arguments = {"projections": 2, "seed": 5} if cls is JacobianPenalty else {"real": 0}
    wrapped = cls(_linear(1), factor=0.3, **arguments)
    _fitted(wrapped, y=LABELS, metrics=["mae"])
    wrapped.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_config()["factor"] == 0.3
    assert {k: loaded.get_config()[k] for k in arguments} == arguments
    for model in (wrapped, loaded):
        model.fit(X, LABELS, batch_size=8, verbose=0)
    for a, b in zip(wrapped.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5)


@pytest.mark.tensorflow
def test_mixed_precision_xla_and_several_inputs():
    keras.config.set_dtype_policy("mixed_float16")
    ids, x = keras.Input((1,), dtype="int32"), keras.Input((3,))
    embedded = keras.layers.Flatten()(keras.layers.Embedding(4, 3)(ids))
    model = keras.Model([ids, x], keras.layers.Dense(2)(embedded * x))
    wrapped = JacobianPenalty(model, factor=0.1)
    wrapped.compile("adam", loss="mse", jit_compile=True)
    data = [np.zeros((8, 1), "int32"), X]
    losses = wrapped.fit(data, Y, batch_size=4, epochs=2, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    with pytest.raises(ValueError, match="floating-point"):
        wrapped.squared_input_gradients([data[0]], None)


def test_kept_losses_and_additional_losses():
    model = _stateful()
    model(X)
    before = model.losses
    with keras_private.preserved_losses(model):
        model(2 * X)
        assert model.losses[0] is not before[0]
    assert len(model.losses) == 1 and model.losses[0] is before[0]
    total = keras_private.additional_loss(model, ops.ones((2,)))
    assert float(ops.convert_to_numpy(total)) == 2


def test_bad_arguments_are_refused():
    for make in (
        lambda: R1(_linear(), factor=-1),
        lambda: JacobianPenalty(_linear(), projections=0),
        lambda: JacobianPenalty(_linear(), factor=float("nan")),
    ):
        with pytest.raises(ValueError, match="must be"):
            make()
    with pytest.raises(TypeError, match="Keras model"):
        R1(keras.layers.Dense(2))
