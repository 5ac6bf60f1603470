"""Layers around and beside Dense against NumPy."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_strategies import layers
from keras_strategies.layers.concrete_dropout import concrete_drop, entropy_penalty

RNG = np.random.default_rng(0)
X = RNG.normal(size=(7, 6)).astype("float32")


def _numpy(x):
    return ops.convert_to_numpy(x)


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _random_weights(layer):
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])
    return {w.path.rpartition("/")[2]: _numpy(w) for w in layer.weights}


def test_weight_normalization_is_the_formula():
    layer = layers.WeightNormalization(keras.layers.Dense(4, activation="relu"))
    layer.build(X.shape)
    w = _random_weights(layer)
    kernel = w["g"] * w["kernel"] / np.linalg.norm(w["kernel"], axis=0)
    expected = np.maximum(X @ kernel + w["bias"], 0)
    np.testing.assert_allclose(_numpy(layer(X)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "axis", "shape"),
    [
        (lambda: keras.layers.Conv1D(3, 2), -1, (1, 1, 3)),
        (lambda: keras.layers.DepthwiseConv1D(2), (-2, -1), (1, 2, 1)),
        (lambda: keras.layers.Conv1DTranspose(3, 2), -2, (1, 3, 1)),
    ],
)
def test_wrapping_changes_nothing_at_the_start(make, axis, shape):
    x = X.reshape(7, 3, 2)
    plain = make()
    plain.build(x.shape)
    expected = _numpy(plain(x))
    layer = layers.WeightNormalization(plain, axis)
    np.testing.assert_allclose(_numpy(layer(x)), expected, rtol=1e-4, atol=1e-5)
    assert layer.g.shape == shape


def _with_parts():
    """The same network with the formula written out, to compare gradients with."""

    class Parts(keras.layers.Layer):
        def build(self, input_shape):
            self.g = self.add_weight(shape=(1, 4))
            self.v = self.add_weight(shape=(6, 4))
            self.bias = self.add_weight(shape=(4,))

        def call(self, x):
            length = ops.sqrt(ops.sum(ops.square(self.v), axis=0, keepdims=True))
            return ops.matmul(x, self.g * self.v / length) + self.bias

    return Parts()


def test_penalties_of_the_wrapped_layer_count():
    penalties = {"kernel_regularizer": "l2", "activity_regularizer": "l1"}
    plain, inner = (keras.layers.Dense(4, **penalties) for _ in range(2))
    wrapped = layers.WeightNormalization(inner)
    totals = []
    for layer in (plain, wrapped):
        layer.build(X.shape)
        if layer is wrapped:
            kernel, bias = plain.get_weights()
            length = np.linalg.norm(kernel, axis=0, keepdims=True)
            wrapped.set_weights([length, kernel, bias])
        layer(X)
        totals.append([float(_numpy(loss)) for loss in layer.losses])
    assert len(totals[0]) == 2
    assert sorted(totals[0]) == pytest.approx(sorted(totals[1]), rel=1e-4)


def test_training_reaches_both_factors():
    wrapped = layers.WeightNormalization(keras.layers.Dense(4))
    parts = _with_parts()
    models = []
    for layer in (wrapped, parts):
        models.append(keras.Sequential([keras.Input((6,)), layer]))
        models[-1].compile(keras.optimizers.SGD(0.1), "mse")
    assert [w.shape for w in models[0].weights] == [w.shape for w in models[1].weights]
    models[1].set_weights(models[0].get_weights())
    y = RNG.normal(size=(7, 4))
    for model in models:
        model.fit(X, y, batch_size=7, epochs=3, verbose=0)
    for a, b in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("wrapper", ["WeightNormalization", "ConcreteDropout"])
def test_layers_without_a_kernel_are_refused(wrapper):
    with pytest.raises(ValueError, match="must have a kernel"):
        getattr(layers, wrapper)(keras.layers.Flatten())(X)
    with pytest.raises(TypeError, match="`layer` must be a Layer"):
        getattr(layers, wrapper)("dense")


def test_concrete_dropout_terms():
    p, u = np.float32(0.3), RNG.uniform(0.01, 0.99, 50).astype("float32")
    logit = np.log(p / (1 - p))
    expected = _sigmoid((logit + np.log(u / (1 - u))) / 0.1)
    got = _numpy(concrete_drop(ops.array(logit), ops.array(u), 0.1))
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-5)
    entropy = p * np.log(p) + (1 - p) * np.log(1 - p)
    assert float(entropy_penalty(ops.array(logit))) == pytest.approx(entropy, rel=1e-5)


def test_concrete_dropout_drops_at_its_rate_and_counts_its_loss():
    inner = keras.layers.Dense(2)
    layer = layers.ConcreteDropout(inner, 0.01, 0.02, rate=0.3, seed=0)
    out = _numpy(layer(np.ones((4000, 6), "float32"), training=True))
    kernel = _numpy(inner.kernel)
    np.testing.assert_allclose(out.mean(0), kernel.sum(0), atol=0.1)
    entropy = 0.3 * np.log(0.3) + 0.7 * np.log(0.7)
    expected = 0.01 * (kernel**2).sum() / 0.7 + 0.02 * 6 * entropy
    assert float(_numpy(layer.losses[0])) == pytest.approx(expected, rel=1e-4)
    plain = X @ kernel
    np.testing.assert_allclose(_numpy(layer(X)), plain, rtol=1e-4, atol=1e-5)


def test_concrete_dropout_drops_whole_channels():
    conv = keras.layers.Conv1D(5, 1, use_bias=False, data_format="channels_last")
    layer = layers.ConcreteDropout(conv, rate=0.5, seed=0, temperature=0.01)
    layer.build((8, 4, 5))
    conv.set_weights([np.eye(5)[None]])
    out = _numpy(layer(np.ones((8, 4, 5), "float32"), training=True))
    np.testing.assert_allclose(out, out[:, :1] * np.ones((1, 4, 1)), rtol=1e-5)
    assert len(np.unique(out[:, 0].round(3))) > 1


def test_concrete_dropout_learns_its_rate():
    # Nothing to learn from: the entropy drives the rate to one half.
    dense = keras.layers.Dense(1, kernel_initializer="zeros")
    layer = layers.ConcreteDropout(dense, 0.0, 1.0, rate=0.1)
    model = keras.Sequential([keras.Input((6,)), layer])
    model.compile(keras.optimizers.Adam(0.2), "mse")
    model.fit(X, X[:, :1] * 0, batch_size=1, epochs=6, verbose=0)
    assert _sigmoid(float(_numpy(layer.logit))) == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize("factorised", [True, False])
def test_noisy_dense(factorised):
    layer = layers.NoisyDense(3, use_factorised=factorised, seed=5)
    plain = _numpy(layer(X))
    w = {v.path.rpartition("/")[2]: _numpy(v) for v in layer.weights}
    np.testing.assert_allclose(plain, X @ w["kernel"] + w["bias"], atol=1e-5)
    limit = np.sqrt((1 if factorised else 3) / 6)
    assert np.abs(w["kernel"]).max() <= limit
    sigma = 0.5 / np.sqrt(6) if factorised else 0.017
    np.testing.assert_allclose(w["kernel_sigma"], sigma, rtol=1e-5)
    # One noise a call for the whole batch: what a unit matrix gives is the kernel.
    x = np.concatenate([np.zeros((1, 6)), np.eye(6)]).astype("float32")
    out = _numpy(layer(x, training=True))
    bias_noise = (out[0] - w["bias"]) / sigma
    noise = (out[1:] - out[0] - w["kernel"]) / sigma
    if factorised:
        assert np.linalg.matrix_rank(noise, tol=1e-3) == 1
        ratios = noise / bias_noise
        np.testing.assert_allclose(ratios, ratios[:, :1] * np.ones(3), rtol=1e-2)
    else:
        assert np.linalg.matrix_rank(noise, tol=1e-3) == 3
    assert (_numpy(layer(x, training=True)) != out).any()


def test_gated_linear_unit():
    layer = layers.GatedLinearUnit(4, kernel_initializer=keras.initializers.Ones())
    layer.build(X.shape)
    weights = [RNG.normal(size=w.shape).astype("float32") for w in layer.weights]
    layer.set_weights(weights)
    w, b, v, c = weights
    expected = (X @ w + b) * _sigmoid(X @ v + c)
    np.testing.assert_allclose(_numpy(layer(X)), expected, rtol=1e-4, atol=1e-5)


STEPS = RNG.normal(size=(4, 5, 3)).astype("float32")


def test_the_recurrent_kernel_of_a_recurrent_layer_is_normalized():
    plain = keras.layers.SimpleRNN(4)
    expected = _numpy(plain(STEPS))
    layer = layers.WeightNormalization(plain)
    np.testing.assert_allclose(_numpy(layer(STEPS)), expected, rtol=1e-4, atol=1e-5)
    w = _random_weights(layer)
    recurrent = w["recurrent_kernel"]
    recurrent = w["g"] * recurrent / np.linalg.norm(recurrent, axis=0)
    state = np.zeros((4, 4))
    for step in range(5):
        state = STEPS[:, step] @ w["kernel"] + w["bias"] + state @ recurrent
        state = np.tanh(state)
    np.testing.assert_allclose(_numpy(layer(STEPS)), state, rtol=1e-4, atol=1e-5)


def test_another_weight_by_name():
    layer = layers.WeightNormalization(keras.layers.GRU(2), weight="kernel")
    layer.build(STEPS.shape)
    assert layer.g.shape == (1, 6)
    assert layer.get_config()["weight"] == "kernel"
    with pytest.raises(ValueError, match="must have a gamma"):
        layers.WeightNormalization(keras.layers.GRU(2), weight="gamma")(STEPS)


def test_recurrent_dropout_draws_anew_and_states_are_refused():
    layer = layers.WeightNormalization(keras.layers.LSTM(3, dropout=0.5, seed=1))
    first, second = (_numpy(layer(STEPS, training=True)) for _ in range(2))
    assert np.abs(first - second).max() > 1e-3
    with pytest.raises(ValueError, match="must not be stateful"):
        layers.WeightNormalization(keras.layers.LSTM(3, stateful=True))


@pytest.mark.parametrize(
    "make", [lambda: keras.layers.Dense(4), lambda: keras.layers.LSTM(4)]
)
def test_removed_it_leaves_the_layer_with_the_trained_kernel(make):
    layer = layers.WeightNormalization(make())
    with pytest.raises(ValueError, match="must be built"):
        layer.remove()
    layer.build(STEPS.shape)
    _random_weights(layer)
    layer.g.assign(-_numpy(layer.g))  # its sign is a part of the kernel
    expected = _numpy(layer(STEPS))
    inner = layer.remove()
    assert inner is layer.layer
    np.testing.assert_allclose(_numpy(inner(STEPS)), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(_numpy(layer(STEPS)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "axis"),
    [
        (lambda: keras.layers.Dense(4, activation="relu"), -1),
        (lambda: keras.layers.Conv1D(4, 2, activation="relu"), -1),
        (lambda: keras.layers.Conv1DTranspose(4, 2, activation="relu"), -2),
    ],
)
def test_units_start_with_mean_zero_and_variance_one(make, axis):
    x = RNG.normal(3.0, 2.0, size=(50, 6, 3)).astype("float32")
    layer = layers.WeightNormalization(make(), axis)
    layer.initialize(x)
    assert layer.layer.activation is keras.activations.relu
    layer.layer.activation = keras.activations.linear
    units = _numpy(layer(x)).reshape(-1, 4)
    np.testing.assert_allclose(units.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(units.std(0), 1, rtol=1e-3)


def test_what_cannot_be_initialized_is_refused_and_left_alone():
    with pytest.raises(ValueError, match="with a bias"):
        layers.WeightNormalization(keras.layers.LSTM(2)).initialize(STEPS)
    layer = layers.WeightNormalization(keras.layers.Dense(2))
    layer.build((4, 3))
    before = layer.get_weights()
    with pytest.raises(ValueError, match="must vary"):
        layer.initialize(np.ones((4, 3)))
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
