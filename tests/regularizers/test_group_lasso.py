"""GroupLasso against its closed form and gradient, and what it does to a layer."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_strategies.regularizers import GroupLasso


def _numpy(x):
    return ops.convert_to_numpy(x)


def _reference(w, factor, axis):
    axes = axis if isinstance(axis, tuple) else (axis,)
    axes = [a % w.ndim for a in axes]
    groups = np.moveaxis(w, axes, range(len(axes)))
    groups = groups.reshape(int(np.prod(groups.shape[: len(axes)])), -1)
    norms = np.sqrt((groups.astype("float64") ** 2).sum(axis=1))
    return factor * np.sqrt(groups.shape[1]) * norms.sum()


@st.composite
def _weights_and_axes(draw):
    shape = draw(st.sampled_from([(3,), (4, 3), (2, 1, 3), (2, 3, 1, 2)]))
    rank = len(shape)
    axes = draw(st.lists(st.integers(0, rank - 1), min_size=1, unique=True))
    axes = [a - rank if draw(st.booleans()) else a for a in axes]
    seed = draw(st.integers(0, 10))
    w = np.random.default_rng(seed).normal(size=shape).astype("float32")
    return w, axes[0] if len(axes) == 1 else tuple(axes)


@settings(max_examples=15, deadline=None)
@given(_weights_and_axes(), st.floats(0, 2))
def test_closed_form(weights_and_axes, factor):
    w, axis = weights_and_axes
    got = float(GroupLasso(factor, axis)(ops.array(w)))
    assert got == pytest.approx(_reference(w, factor, axis), rel=1e-4, abs=1e-6)


def _gradient(regularizer, w):
    """The step of plain SGD at rate 1 on the penalty alone is minus the gradient."""
    layer = keras.layers.Dense(
        w.shape[1], use_bias=False, kernel_regularizer=regularizer
    )
    model = keras.Sequential([keras.Input((w.shape[0],)), layer])
    layer.kernel.assign(w)
    model.compile(keras.optimizers.SGD(1.0), loss=lambda y, p: 0 * ops.mean(p))
    model.train_on_batch(np.ones((1, w.shape[0])), np.zeros((1, w.shape[1])))
    return w - _numpy(layer.kernel)


def test_gradient_is_the_unit_vector_of_each_group_and_zero_at_zero():
    w = np.array([[3.0, 0.0, 1e-6], [4.0, 0.0, 0.0]], "float32")
    got = _gradient(GroupLasso(0.5), w)
    root = 0.5 * np.sqrt(2)
    expected = root * np.array([[0.6, 0.0, 1.0], [0.8, 0.0, 0.0]])
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)


def test_float16_weights_do_not_underflow_or_overflow():
    small = np.full((64, 2), 1e-4, "float16")
    large = np.full((1024, 1), 200.0, "float16")  # the squares exceed float16
    for w in (small, large):
        got = GroupLasso(0.001)(ops.array(w))
        assert keras.backend.standardize_dtype(got.dtype) == "float16"
        expected = _reference(w.astype("float64"), 0.001, -1)
        assert float(got) == pytest.approx(expected, rel=2e-3)


def test_mixed_float16_trains():
    keras.config.set_dtype_policy("mixed_float16")
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(3, kernel_regularizer=GroupLasso(0.01)),
        ]
    )
    model.compile("adam", "mse")
    history = model.fit(np.ones((8, 4)), np.zeros((8, 3)), verbose=0).history
    assert np.isfinite(history["loss"]).all()


@pytest.mark.slow
def test_only_the_useful_units_survive():
    """One of eight inputs carries the target; noise keeps the others alive."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(128, 8)).astype("float32")
    y = x[:, :1] * np.array([[1.0, -2.0]]) + rng.normal(size=(128, 2))
    norms = {}
    for factor in (0.0, 0.3):
        keras.utils.set_random_seed(0)
        layer = keras.layers.Dense(2, kernel_regularizer=GroupLasso(factor, axis=0))
        model = keras.Sequential([keras.Input((8,)), layer])
        model.compile(keras.optimizers.SGD(0.05), "mse")
        model.fit(x, y.astype("float32"), batch_size=128, epochs=100, verbose=0)
        norms[factor] = np.linalg.norm(_numpy(layer.kernel), axis=1)
    assert norms[0.3][0] > 1.0
    # Steps of 0.05 * 0.3 * sqrt(2) = 0.021 turn around zero.
    assert norms[0.3][1:].max() < 0.03
    assert norms[0.0][1:].max() > 0.1


@pytest.mark.parametrize(
    ("layer", "shape", "groups", "size"),
    [
        (lambda r: keras.layers.Dense(5, kernel_regularizer=r), (4,), 5, 4),
        (lambda r: keras.layers.Conv1D(5, 3, kernel_regularizer=r), (8, 2), 5, 6),
        (lambda r: keras.layers.Conv2D(5, 3, kernel_regularizer=r), (8, 8, 2), 5, 18),
    ],
)
def test_one_group_an_output_for_dense_and_conv(layer, shape, groups, size):
    built = layer(GroupLasso(1.0))
    built.build((None, *shape))
    built.kernel.assign(np.full(built.kernel.shape, 2.0))
    assert float(_numpy(built.losses[0])) == pytest.approx(groups * size * 2.0)


def test_config_of_a_tuple_axis_survives_json():
    regularizer = GroupLasso(0.1, axis=[-2, -1])
    data = keras.saving.serialize_keras_object(regularizer)
    again = keras.saving.deserialize_keras_object(data)
    assert again.get_config() == {"factor": 0.1, "axis": (-2, -1)}


@pytest.mark.parametrize("factor", [-1.0, float("inf")])
def test_bad_factor(factor):
    with pytest.raises(ValueError, match="`factor` must be"):
        GroupLasso(factor)


@pytest.mark.parametrize("axis", [(), (1, 1), (0, -2), 2, -3])
def test_bad_axis(axis):
    with pytest.raises(ValueError, match="`axis` must name"):
        GroupLasso(0.1, axis)(ops.ones((2, 3)))


@pytest.mark.parametrize("axis", [1.5, "last", True, (0, None)])
def test_axis_of_the_wrong_type(axis):
    with pytest.raises(TypeError, match="`axis` must be an integer"):
        GroupLasso(0.1, axis)
