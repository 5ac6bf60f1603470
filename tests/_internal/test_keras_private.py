"""Each private name of Keras does what this package relies on."""

import keras
import numpy as np
import pytest

from keras_strategies._internal import keras_private


def test_input_signature_of_every_model_kind():
    left, right = keras.Input((3,), name="b"), keras.Input((4,), name="a")
    joined = keras.layers.Concatenate()([left, right])
    functional = keras.Model([left, right], joined)
    [structure] = keras_private.input_signature(functional)
    assert [spec.name for spec in structure] == ["b", "a"]
    assert [tuple(spec.shape) for spec in structure] == [(None, 3), (None, 4)]
    sequential = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1)])
    [spec] = keras_private.input_signature(sequential)
    assert tuple(spec.shape) == (None, 5)


def test_input_signature_of_a_subclassed_model():
    class Sum(keras.Model):
        def call(self, inputs):
            return inputs["first"] + inputs["second"]

    model = Sum()
    with pytest.raises(ValueError, match="must have been called once"):
        keras_private.input_signature(model)
    ones = np.ones((2, 3), "float32")
    model({"first": ones, "second": ones})
    [structure] = keras_private.input_signature(model)
    assert {name: tuple(spec.shape) for name, spec in structure.items()} == {
        "first": (None, 3),
        "second": (None, 3),
    }


def test_backend_ops_are_keras_ops_or_those_of_the_switched_backend():
    import tensorflow as tf

    layer = keras_private.BaseImagePreprocessingLayer()
    assert keras_private.backend_ops(layer.backend) is keras.ops
    layer.backend.set_backend("tensorflow")
    ops = keras_private.backend_ops(layer.backend)
    assert ops is keras_private.backend_ops(layer.backend)
    for name in ("cast", "shape", "convert_to_tensor", "take", "floor", "where"):
        assert callable(getattr(ops, name))
    assert tf.is_tensor(ops.cast(ops.arange(3), "float32"))
    with pytest.raises(AttributeError, match="no_such_function"):
        _ = ops.no_such_function
