"""What pruning and clustering read of Keras beyond its public names."""

import keras
import numpy as np
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


def test_carried_variables_are_state_of_the_step_but_not_of_the_file():
    variable, extra = keras.Variable([1.0]), keras.Variable([5.0], trainable=False)
    optimizer = keras.optimizers.Adam()
    optimizer.build([variable])
    own = [v.path for v in optimizer.variables]
    keras_private.carry(optimizer, [extra])
    assert optimizer.variables[-1] is extra and len(optimizer.variables) == len(own) + 1
    store = {}
    optimizer.save_own_variables(store)
    assert len(store) == len(own)
    fresh = keras.optimizers.Adam()
    fresh.build([variable])
    store["0"] = np.asarray(7)
    fresh.load_own_variables(store)
    optimizer.load_own_variables(store)
    for loaded in (fresh, optimizer):
        assert int(keras.ops.convert_to_numpy(loaded.iterations)) == 7
    assert optimizer.variables[-1] is extra
    keras_private.stop_carrying(optimizer, [extra])
    assert [v.path for v in optimizer.variables] == own
    assert "save_own_variables" not in vars(optimizer)
