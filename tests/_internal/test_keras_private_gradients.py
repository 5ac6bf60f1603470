"""Gradients of functions of tensors on every backend."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_strategies._internal import keras_private


def _numpy(x):
    return ops.convert_to_numpy(x)


def test_value_aux_and_gradients():
    a, b = np.array([1.0, 2.0], "float32"), np.array([3.0, 4.0], "float32")
    value, aux, found = keras_private.gradients(
        lambda xs: (ops.sum(xs[0] ** 3 * xs[1]), xs[0] + 1), [a, b, a]
    )
    assert float(ops.convert_to_numpy(value)) == pytest.approx(35.0)
    np.testing.assert_allclose(_numpy(aux), a + 1)
    np.testing.assert_allclose(_numpy(found[0]), 3 * a**2 * b, rtol=1e-6)
    np.testing.assert_allclose(_numpy(found[1]), a**3, rtol=1e-6)
    np.testing.assert_array_equal(_numpy(found[2]), 0)


def test_gradients_of_gradients():
    def squared_slope(xs):
        _, _, [slope] = keras_private.gradients(
            lambda ys: (ops.sum(ys[0] ** 3 * xs[0]), None), [np.ones(2, "float32")]
        )
        return ops.sum(slope**2), None

    weights = np.array([2.0, -1.0], "float32")
    _, _, [found] = keras_private.gradients(squared_slope, [weights])
    # d/dw of (3 w)^2
    np.testing.assert_allclose(_numpy(found), 18 * weights, rtol=1e-6)


def test_a_backend_without_gradients_is_named(monkeypatch):
    monkeypatch.setattr("keras.backend.backend", lambda: "numpy")
    with pytest.raises(NotImplementedError, match="backend='numpy'"):
        keras_private.gradients(lambda xs: (xs[0], None), [1.0])


def test_first_gradients_tell_what_has_no_influence():
    a, b = np.array([1.0, 2.0], "float32"), np.array([3.0, 4.0], "float32")
    value, aux, found = keras_private.first_gradients(
        lambda xs: (ops.sum(xs[0] ** 2), xs[0] + 1), [ops.array(a), ops.array(b)]
    )
    assert float(ops.convert_to_numpy(value)) == pytest.approx(5.0)
    np.testing.assert_allclose(_numpy(aux), a + 1)
    np.testing.assert_allclose(_numpy(found[0]), 2 * a)
    if keras.backend.backend() == "jax":
        np.testing.assert_array_equal(_numpy(found[1]), 0)
    else:
        assert found[1] is None


def test_gradients_by_tensors_that_arise_inside():
    x = ops.array(np.array([1.0, 2.0], "float32"))

    def function(mark):
        first = mark(x * 3)
        second = mark(first**2)
        return ops.sum(second * x), first

    value, aux, marked, found = keras_private.gradients_within(function)
    assert float(ops.convert_to_numpy(value)) == pytest.approx(9 + 72)
    np.testing.assert_allclose(_numpy(aux), [3, 6])
    np.testing.assert_allclose(_numpy(marked[0]), [3, 6])
    np.testing.assert_allclose(_numpy(marked[1]), [9, 36])
    np.testing.assert_allclose(_numpy(found[1]), [1, 2])
    # On Torch a mark cuts what is behind it off: each is a leaf of its own.
    if keras.backend.backend() != "torch":
        np.testing.assert_allclose(_numpy(found[0]), [6, 24])


def test_backends_without_gradients_inside_are_named(monkeypatch):
    monkeypatch.setattr("keras.backend.backend", lambda: "numpy")
    with pytest.raises(NotImplementedError, match="backend='numpy'"):
        keras_private.first_gradients(lambda xs: (xs[0], None), [1.0])
    with pytest.raises(NotImplementedError, match="backend='numpy'"):
        keras_private.gradients_within(lambda mark: (mark(1.0), None))
