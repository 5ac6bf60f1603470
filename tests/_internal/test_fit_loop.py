"""What a callback finds out about the loop that runs it."""

import keras
import numpy as np
import pytest

from keras_strategies._internal.keras_private import (
    build_for_fit,
    callback_list,
    changed_step,
)
from keras_strategies._internal.keras_private import callbacks as private
from keras_strategies.callbacks._common.siblings import siblings, wrap_list

X, Y = np.ones((4, 2), "float32"), np.zeros((4, 1))


def compiled(*layers):
    model = keras.Sequential(layers or [keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.0), loss="mse")
    return model


class Looks(keras.callbacks.Callback):
    def __init__(self, log=None):
        super().__init__()
        self.log = [] if log is None else log

    def on_train_begin(self, logs=None):
        self.siblings, self.list = siblings(self), callback_list(self)

    def on_epoch_end(self, epoch, logs=None):
        self.log.append(self)


def test_siblings_are_those_of_the_innermost_fit():
    log = []
    first, second, inner = Looks(log), Looks(log), Looks(log)
    nested = keras.callbacks.CallbackList([inner], model=compiled(), epochs=1)

    class FitsInside(Looks):
        def on_epoch_begin(self, epoch, logs=None):
            self.other = Looks()
            compiled().fit(X, Y, callbacks=[self.other], verbose=0)

    fits = FitsInside(log)
    compiled().fit(X, Y, callbacks=[first, second, fits, nested], verbose=0)
    kinds = [type(item) for item in fits.siblings]
    assert fits.siblings[:2] == [first, second] and inner in fits.siblings
    assert kinds[-1] is keras.callbacks.History
    assert [type(item) for item in fits.other.siblings] == [keras.callbacks.History]
    assert inner.list is nested
    by_hand = Looks()
    by_hand.on_train_begin()
    assert by_hand.siblings == [] and by_hand.list is None


def test_the_ends_of_the_list_can_be_taken():
    log = []
    first, second, helper = Looks(log), Looks(log), Looks(log)

    class Outer(Looks):
        def on_train_begin(self, logs=None):
            wrap_list(self, helper)

    outer = Outer(log)
    compiled().fit(X, Y, callbacks=[first, second, outer], epochs=2, verbose=0)
    assert log == [outer, first, second, helper] * 2
    wrap_list(outer)  # outside of a fit there is no list


def test_a_model_is_built_before_its_first_step_without_taking_a_batch():
    taken = []

    def batches():
        for i in range(3):
            taken.append(i)
            yield np.ones((2, 2), "float32"), np.zeros((2, 1), "float32")

    class Builds(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.built = build_for_fit(self.model), self.model.optimizer.built
            self.steps = 0

        def on_train_batch_end(self, batch, logs=None):
            self.steps += 1

    builds, model = Builds(), compiled(keras.layers.Dense(1))
    assert not build_for_fit(model)  # not in a fit
    model.fit(
        batches(), steps_per_epoch=3, shuffle=False, callbacks=[builds], verbose=0
    )
    assert builds.built == (True, True)
    assert builds.steps == 3 and taken == [0, 1, 2]
    assert model.layers[0].kernel.shape == (2, 1)


def counting(model, traces):
    """Counts how often the step is traced (on Torch, how often it runs)."""

    def counted(call, *args):
        traces.append(1)
        return call(*args)

    model.__dict__["train_step"] = private._WrappedMethod(
        model.train_step, False, [counted]
    )


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="traces nothing")
def test_a_step_that_was_traced_before_is_taken_again():
    model, traces = compiled(), []

    def tripled(call, *args, **kwargs):
        return 3 * call(*args, **kwargs)

    def loss():
        return model.fit(X, Y, 2, shuffle=False, verbose=0).history["loss"][0]

    counting(model, traces)
    plain = loss()
    for _ in range(3):
        with changed_step(model):
            private.wrap_method(model, "compute_loss", tripled)
        assert loss() == pytest.approx(3 * plain, rel=1e-5)
        with changed_step(model):
            private.unwrap_method(model, "compute_loss", tripled)
        assert loss() == pytest.approx(plain, rel=1e-5)
    count = len(traces)
    assert count <= 4  # two steps; Keras may run one eagerly before
    model.make_train_function(force=True)  # somebody made a new one
    with changed_step(model):
        private.wrap_method(model, "compute_loss", tripled)
    assert loss() == pytest.approx(3 * plain, rel=1e-5)
    assert len(traces) > count


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="traces nothing")
def test_settings_of_the_optimizer_that_a_trace_reads_have_steps_of_their_own():
    model = compiled()
    model.compile(keras.optimizers.SGD(1.0), loss=lambda y, prediction: prediction)
    steps = []
    for clip in (None, 0.5, None, 0.25, 0.5):
        with changed_step(model):
            model.optimizer.clipvalue = clip
        before = model.get_weights()[1]
        model.fit(X, Y, 4, verbose=0)
        steps.append(float((before - model.get_weights()[1])[0]))
    np.testing.assert_allclose(steps, [1, 0.5, 1, 0.25, 0.5], rtol=1e-6)
