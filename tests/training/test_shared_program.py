"""A program trains another model only if that differs in values alone."""

import random

import keras
import numpy as np
import pytest

from keras_strategies._internal.references import can_reach
from keras_strategies._internal.traversal import optimizer_variables
from keras_strategies.training._programs.shared_program import SharedProgram

kl = keras.layers
BACKEND = keras.backend.backend()
X = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")


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
    other = build(rate=0.2)
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


@pytest.mark.parametrize("change", [{"shift": 1.0}, {"l2": 0.02}, {"factor": 2.0}])
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
    other.optimizer.iterations.assign(7)
    assert program.obstacle(other) is None
    assert int(program.model.optimizer.iterations) == 7
    program.model.compile("sgd", "mse")
    assert "exchanged" in program.obstacle(build(), [])


class Scaled(kl.Layer):
    """Multiplies by what a function returns."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, inputs):
        return inputs * self.function(keras.ops.shape(inputs))


class Box:
    def __init__(self, value):
        self.value = value


def constant(make):
    """A function that returns a constant, which differs between seeds."""
    made = make(float(np.random.uniform()))
    return lambda shape: made["box"].value if isinstance(made, dict) else made[0]


_GLOBAL = {"factor": 1.0}


def _global_factor(shape):
    return _GLOBAL["factor"]


def _by_global():
    _GLOBAL["factor"] = float(np.random.uniform())
    return _global_factor


def _tensorflow_generator():
    import tensorflow as tf

    generator = tf.random.Generator.from_seed(random.randint(0, 99))
    return lambda shape: generator.normal(shape)


def _tensorflow_operation():
    import tensorflow as tf

    return lambda shape: tf.random.normal(shape)


def _python_function():
    import tensorflow as tf

    count = []

    def counted(value):
        count.append(0)
        return np.float32(len(count))

    return lambda shape: tf.ensure_shape(
        tf.numpy_function(counted, [0.0], "float32"), ()
    )


# How each draws, and why it is not shared; `None` for what is.
UNSEEN = {
    "object": (lambda: constant(lambda n: {"box": Box(n)}), "not built alike"),
    "list": (lambda: constant(lambda n: [n]), "not built alike"),
    "global": (_by_global, "not built alike"),
    "trace": (lambda: lambda shape: np.random.uniform(), "generator of NumPy"),
    "python": (lambda: lambda shape: random.random(), "generator of NumPy"),
}
UNSEEN_TENSORFLOW = {
    "operation": (_tensorflow_operation, "RandomStandardNormal"),
    "generator": (_tensorflow_generator, None),
    "unseeded": (lambda: keras.random.normal, "its step"),
    "function": (_python_function, "PyFunc"),
}
IS_COMPILED = pytest.mark.skipif(BACKEND == "torch", reason="Torch compiles nothing")


@IS_COMPILED
@pytest.mark.parametrize(
    "kind",
    [
        *UNSEEN,
        *(
            pytest.param(kind, marks=pytest.mark.tensorflow)
            for kind in UNSEEN_TENSORFLOW
        ),
    ],
)
def test_what_no_config_tells_is_that_of_the_model_or_not_shared(kind):
    make, reason = {**UNSEEN, **UNSEEN_TENSORFLOW}[kind]

    def prepared(seed):
        keras.utils.set_random_seed(seed)
        layers = [keras.Input((4,)), Scaled(make()), kl.Dense(1)]
        model = keras.Sequential(layers)
        model.compile(keras.optimizers.SGD(0.01), "mse")
        keras.utils.set_random_seed(seed + 1)
        return model

    def fitted(program):
        with program.fitting():
            program.model.fit(X, X[:, :1], batch_size=10, shuffle=False, verbose=0)
        return program.model.get_weights()

    program = SharedProgram(prepared(1))
    fitted(program)
    obstacle = program.obstacle(prepared(2))
    if reason is not None:
        assert reason in obstacle
        return
    assert obstacle is None
    keras.utils.set_random_seed(3)
    for one, other in zip(
        fitted(program), fitted(SharedProgram(prepared(2))), strict=True
    ):
        np.testing.assert_array_equal(one, other)


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
