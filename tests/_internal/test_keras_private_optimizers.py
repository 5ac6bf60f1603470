"""What the package reads of Keras's optimizers and of a running JAX fit."""

import keras
import numpy as np
import pytest

from keras_strategies._internal import keras_private, traversal
from keras_strategies._internal.keras_private.compiled_step import (
    HeldNumber,
    decays,
)


def test_batches_seen_counts_raw_batches():
    optimizer = keras.optimizers.SGD(gradient_accumulation_steps=2)
    variable = keras.Variable([1.0])
    for _ in range(3):
        optimizer.apply([keras.ops.ones(1)], [variable])
    counted = keras_private.iterations_variable(optimizer)
    assert int(keras.ops.convert_to_numpy(counted)) == 3
    assert int(keras.ops.convert_to_numpy(optimizer.iterations)) == 1


def test_held_learning_rate_tells_a_schedule_from_a_number():
    number = keras_private.raw_learning_rate(keras.optimizers.SGD(0.5))
    assert isinstance(number, keras.Variable)
    assert float(keras.ops.convert_to_numpy(number)) == 0.5
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    optimizer = keras.optimizers.SGD(schedule)
    assert keras_private.raw_learning_rate(optimizer) is schedule


class Assigns(keras.callbacks.Callback):
    """Sets the rate before each batch; optionally fails after batch `until`."""

    def __init__(self, rates, until=None, sync=False):
        super().__init__()
        self.given, self.until, self.sync = rates, until, sync

    def on_train_batch_begin(self, batch, logs=None):
        variables = [self._model.optimizer.learning_rate]
        rates = [self.given[batch]]
        keras_private.assign_optimizer_variables(self._model, variables, rates)
        if self.sync:
            self.model  # noqa: B018  writes JAX's state back into the variables
        if batch == self.until:
            raise RuntimeError("power cut")


def probe(**arguments):
    layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
    model = keras.Sequential([keras.Input((3,)), layer])
    model.compile(
        keras.optimizers.SGD(1.0), loss=lambda y, prediction: prediction, **arguments
    )
    return model


def rates_used(model, *callbacks):
    kernel = model.layers[-1].kernel
    kernel.assign(np.zeros((3, 1)))
    model.fit(
        np.eye(3),
        np.zeros((3, 1)),
        batch_size=1,
        shuffle=False,
        callbacks=list(callbacks),
        verbose=0,
    )
    return -keras.ops.convert_to_numpy(kernel)[:, 0]


@pytest.mark.parametrize("sync", [False, True])
@pytest.mark.parametrize("eager", [False, True])
def test_assigned_rates_are_used_in_the_very_next_step(sync, eager):
    model = probe(run_eagerly=eager)
    assigns = Assigns([0.5, 0.25, 0.125], sync=sync)
    np.testing.assert_allclose(rates_used(model, assigns), [0.5, 0.25, 0.125])
    left = keras.ops.convert_to_numpy(model.optimizer.learning_rate)
    assert float(left) == 0.125


def test_a_value_that_was_not_used_does_not_reach_another_fit():
    model = probe()
    with pytest.raises(RuntimeError, match="power cut"):
        rates_used(model, Assigns([0.5, 0.25, 0.125], until=2))
    model.optimizer.learning_rate = 2.0
    np.testing.assert_allclose(rates_used(model), [2.0, 2.0, 2.0])


def test_assigning_does_not_trace_the_step_again():
    traces = []

    class Counted(keras.layers.Layer):
        def call(self, inputs):
            traces.append(1)
            return inputs

    dense = keras.layers.Dense(1, use_bias=False)
    model = keras.Sequential([keras.Input((3,)), Counted(), dense])
    model.compile(keras.optimizers.SGD(1.0), loss="mse")
    arguments = {"batch_size": 1, "verbose": 0}
    model.fit(np.eye(3), np.zeros((3, 1)), **arguments)
    before = len(traces)
    model.fit(
        np.eye(3), np.zeros((3, 1)), callbacks=[Assigns([0.1, 0.2, 0.3])], **arguments
    )
    steps = 3 if keras.backend.backend() == "torch" else 0
    # Building the model for a fit runs the layers once more on some backends.
    assert len(traces) - before <= steps + 1


def test_a_wrapper_knows_its_own_variables_and_their_order():
    wrapper = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(momentum=0.9))
    first, second = keras.Variable([1.0]), keras.Variable([2.0])
    wrapper.build([first, second])
    own = keras_private.own_variables(wrapper)
    assert len(own) + len(wrapper.inner_optimizer.variables) == len(wrapper.variables)
    known = keras_private.updated_variables(wrapper)
    assert known[0] is first and known[1] is second
    assert keras_private.slot(wrapper, second) == 1
    extra = keras.Variable(0.0, name="extra")
    keras_private.track(wrapper, extra)
    assert any(variable is extra for variable in wrapper.variables)


def test_averages_are_taken_once_at_the_end_of_the_outermost_block():
    optimizer = keras.optimizers.SGD(1.0, use_ema=True, ema_momentum=0.5)
    weight = keras.Variable([4.0])
    optimizer.build([weight])
    for correction in (1.0, 3.0):
        with keras_private.averages_deferred([optimizer]):
            assert not optimizer.use_ema
            with keras_private.averages_deferred([optimizer]):
                optimizer.apply([keras.ops.ones(1)], [weight])
            weight.assign([correction])
        assert optimizer.use_ema
    # The first average is the weight, 1; the second half of the way to 3.
    (average,) = keras_private.moving_average_variables(optimizer)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(average), [2.0])
    same = keras_private.moving_average(optimizer, weight)
    assert same is average


def test_an_error_in_the_block_leaves_the_flag_as_it_was():
    optimizer = keras.optimizers.SGD(1.0, use_ema=True)
    with pytest.raises(RuntimeError), keras_private.averages_deferred([optimizer]):
        raise RuntimeError("in the step")
    assert optimizer.use_ema
    assert not keras_private.has_averaged(optimizer)
    optimizer.apply([keras.ops.ones(1)], [keras.Variable([1.0])])
    assert keras_private.has_averaged(optimizer)


def test_a_variable_like_another_in_a_dtype_of_its_own():
    optimizer = keras.optimizers.SGD(1.0)
    reference = keras.Variable(np.zeros((2, 3)), dtype="float16", name="kernel")
    found = keras_private.add_variable_like(optimizer, reference, "m", "float32")
    assert (tuple(found.shape), found.dtype) == ((2, 3), "float32")
    assert "kernel_m" in found.path
    assert any(variable is found for variable in optimizer.variables)


def test_a_sparse_gradient_becomes_the_sum_of_its_rows():
    assert keras_private.dense_gradient(None) is None
    gradient = keras.ops.ones((3, 1))
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        values = tf.constant([[1.0], [2.0], [4.0]])
        gradient = tf.IndexedSlices(values, tf.constant([1, 1, 0]), tf.constant([3, 1]))
    found = keras.ops.convert_to_numpy(keras_private.dense_gradient(gradient))
    is_sparse = keras.backend.backend() == "tensorflow"
    np.testing.assert_allclose(found, [[4], [3], [0]] if is_sparse else np.ones((3, 1)))


def test_optimizers_inside_an_optimizer_from_the_outside_in():
    first, second = keras.optimizers.SGD(), keras.optimizers.Adam()
    both = Several([first, second])
    scaled = keras.optimizers.LossScaleOptimizer(both)
    assert keras_private.inner_optimizers(scaled) == [both]
    assert keras_private.inner_optimizers(both) == [first, second]
    assert keras_private.inner_optimizers(Several(None)) == []
    assert keras_private.nested_optimizers(scaled) == [scaled, both, first, second]
    assert traversal.base_optimizers(scaled) == [first, second]
    paths = [[first, both, scaled], [second, both, scaled]]
    assert traversal.optimizer_paths(scaled) == paths


class Several(keras.optimizers.Optimizer):
    """As `MultiOptimizer`, which older versions of Keras do not have."""

    def __init__(self, optimizers):
        super().__init__(learning_rate=0.0)
        self.optimizers = optimizers


def test_a_held_number_is_a_number_that_is_never_zero():
    held = HeldNumber(0.25, name="rate")
    assert held != 0 and held != 0.0 and held > 0
    held.assign_number(0.5)
    assert float(keras.ops.convert_to_numpy(held)) == 0.5
    # What a dropout of this rate keeps, on TensorFlow its inverse.
    kept = 2.0 if keras.backend.backend() == "tensorflow" else 0.5
    assert float(keras.ops.convert_to_numpy(held.kept)) == kept
    doubled = keras.ops.cast(held, "float32") * 2
    assert float(keras.ops.convert_to_numpy(doubled)) == 1.0


def test_what_is_excluded_from_weight_decay_is_seen():
    weights = [keras.Variable(1.0, name=name) for name in ("kernel", "bias")]
    assert decays(keras.optimizers.AdamW(0.1), weights) == [True, True]
    optimizer = keras.optimizers.AdamW(0.1)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    assert decays(optimizer, weights) == [True, False]
