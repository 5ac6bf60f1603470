"""What pruning and clustering read of Keras beyond its public names."""

import keras
import numpy as np
from keras import layers

from keras_strategies._internal import keras_private


def test_operations_of_models_and_of_layers():
    inputs = keras.Input((3,), name="x")
    y = layers.Dense(3, name="dense")(inputs) + inputs
    names = [op.name for op in keras_private.operations(keras.Model(inputs, y))]
    assert names[:2] == ["x", "dense"] and len(names) == 3
    model = keras.Sequential([keras.Input((3,)), layers.ReLU(name="last")])
    assert keras_private.operations(model)[-1] is model.layers[0]
    assert keras_private.operations(layers.Dense(1)) == []


def test_carried_variables_are_state_of_the_step_but_not_of_the_file():
    variable, extra = keras.Variable([1.0]), keras.Variable([5.0], trainable=False)
    optimizer = keras.optimizers.Adam()
    optimizer.build([variable])
    own = [v.path for v in optimizer.variables]
    keras_private.track_unsaved_state(optimizer, [extra])
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
    keras_private.untrack_unsaved_state(optimizer, [extra])
    assert [v.path for v in optimizer.variables] == own
    assert "save_own_variables" not in vars(optimizer)
