"""Calls of layers are intercepted inside a block, and only there."""

import keras
import numpy as np
import pytest

from keras_strategies._internal.interception import intercepting, replacing


def test_calls_go_through_the_function_and_then_no_more():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name="a")])
    layer, x = model.layers[0], np.ones((1, 2), "float32")
    before = keras.ops.convert_to_numpy(model(x))
    seen = []

    def double(position, call, args, kwargs):
        seen.append(position)
        return 2 * call(*args, **kwargs)

    with intercepting([layer], double):
        inside = keras.ops.convert_to_numpy(model(x))
    np.testing.assert_allclose(inside, 2 * before)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model(x)), before)
    assert seen == [0] and "call" not in layer.__dict__


def test_an_error_leaves_no_trace_and_blocks_nest():
    layer = keras.layers.Dense(1)
    with pytest.raises(RuntimeError), intercepting([layer, layer], lambda *_: None):
        raise RuntimeError
    assert "call" not in layer.__dict__
    with replacing(layer, "activation", abs):
        with replacing(layer, "activation", max):
            assert layer.activation is max
        assert layer.activation is abs
    assert layer.activation is keras.activations.linear


def test_a_quantized_layer_is_intercepted_where_it_computes():
    layer = keras.layers.Dense(2)
    layer.build((None, 2))
    layer.quantize("int8")
    with intercepting([layer], lambda position, call, args, kwargs: args[0] * 0):
        value = keras.ops.convert_to_numpy(layer(np.ones((1, 2), "float32")))
    np.testing.assert_array_equal(value, 0)
