"""Copies of layers share nothing with what they are copies of."""

import keras
import numpy as np

from keras_strategies._internal.copying import copy_layer, copy_state


def test_a_copy_has_the_values_and_not_the_arrays():
    old = keras.layers.Dense(3, activation="relu", trainable=False)
    old.build((None, 2))
    new = copy_layer(old)
    new.build((None, 2))
    copy_state(old, new)
    assert new.name == old.name and not new.trainable
    values = old.get_weights()
    for a, b in zip(values, new.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    # A step on JAX deletes the arrays it is given: one must not be in two variables.
    for a, b in zip(old.weights, new.weights, strict=True):
        assert a.value is not b.value
        b.assign(b.value + 1.0)
    for a, b in zip(values, old.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
