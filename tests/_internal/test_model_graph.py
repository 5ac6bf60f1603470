"""Graphs of models as they are read, and copies that share nothing."""

import keras
import numpy as np

from keras_strategies._internal.model_graph import (
    clone_layer,
    clone_model,
    copy_optimizer_state,
    copy_state,
    live_objects,
    read,
    walk,
)


def test_a_copy_has_the_values_and_not_the_arrays():
    old = keras.layers.Dense(3, activation="relu", trainable=False)
    old.build((None, 2))
    new = clone_layer(old)
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


def test_a_graph_knows_who_makes_and_takes_each_tensor():
    inputs = keras.Input((4,), name="x")
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)], name="inner")
    y = inner(inputs)
    model = keras.Model(inputs, keras.layers.Add(name="sum")([y, inputs]))
    graph = read(model)
    entry, dense, total = graph.calls
    assert entry.is_entry and entry.results == dense.outputs
    assert dense.path.startswith("inner/dense")
    assert total.inputs == [dense.outputs[0], graph.inputs[0]]
    assert graph.inputs[0].producer is None and graph.outputs[0].is_output
    assert graph.inputs[0].consumers == [dense, total]
    assert dense.outputs[0].producer is dense and graph.outputs[0].shape == (None, 4)
    whole = read(model, open_nested=False)
    assert [call.operation for call in whole.calls] == [inner, model.get_layer("sum")]
    assert [part for part, _ in walk(model)] == [model, inner]


def test_a_nested_model_on_other_shapes_has_those_shapes():
    inner = keras.Sequential(
        [keras.Input((None, None, 1)), keras.layers.Conv2D(2, 3)], name="inner"
    )
    inputs = keras.Input((8, 6, 1))
    graph = read(keras.Model(inputs, inner(inputs)))
    assert graph.calls[-1].outputs[0].shape == (None, 6, 4, 2)


def test_a_model_called_in_inference_mode_hands_that_on():
    inner = keras.Sequential(
        [keras.Input((4,)), keras.layers.BatchNormalization(), keras.layers.Dense(2)]
    )
    inputs = keras.Input((4,))
    graph = read(keras.Model(inputs, inner(inputs, training=False)))
    norm, dense = graph.calls[1:]
    assert norm.kwargs["training"] is False and "training" not in dense.kwargs


def test_scopes_of_the_user_are_kept():
    def own(x):
        return keras.ops.tanh(x)

    layer = keras.layers.Dense(2, activation="relu")
    with keras.saving.custom_object_scope({"own": own}), live_objects(layer):
        assert keras.saving.get_registered_object("own") is own
    assert keras.saving.get_registered_object("own") is None


def test_objects_that_a_layer_keeps_are_found():
    class Halves(keras.constraints.Constraint):
        def __call__(self, w):
            return w / 2.0

    old = keras.layers.Dense(2, kernel_constraint=Halves())
    assert type(clone_layer(old).kernel_constraint) is Halves


def test_the_optimizer_goes_on_only_where_its_variables_fit():
    x, y = np.ones((8, 4), "float32"), np.ones((8, 2), "float32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.compile("adam", "mse")
    model.fit(x, y, verbose=0)
    copy = clone_model(model)
    for one, other in zip(
        model.optimizer.variables, copy.optimizer.variables, strict=True
    ):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(one), keras.ops.convert_to_numpy(other)
        )
    copy.fit(x, y, verbose=0)
    assert int(copy.optimizer.iterations) == 2 and int(model.optimizer.iterations) == 1
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    other.compile("adam", "mse")
    assert not copy_optimizer_state(model, other)
