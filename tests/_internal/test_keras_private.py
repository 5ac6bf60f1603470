"""Each private name of Keras does what this package relies on."""

import random

import keras
import numpy as np
import pytest

from keras_strategies._internal import keras_private
from keras_strategies._internal.keras_private.initial_draws import (
    SEED_BOUNDS,
    recording_draws,
)


def test_input_signature_of_every_model_kind():
    left, right = keras.Input((3,), name="b"), keras.Input((4,), name="a")
    joined = keras.layers.Concatenate()([left, right])
    functional = keras.Model([left, right], joined)
    assert keras_private.has_input_structure(functional)
    [structure] = keras_private.input_signature(functional)
    assert [spec.name for spec in structure] == ["b", "a"]
    assert [tuple(spec.shape) for spec in structure] == [(None, 3), (None, 4)]
    sequential = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1)])
    assert keras_private.has_input_structure(sequential)
    [spec] = keras_private.input_signature(sequential)
    assert tuple(spec.shape) == (None, 5)


def test_input_signature_of_a_subclassed_model():
    class Sum(keras.Model):
        def call(self, inputs):
            return inputs["first"] + inputs["second"]

    model = Sum()
    assert not keras_private.has_input_structure(model)
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


def test_data_layer_runs_in_tf_data_on_every_backend():
    import tensorflow as tf

    class Doubled(keras_private.DataLayer):
        def call(self, inputs):
            return self.backend.numpy.multiply(inputs, 2.0)

    assert issubclass(
        keras_private.BaseImagePreprocessingLayer, keras_private.DataLayer
    )
    dataset = tf.data.Dataset.from_tensors(np.ones(3, "float32")).map(Doubled())
    assert next(iter(dataset)).numpy().tolist() == [2, 2, 2]


def test_seeds_from_serves_an_image_layer_inside_the_block_only():
    class Counted(keras.random.SeedGenerator):
        drawn = 0

        def next(self, ordered=True):
            self.drawn += 1
            return super().next(ordered)

    given, own = Counted(5), keras.random.SeedGenerator(5)
    layer, images = keras.layers.RandomFlip(seed=1), np.zeros((2, 4, 4, 1), "float32")
    state = np.array(keras.ops.convert_to_numpy(layer.generator.state))
    assert keras_private.runs_in_tf_data(layer)
    assert not keras_private.runs_in_tf_data(keras.layers.Dropout(0.5))
    with keras_private.seeds_from(layer, given):
        layer(images, training=True)
    assert given.drawn > 0
    after = keras.ops.convert_to_numpy(layer.generator.state)
    np.testing.assert_array_equal(after, state)
    layer(images, training=True)
    assert (keras.ops.convert_to_numpy(layer.generator.state) != state).any()
    for _ in range(given.drawn):
        own.next()
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(own.state), keras.ops.convert_to_numpy(given.state)
    )


def test_outermost_is_the_model_that_was_called():
    seen = []

    class Spy(keras.layers.Layer):
        def call(self, x):
            seen.append(keras_private.outermost(self))
            return x

    spy, x = Spy(), np.ones((1, 2), "float32")
    inner = keras.Sequential([keras.Input((2,)), spy])
    model = keras.Sequential([keras.Input((2,)), inner])
    model(x)
    assert seen[-1] is model
    spy(x)
    assert seen[-1] is spy


def _gradients(variables):
    return [keras.ops.ones(v.shape, dtype=v.dtype) for v in variables]


def test_watched_variable_reports_its_value_before_an_update():
    variable = keras.Variable([1.0, 2.0])
    seen = []
    keras_private.watch_updates(
        variable, lambda v: seen.append(keras.ops.convert_to_numpy(v + 0.0).tolist())
    )
    assert isinstance(variable, keras.Variable)
    optimizer = keras.optimizers.SGD(0.5)
    for _ in range(2):
        optimizer.apply(_gradients([variable]), [variable])
    assert seen[0] == [1.0, 2.0] and seen[-1] == [0.5, 1.5]
    keras_private.unwatch_updates(variable)
    assert type(variable) is keras.Variable
    count = len(seen)
    optimizer.apply(_gradients([variable]), [variable])
    assert len(seen) == count


def test_watched_variable_keeps_its_flag():
    variable = keras.Variable(0.0)
    keras_private.watch_updates(variable, lambda v: None)
    assert variable.overwrite_with_gradient is False
    variable.overwrite_with_gradient = True
    assert variable.overwrite_with_gradient is True
    with pytest.raises(TypeError, match="Only plain Keras variables"):
        keras_private.watch_updates(variable, lambda v: None)


def test_owns_and_moving_average():
    mine, other = keras.Variable([1.0]), keras.Variable([1.0])
    plain = keras.optimizers.SGD(0.5)
    averaging = keras.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.5)
    for optimizer in (plain, averaging):
        optimizer.build([mine])
        assert keras_private.owns(optimizer, mine)
        assert not keras_private.owns(optimizer, other)
    assert keras_private.moving_average(plain, mine) is None
    averaging.apply(_gradients([mine]), [mine])
    average = keras_private.moving_average(averaging, mine)
    assert float(keras.ops.sum(average + 0.0)) == pytest.approx(0.5)


def test_assign_in_a_call_also_where_a_call_computes_in_float16():
    class Counting(keras.layers.Dense):
        def call(self, inputs):
            keras_private.assign_in_a_call(self.bias, [2.00001])
            return super().call(inputs)

    layer = Counting(1, dtype="mixed_float16", kernel_initializer="zeros")
    y = keras.ops.convert_to_numpy(layer(np.ones((1, 1), "float32")))
    assert y.dtype == "float16" and y == 2
    assert layer.get_weights()[1] == np.float32([2.00001])


def test_is_frozen_by_scope():
    given, left_out = keras.Variable(1.0), keras.Variable(1.0)
    assert not keras_private.is_frozen_by_scope(left_out)
    with keras.StatelessScope([(given, keras.ops.zeros(()))]):
        assert not keras_private.is_frozen_by_scope(given)
        assert keras_private.is_frozen_by_scope(left_out)


def test_graph_nodes_are_the_calls_with_their_arguments():
    first, second = keras.Input((3,)), keras.Input((3,))
    dense = keras.layers.Dense(2)
    left, right = dense(first), dense(second)
    model = keras.Model([first, second], keras.layers.Add()([left, right]) * 2.0)
    nodes = keras_private.graph_nodes(model)
    names = [type(operation).__name__ for operation, *_ in nodes]
    assert names == ["Dense", "Dense", "Add", "Multiply"]
    made = {id(tensor) for *_, outputs in nodes for tensor in outputs}
    assert {id(left), id(right)} < made
    _, args, kwargs, _ = nodes[2]
    assert args[0][0] is left
    assert args[0][1] is right
    sequential = keras.Sequential([keras.Input((3,)), keras.layers.ReLU()])
    [(layer, *_)] = keras_private.graph_nodes(sequential)
    assert layer is sequential.layers[0]
    assert keras_private.graph_nodes(keras.layers.Dense(1)) is None


def test_arguments_of_compile_are_the_objects_themselves():
    def loss(y_true, y_pred):
        return keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)

    optimizer = keras.optimizers.SGD(0.1)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(optimizer, loss, metrics=["mae"], steps_per_execution=2)
    arguments = keras_private.compile_arguments(model)
    assert arguments["optimizer"] is optimizer
    assert arguments["loss"] is loss
    assert arguments["metrics"] == ["mae"]
    other = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    other.compile(**arguments)
    assert other.steps_per_execution == 2


def test_parts_that_compile_and_add_make_anew():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    optimizer = keras.optimizers.SGD(0.1)
    seen = [keras_private.compiled_parts(model)]
    for change in (
        lambda: model.compile(optimizer, "mse"),
        lambda: model.compile(optimizer, "mse"),
        lambda: model.add(keras.layers.ReLU()),
    ):
        change()
        seen.append(keras_private.compiled_parts(model))
        assert seen[-1] != seen[-2]
        model.predict(np.ones((1, 2)), verbose=0)
        assert keras_private.compiled_parts(model) == seen[-1]


def test_values_that_a_metric_is_the_mean_of():
    y, p = np.array([[0.0], [1.0]]), np.array([[0.5], [0.5]])
    accuracy = keras.metrics.BinaryAccuracy(threshold=0.4)
    values = keras_private.metric_values(accuracy, y, p)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(values), [[0.0], [1.0]])
    assert keras_private.metric_values(keras.metrics.AUC(), y, p) is None


def test_draws_of_a_construction_are_recorded_in_order():
    drawn, made = [], []
    before = vars(keras.Variable).get("_initialize_with_initializer")
    with recording_draws(drawn, made):
        keras.utils.set_random_seed(5)
        model = keras.Sequential(
            [
                keras.Input((3,)),
                keras.layers.Dense(2),
                keras.layers.Dropout(0.5),
                keras.layers.Dense(2, kernel_initializer=keras.initializers.Ones()),
                keras.layers.Dense(2, kernel_initializer=_seeded()),
            ]
        )
    assert vars(keras.Variable).get("_initialize_with_initializer") is before
    random.seed(5)
    seeds = [random.randint(*SEED_BOUNDS) for _ in drawn]
    first, dropout = model.layers[:2]
    index = {id(thing): seed for thing, seed in zip(drawn, seeds, strict=True)}
    assert index[id(first.kernel_initializer)] == first.kernel_initializer.seed
    state = keras.ops.convert_to_numpy(dropout.seed_generator.state)
    assert list(state) == [index[id(dropout.seed_generator)], 0]
    assert id(model.layers[3].kernel_initializer) not in index
    assert {id(v) for v in model.variables} <= {id(v) for v, _ in made}


def _seeded():
    return keras.initializers.GlorotUniform(seed=3)
