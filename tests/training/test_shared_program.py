"""A program trains another model only if that differs in values alone."""

import keras
import numpy as np
import pytest

from keras_strategies._internal.references import can_reach
from keras_strategies._internal.traversal import optimizer_variables
from keras_strategies.training._many.shared_program import SharedProgram

kl = keras.layers


@keras.saving.register_keras_serializable("tests")
class Shifted(kl.Layer):
    """Adds an array that is no variable."""

    def __init__(self, shift, **kwargs):
        super().__init__(**kwargs)
        self.shift = np.array(shift)

    def call(self, inputs):
        return inputs + keras.ops.convert_to_tensor(self.shift, inputs.dtype)


def build(units=3, shift=0.0, rate=0.1, l2=0.01, factor=1.0):
    model = keras.Sequential(
        [
            keras.Input((4,)),
            kl.Dense(units, kernel_regularizer=keras.regularizers.L2(l2)),
            kl.BatchNormalization(),
            kl.Dropout(0.5),
            Shifted([shift]),
        ]
    )

    def loss(y_true, y_pred):
        return factor * keras.ops.mean(y_pred, axis=-1)

    model.compile(keras.optimizers.Adagrad(rate), loss)
    return model


def test_it_takes_over_all_values():
    keras.utils.set_random_seed(1)
    program = SharedProgram(build())
    keras.utils.set_random_seed(2)
    other = build()
    program.model.optimizer.learning_rate.assign(7.0)
    program.model.optimizer.variables[-1].assign_add([1.0, 1.0, 1.0])
    assert program.obstacle(other, []) is None
    for mine, its in zip(program.model.variables, other.variables, strict=True):
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (mine, its)))
    other.optimizer.build(other.trainable_variables)
    for mine, its in zip(
        program.model.optimizer.variables, other.optimizer.variables, strict=True
    ):
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (mine, its)))


def test_it_resets_what_keras_does_not_track():
    """The product of momenta of Nadam in a LossScaleOptimizer is in no list."""

    def scaled():
        model = build()
        nadam = keras.optimizers.Nadam(0.1)
        model.compile(keras.optimizers.LossScaleOptimizer(nadam), "mse")
        return model

    program = SharedProgram(scaled())
    values = optimizer_variables(program.model.optimizer)
    assert len(values) > len(program.model.optimizer.variables)
    values[-1].assign(0.5)
    assert program.obstacle(scaled(), []) is None
    assert keras.ops.convert_to_numpy(values[-1]) == 1.0


@pytest.mark.parametrize(
    "change", [{"shift": 1.0}, {"rate": 0.2}, {"l2": 0.02}, {"factor": 2.0}]
)
def test_constants_of_the_step_that_differ(change):
    assert SharedProgram(build()).obstacle(build(**change), []) == (
        "it is not built alike"
    )


def test_other_obstacles():
    program = SharedProgram(build())
    assert "variables" in program.obstacle(build(units=2), [])
    other = build()
    callback = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: other.layers[0].kernel.assign_add(1.0)
    )
    assert "refer to it" in program.obstacle(other, [callback])
    other.optimizer.build(other.trainable_variables)
    assert "a state" in program.obstacle(other, [])
    program.model.compile("sgd", "mse")
    assert "exchanged" in program.obstacle(build(), [])


def test_what_objects_can_reach():
    target, other = object(), object()

    class Method:
        def __call__(self):
            return target

    assert can_reach([[{"a": (target,)}]], [target])
    assert can_reach([Method()], [target])
    assert can_reach([lambda: _SEEN], [_SEEN[0]])
    assert not can_reach([Method(), lambda: _SEEN, np.zeros(3)], [other])
    assert can_reach([list(map(str, range(9))), [[] for _ in range(60_000)]], [other])


_SEEN = [object()]
