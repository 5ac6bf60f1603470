"""lsuv_init: unit variance in every kind of model, and nothing else changed."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_strategies.initializers import lsuv_init
from tests.markers import slow_on_jax

BATCH = np.random.default_rng(0).normal(3.0, 20.0, size=(64, 6)).astype("float32")


def _deep(depth=4, activation="tanh", **arguments):
    stack = [
        keras.layers.Dense(16, activation=activation, **arguments) for _ in range(depth)
    ]
    return keras.Sequential([keras.Input((6,)), *stack])


def _state(model):
    return [ops.convert_to_numpy(v) for v in model.variables]


def _same(model, state):
    values = zip(_state(model), state, strict=True)
    hooked = any("call" in vars(layer) for layer in model.layers)
    return all((a == b).all() for a, b in values) and not hooked


def test_every_layer_of_a_deep_network_has_unit_variance():
    model = _deep(kernel_initializer=keras.initializers.RandomNormal(stddev=5.0))
    variances = lsuv_init(model, BATCH, seed=1)
    assert list(variances) == [f"{layer.name}/kernel" for layer in model.layers]
    x = BATCH
    for layer in model.layers:  # each recomputed by NumPy
        kernel, bias = layer.get_weights()
        z = x @ kernel + bias
        assert z.var() == pytest.approx(1, abs=1e-3)
        assert variances[f"{layer.name}/kernel"] == pytest.approx(z.var(), rel=1e-3)
        # Orthonormal up to the scale.
        gram = kernel @ kernel.T
        np.testing.assert_allclose(
            gram, gram[0, 0] * np.eye(len(gram)), atol=1e-3 * gram[0, 0]
        )
        x = np.tanh(z)
    assert len({layer.get_weights()[0].tobytes() for layer in model.layers[1:]}) == 3


class _Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.first = keras.layers.Conv1D(4, 3, activation=keras.layers.LeakyReLU())
        self.norm = keras.layers.BatchNormalization()
        self.drop = keras.layers.Dropout(0.5, seed=1)
        self.depthwise = keras.layers.SeparableConv1D(5, 2)
        # On JAX each step of a recurrent layer compiles when it is called eagerly.
        jax = keras.backend.backend() == "jax"
        self.rnn = keras.layers.Flatten() if jax else keras.layers.SimpleRNN(3)
        self.steps = keras.layers.TimeDistributed(keras.layers.Dense(3))
        self.attention = keras.layers.MultiHeadAttention(2, 2)
        self.frozen = keras.layers.Dense(4, trainable=False)

    def call(self, inputs, training=None):
        x = self.norm(self.first(inputs["x"]), training=training)
        x = self.depthwise(self.drop(x, training=training))
        x = self.steps(self.attention(x, x))
        return self.frozen(self.rnn(x))


@slow_on_jax
def test_any_model_and_only_kernels():
    model = _Subclassed()
    batch = {"x": BATCH[:, :, None]}
    model(batch)
    before = {v.path: ops.convert_to_numpy(v) for v in model.variables}
    variances = lsuv_init(model, batch, seed=1)
    paths = "".join(variances)
    assert len(variances) == 6 and "pointwise" in paths and "query" in paths
    assert list(variances.values()) == pytest.approx([1] * 6, abs=0.1)
    for variable in model.variables:
        same = (ops.convert_to_numpy(variable) == before[variable.path]).all()
        # The path of a variable begins with the name of the model.
        path = variable.path.removeprefix(f"{model.name}/")
        assert same == (path not in variances), variable.path
    for layer in model._flatten_layers():
        assert "call" not in vars(layer)
    assert isinstance(model.first.activation, keras.layers.LeakyReLU)
    assert len(model.first._flatten_layers(include_self=False)) == 1


@slow_on_jax
def test_kernels_as_they_are_with_a_bias_and_only():
    model = _deep(3, bias_initializer="ones")
    before = _state(model)
    variances = lsuv_init(
        model, BATCH, tolerance=1e-3, orthonormal=False, include=r"dense_1|dense_2"
    )
    assert [path.split("/")[-2] for path in variances] == ["dense_1", "dense_2"]
    assert list(variances.values()) == pytest.approx([1, 1], abs=1e-3)
    after = _state(model)
    for index, (old, new) in enumerate(zip(before, after, strict=True)):
        if index in (2, 4):
            ratio = new / old
            np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-4)
        else:
            np.testing.assert_array_equal(new, old)


@slow_on_jax
def test_kernels_are_selected_by_layer_kernel_and_function():
    model = _deep(3)
    first, second, third = model.layers
    for include, exclude, expected in (
        (second, None, [second]),
        ([first, third.kernel], None, [first, third]),
        (None, lambda layer: layer is second, [first, third]),
    ):
        before = _state(model)
        paths = list(lsuv_init(model, BATCH, include=include, exclude=exclude, seed=2))
        assert paths == [f"{layer.name}/kernel" for layer in expected]
        changed = [
            layer
            for i, layer in enumerate(model.layers)
            if (layer.get_weights()[0] != before[2 * i]).any()
        ]
        assert set(changed) <= set(expected)


@slow_on_jax
def test_mixed_precision_keeps_the_kernels_in_float32():
    keras.config.set_dtype_policy("mixed_float16")
    model = _deep(2)
    variances = lsuv_init(model, BATCH, tolerance=0.01)
    assert list(variances.values()) == pytest.approx([1, 1], abs=0.02)
    kernel = model.layers[0].get_weights()[0]
    assert kernel.dtype == "float32"
    assert (kernel != kernel.astype("float16")).any()


class _UnitColumns(keras.layers.Dense):
    def call(self, inputs):
        kernel = self.kernel / ops.sqrt(ops.sum(ops.square(self.kernel), axis=0))
        return ops.matmul(inputs, kernel)


@slow_on_jax
def test_a_layer_whose_scale_does_not_count_is_named_and_left():
    model = keras.Sequential([keras.Input((6,)), _UnitColumns(4)])
    before = _state(model)
    with pytest.warns(UserWarning, match="not scaled.*unit_columns/kernel"):
        variances = lsuv_init(model, BATCH, orthonormal=False)
    assert list(variances.values())[0] > 100
    assert _same(model, before)


@pytest.mark.parametrize("fault", ["constant", "nan", "error"])
def test_any_failure_leaves_the_model_as_it_was(fault):
    model = _deep(3)
    batch = BATCH.copy()
    if fault == "constant":
        batch[:] = 0
        expected = pytest.raises(ValueError, match="must be finite and vary")
    elif fault == "nan":
        batch[3, 2] = np.nan
        expected = pytest.raises(ValueError, match="must be finite and vary")
    else:
        batch = BATCH[:, :5]
        expected = pytest.raises(ValueError)
    before = _state(model)
    with expected:
        lsuv_init(model, batch)
    assert _same(model, before)


def test_bad_arguments_are_refused():
    model = _deep(1)
    for arguments in (
        {"tolerance": 0.0},
        {"max_iterations": 0},
        {"include": "("},
        {"include": "conv"},
        {"exclude": "dense"},
    ):
        with pytest.raises(ValueError, match="must"):
            lsuv_init(model, BATCH, **arguments)
    with pytest.raises(ValueError, match="must be built"):
        lsuv_init(keras.Sequential([keras.layers.Dense(2)]), BATCH)
    with pytest.raises(TypeError, match="`model` must be"):
        lsuv_init(keras.layers.Dense(2), BATCH)
