"""What pruning and clustering read of Keras beyond its public names."""

import keras
from keras import layers

from keras_strategies._internal import keras_private


def _names(model):
    calls = keras_private.operation_calls(model)
    return [(op.name, [parent.name for parent in parents]) for op, parents in calls]


def test_operation_calls_of_a_sequential_model():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2), layers.ReLU()])
    start, first, second = _names(model)
    assert start[1] == []
    assert first == ("dense", [start[0]])
    assert second == ("re_lu", ["dense"])


def test_operation_calls_see_shared_layers_and_plain_operations():
    inputs = keras.Input((3,), name="x")
    shared = layers.Dense(3, name="shared")
    y = shared(shared(inputs)) + inputs
    names = _names(keras.Model(inputs, y))
    assert names[:3] == [("x", []), ("shared", ["x"]), ("shared", ["shared"])]
    assert names[3][1] == ["shared", "x"]


def test_operation_calls_of_a_subclassed_model():
    class Own(keras.Model):
        def call(self, x):
            return x

    assert keras_private.operation_calls(Own()) is None
