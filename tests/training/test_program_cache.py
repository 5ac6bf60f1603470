"""Models of one structure that train by one compiled model: as by themselves."""

import keras
import numpy as np
import pytest

from keras_strategies.training._programs.description import NotUnderstoodError
from keras_strategies.training._programs.held_numbers import can_hold_numbers
from keras_strategies.training._programs.model_form import model_form
from keras_strategies.training._programs.program_cache import ProgramCache

BACKEND = keras.backend.backend()
RNG = np.random.default_rng(0)
X = RNG.normal(size=(44, 6)).astype("float32")
Y = RNG.integers(0, 3, 44)
HELD = X[:13], Y[:13]
FIRST = {"rate": 0.1, "dropout": 0.2, "l2": 1e-3, "decay": 1e-2, "momentum": 0.9}
SECOND = {"rate": 0.03, "dropout": 0.5, "l2": 1e-2, "decay": 1e-3, "momentum": 0.5}


def build(rate, dropout, l2, decay, momentum, units=5, optimizer="SGD"):
    keras.backend.clear_session(free_memory=False)
    numbers = {"momentum": momentum} if optimizer == "SGD" else {}
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(
                units, "tanh", kernel_regularizer=keras.regularizers.L2(l2)
            ),
            keras.layers.Dropout(dropout),
            keras.layers.Dense(
                3,
                "softmax",
                bias_regularizer=keras.regularizers.L1L2(l2 / 2, l2),
            ),
        ]
    )
    make = getattr(keras.optimizers, optimizer)
    model.compile(
        make(rate, weight_decay=decay, **numbers),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def trained(numbers, seed, models=None, batch_size=8, **kwargs):
    """History, weights and slots of a training, by shared models if there are any."""
    keras.utils.set_random_seed(seed)
    model = build(**numbers)
    settings = {"validation_data": HELD, "epochs": 2, "verbose": 0, **kwargs}

    def results(model):
        history = model.fit(X, Y, batch_size=batch_size, **settings).history
        return history, model.get_weights()

    if models is None:
        history, weights = results(model)
    else:
        with models.model_for(model) as shared:
            history, weights = results(shared)
    slots = model.optimizer.variables
    return history, weights, [np.array(keras.ops.convert_to_numpy(s)) for s in slots]


def check_equal(one, other):
    assert one[0].keys() == other[0].keys()
    for name in one[0]:
        np.testing.assert_allclose(one[0][name], other[0][name], 1e-5, 1e-6)
    for a, b in zip(one[1] + one[2], other[1] + other[2], strict=True):
        np.testing.assert_allclose(a, b, 1e-5, 1e-6)


@pytest.mark.skipif(BACKEND == "torch", reason="Torch compiles nothing")
def test_models_that_differ_in_numbers_train_as_by_themselves():
    models = ProgramCache((X, Y, None))
    plans = [(FIRST, 1, 8, True), (SECOND, 2, 11, "batch")]
    for numbers, seed, batch_size, shuffle in plans:
        check_equal(
            trained(numbers, seed, models, batch_size, shuffle=shuffle),
            trained(numbers, seed, None, batch_size, shuffle=shuffle),
        )
    assert not models.reasons
    assert len(models) == (1 if can_hold_numbers() else 2)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="what TensorFlow traces")
def test_other_numbers_and_batch_sizes_are_not_traced_again():
    models, traced = ProgramCache((X, Y, None)), []

    class Counted(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            call = self.model.layers[0].call
            traced.append(0)

            def counting(*args, **kwargs):
                traced[-1] += 1
                return call(*args, **kwargs)

            self.model.layers[0].__dict__["call"] = counting

        def on_train_end(self, logs=None):
            del self.model.layers[0].__dict__["call"]

    for numbers, size in ((FIRST, 8), (SECOND, 11)):
        trained(numbers, 1, models, size, callbacks=[Counted()])
    assert traced[0] > 0
    assert traced[1] == 0


@pytest.mark.skipif(BACKEND == "torch", reason="Torch compiles nothing")
@pytest.mark.parametrize(
    "change", [{"units": 4}, {"optimizer": "Adam"}, {"dropout": 0.0}, {"l2": 0.0}]
)
def test_what_changes_the_program_is_another_structure(change):
    forms = [
        model_form(build(**{**FIRST, **values}), can_hold_numbers())
        for values in ({}, change)
    ]
    assert forms[0].key != forms[1].key


class Reading(keras.layers.Layer):
    """Computes with the rate of a dropout, which would be a constant of the trace."""

    def __init__(self, rate):
        super().__init__()
        self.dropout = keras.layers.Dropout(rate)

    def call(self, inputs, training=False):
        return self.dropout(inputs, training=training) * (1 + self.dropout.rate)


@pytest.mark.skipif(BACKEND == "torch", reason="Torch compiles nothing")
def test_numbers_that_own_code_reads_are_no_variables():
    forms = [model_form(own_model(Reading(rate)), True) for rate in (0.1, 0.2)]
    assert forms[0].key != forms[1].key
    assert not forms[0].numbers


class Own(keras.layers.Layer):
    """Has a factor that no config tells."""

    def __init__(self, factor):
        super().__init__()
        self.factors = {"first": factor}

    def call(self, inputs):
        return inputs * self.factors["first"]


def own_model(layer=None, loss="mse", optimizer="sgd", **kwargs):
    layers = [keras.Input((6,)), layer or keras.layers.Dense(1), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.compile(optimizer, loss, **kwargs)
    return model


def own_loss(factor):
    return lambda y_true, y_pred: factor * keras.ops.mean(y_pred, axis=-1)


OWN = {
    "layer": lambda n: own_model(Own(float(n))),
    "lambda": lambda n: own_model(keras.layers.Lambda(lambda x: x * n)),
    "activation": lambda n: own_model(keras.layers.Dense(2, lambda x: x * n)),
    "loss": lambda n: own_model(loss=own_loss(n)),
    "average": lambda n: own_model(
        optimizer=keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.1 * n)
    ),
}


@pytest.mark.skipif(BACKEND == "torch", reason="Torch compiles nothing")
@pytest.mark.parametrize("kind", sorted(OWN))
def test_parts_of_the_users_share_a_program_if_they_compute_the_same(kind):
    models = ProgramCache((X, Y, None))

    def fitted(seed, number, models):
        keras.utils.set_random_seed(seed)
        model = OWN[kind](number)
        with models.model_for(model) as shared:
            shared.fit(X, Y, batch_size=11, verbose=0, epochs=2)
        return shared is model, model.get_weights()

    assert fitted(1, 2, models)[0]
    assert not models.reasons
    is_own, weights = fitted(2, 2, models)
    assert not is_own
    for one, other in zip(
        weights, fitted(2, 2, ProgramCache((X, Y, None)))[1], strict=True
    ):
        np.testing.assert_allclose(one, other, 1e-5, 1e-6)
    assert fitted(1, 3, models)[0]  # what differs has a program of its own
    assert len(models) == 2


@pytest.mark.skipif(BACKEND == "torch", reason="Torch compiles nothing")
def test_what_is_not_run_by_one_compiled_step_is_fitted_as_it_is():
    class OwnFit(keras.Sequential):
        def fit(self, *args, **kwargs):
            return super().fit(*args, **kwargs)

    own_fit = OwnFit([keras.Input((6,)), keras.layers.Dense(1)])
    own_fit.compile("sgd", "mse")
    opaque = Own(2.0)
    opaque.generator = np.random.default_rng(0)
    for model, text in (
        (own_model(run_eagerly=True), "eagerly"),
        (own_fit, "`fit` of its own"),
        (own_model(opaque), "a Generator in `generator`"),
    ):
        models = ProgramCache((X, Y, None))
        with models.model_for(model) as same:
            assert same is model
        assert [text in reason for reason in models.reasons] == [True]
        assert len(models) == 0


@pytest.mark.skipif(BACKEND == "torch", reason="Torch compiles nothing")
def test_the_model_that_was_built_is_trained_too():
    models = ProgramCache((X, Y, None))
    for _ in range(2):
        model = build(**FIRST)
        with models.model_for(model) as shared:
            shared.fit(X, Y, verbose=0)
    assert shared is not model
    for one, other in zip(model.get_weights(), shared.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert model.history.history == shared.history.history
    assert int(model.optimizer.iterations) == 2


@pytest.mark.skipif(BACKEND == "torch", reason="Torch compiles nothing")
def test_a_model_that_was_changed_or_has_failed_is_not_used_again():
    models, first = ProgramCache((X, Y, None)), build(**FIRST)
    with models.model_for(first) as shared:
        shared.layers[0].trainable = False
    with models.model_for(build(**FIRST)) as shared:
        assert shared is not first
    with pytest.raises(RuntimeError), models.model_for(build(**FIRST)):
        raise RuntimeError
    assert len(models) == 0


def test_metrics_of_another_compile_are_not_understood():
    model = build(**FIRST)
    model.evaluate(X, Y, verbose=0)
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=model.metrics)
    with pytest.raises(NotUnderstoodError, match="CompileMetrics"):
        model_form(model)
