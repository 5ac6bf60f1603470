"""GradientClipping: the size of real steps before, during and after a fit."""

import copy

import keras
import numpy as np
import pytest

from keras_strategies import optimizers
from keras_strategies.callbacks import GradientClipping
from tests.markers import compile_modes
from tests.versions import need_multi_optimizer

BATCHES = 4
# One weight w and the loss 300 w, then 400 v: the gradient is (300, 400), norm 500.
GRADIENT = np.array([300.0, 400.0])


def linear(optimizer=None, two_variables=False, **arguments):
    """A model whose every step moves the weights by the (clipped) gradient."""
    inputs = keras.Input((2,))
    if two_variables:
        parts = [Pick(i, name=f"pick_{i}")(inputs) for i in range(2)]
        outputs = keras.layers.Add()(parts)
    else:
        dense = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
        outputs = dense(inputs)
    model = keras.Model(inputs, outputs)
    model.compile(
        optimizer or keras.optimizers.SGD(1.0),
        loss=lambda y, prediction: prediction,
        **arguments,
    )
    return model


class Pick(keras.layers.Layer):
    """One input times its own scalar weight."""

    def __init__(self, index, **arguments):
        super().__init__(**arguments)
        self.index = index

    def build(self, input_shape):
        self.scalar = self.add_weight(shape=(), initializer="zeros", name="scalar")

    def call(self, inputs):
        return inputs[:, self.index : self.index + 1] * self.scalar


def mean_step(model, *callbacks, **arguments):
    """Trains one epoch and returns what a batch changed on average."""
    before = np.concatenate([w.ravel() for w in model.get_weights()])
    x = np.tile(GRADIENT.astype("float32"), (BATCHES, 1))
    model.fit(
        x,
        np.zeros((BATCHES, 1)),
        batch_size=1,
        callbacks=list(callbacks),
        verbose=0,
        **arguments,
    )
    after = np.concatenate([w.ravel() for w in model.get_weights()])
    return (before - after) / BATCHES


def assert_step(step, expected):
    np.testing.assert_allclose(step, expected, rtol=1e-4)


@pytest.mark.parametrize("arguments", compile_modes(steps=4), ids=str)
def test_before_with_and_after_on_a_trained_model(arguments):
    model = linear(**arguments)
    clip = GradientClipping(clipvalue=350.0)
    assert_step(mean_step(model), GRADIENT)
    assert_step(mean_step(model, clip), [300, 350])
    assert_step(mean_step(model), GRADIENT)
    assert_step(mean_step(model, clip), [300, 350])
    assert model.optimizer.clipvalue is None


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"clipnorm": 5.0}, [5, 5]),  # each scalar weight by itself
        ({"clipvalue": 350.0}, [300, 350]),
        ({"global_clipnorm": 5.0}, [3, 4]),
        ({"global_clipnorm": 1000.0}, [300, 400]),  # nothing to clip
    ],
)
def test_each_kind_in_the_first_fit(arguments, expected):
    model = linear(two_variables=True)
    assert_step(mean_step(model, GradientClipping(**arguments)), expected)


def test_replaces_and_gives_back_the_settings_of_the_optimizer():
    model = linear(keras.optimizers.SGD(1.0, clipnorm=50.0))
    assert_step(mean_step(model), [30, 40])
    assert_step(mean_step(model, GradientClipping(global_clipnorm=5.0)), [3, 4])
    optimizer = model.optimizer
    assert (optimizer.clipnorm, optimizer.global_clipnorm) == (50.0, None)
    assert_step(mean_step(model), [30, 40])


def nested(kind):
    sgd = keras.optimizers.SGD(1.0)
    if kind == "loss_scale":
        return keras.optimizers.LossScaleOptimizer(sgd, initial_scale=8.0)
    need_multi_optimizer()
    if kind == "function":
        return keras.optimizers.MultiOptimizer(lambda variable: sgd)
    multi = keras.optimizers.OptimizerMap(sgd)
    multi["pick_1.*"] = keras.optimizers.SGD(1.0)
    multi = keras.optimizers.MultiOptimizer(multi)
    if kind == "map":
        return multi
    return keras.optimizers.LossScaleOptimizer(multi, initial_scale=8.0)


@pytest.mark.parametrize("kind", ["loss_scale", "map", "function", "scaled_map"])
def test_reaches_the_inner_optimizers(kind):
    model = linear(nested(kind), two_variables=True)
    clip = GradientClipping(clipnorm=5.0)
    assert_step(mean_step(model, clip), [5, 5])
    assert_step(mean_step(model), GRADIENT)


class Fails(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        raise RuntimeError("power cut")


@pytest.fixture
def died():
    """A model left clipped by a fit that failed, and the callback that did it."""
    model = linear(keras.optimizers.SGD(1.0, clipvalue=350.0))
    clip = GradientClipping(clipnorm=5.0)
    with pytest.raises(RuntimeError, match="power cut"):
        mean_step(model, clip, Fails())
    assert model.optimizer.clipnorm == 5.0
    return model, clip


@pytest.mark.parametrize("same", [True, False])
def test_a_fit_after_one_that_died_knows_the_originals(died, same):
    model, clip = died
    clip = clip if same else GradientClipping(clipnorm=50.0)
    assert_step(mean_step(model, clip), [3, 4] if same else [30, 40])
    assert (model.optimizer.clipnorm, model.optimizer.clipvalue) == (None, 350.0)
    assert_step(mean_step(model), [300, 350])


def test_restore_after_a_fit_that_died(died):
    model, clip = died
    clip.restore()
    assert_step(mean_step(model), [300, 350])
    clip.restore()  # nothing left to do
    assert_step(mean_step(model), [300, 350])


def test_settings_made_by_hand_after_a_fit_that_died_are_kept(died):
    model, clip = died
    model.optimizer.clipnorm, model.optimizer.clipvalue = None, 10.0
    clip.restore()
    assert_step(mean_step(model), [10, 10])


def test_the_next_model_of_a_callback_that_died(died):
    model, clip = died
    other = linear()
    assert_step(mean_step(other, clip), [3, 4])
    assert_step(mean_step(model), [300, 350])


def test_a_model_saved_during_the_fit_gets_the_originals_back(tmp_path):
    class Saves(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.save(tmp_path / "model.keras")
            self.state = copy.deepcopy(clip.get_state())

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(1.0, clipvalue=9.0), loss="mse")
    clip, saves = GradientClipping(global_clipnorm=5.0), Saves()
    mean_step(model, clip, saves)
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.global_clipnorm == 5.0
    again = GradientClipping(global_clipnorm=5.0)
    again.set_state(saves.state)
    mean_step(loaded, again)
    optimizer = loaded.optimizer
    assert (optimizer.clipvalue, optimizer.global_clipnorm) == (9.0, None)


def test_two_in_one_fit_are_refused_and_nothing_is_changed():
    model = linear()
    clips = GradientClipping(clipnorm=1.0), GradientClipping(clipvalue=1.0)
    with pytest.raises(ValueError, match="Only one GradientClipping"):
        mean_step(model, *clips)
    assert_step(mean_step(model), GRADIENT)


def test_an_optimizer_that_cannot_clip_is_refused():
    model = linear()
    del model.optimizer.global_clipnorm
    with pytest.raises(TypeError, match="clip settings"):
        mean_step(model, GradientClipping(clipnorm=1.0))
    assert model.optimizer.clipnorm is None


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({}, ValueError, "Exactly one of `clipnorm`"),
        ({"clipnorm": 1.0, "clipvalue": 1.0}, ValueError, "Exactly one"),
        ({"clipnorm": 0}, ValueError, "`clipnorm` must be greater than 0"),
        ({"clipvalue": float("inf")}, ValueError, "`clipvalue`"),
        ({"global_clipnorm": "1"}, TypeError, "`global_clipnorm` must be a number"),
    ],
)
def test_bad_arguments(arguments, error, words):
    with pytest.raises(error) as caught:
        GradientClipping(**arguments)
    assert words in str(caught.value)


def transformed(**arguments):
    """The model above, compiled with a GradientTransform that changes nothing."""
    inner = keras.optimizers.SGD(1.0)
    return linear(
        optimizers.GradientTransform(inner, [optimizers.ZeroNonFinite()]), **arguments
    )


@pytest.mark.parametrize("arguments", compile_modes(steps=4), ids=str)
def test_adaptive_mode_limits_the_step_by_the_weights(arguments):
    model = transformed(**arguments)
    start = np.float32([[6.0], [8.0]])  # norm 10
    model.set_weights([start])
    # Each step is 1 % of the norm of the weights, in the direction of the gradient.
    norms = 10.0 * 0.99 ** np.arange(BATCHES) * 0.01
    clip = GradientClipping(mode="adaptive", clip_factor=0.01)
    step = mean_step(model, clip)
    assert_step(step, GRADIENT / 500 * norms.mean())
    assert_step(mean_step(model), GRADIENT)
    assert "passing" not in str(model.optimizer.get_config())


@pytest.mark.parametrize("arguments", compile_modes(steps=4), ids=str)
def test_percentile_mode_remembers_norms_from_fit_to_fit(arguments):
    model = transformed(**arguments)
    clip = GradientClipping(mode="percentile", percentile=50, window=100)
    model.optimizer.build(model.trainable_variables)
    variables = len(model.optimizer.variables)
    assert_step(mean_step(model, clip), GRADIENT)  # all norms are alike
    state = clip.get_state()
    assert state["norms"]["norm_count"] == BATCHES
    np.testing.assert_allclose(state["norms"]["norm_history"][:BATCHES], 500.0)
    again = GradientClipping(mode="percentile", percentile=0, window=100)
    history = state["norms"]["norm_history"].copy()
    history[0] = 5.0  # the smallest is the limit
    again.set_state({**state, "norms": {**state["norms"], "norm_history": history}})
    assert_step(mean_step(model, again), GRADIENT / 100)
    assert_step(mean_step(model), GRADIENT)
    assert len(model.optimizer.variables) == variables
    with pytest.raises(ValueError, match="window"):
        other = GradientClipping(mode="percentile", window=7)
        other.set_state(state)
        mean_step(model, other)


@pytest.mark.parametrize("mode", ("adaptive", "percentile"))
def test_modes_need_a_gradient_transform(mode):
    with pytest.raises(TypeError, match="optimizers.GradientTransform"):
        mean_step(linear(), GradientClipping(mode=mode))
    with pytest.raises(ValueError, match="Only one GradientClipping"):
        clips = [GradientClipping(mode=mode), GradientClipping(mode=mode)]
        mean_step(transformed(), *clips)


def test_a_mode_survives_a_fit_that_failed():
    model = transformed()
    with pytest.raises(RuntimeError):
        mean_step(model, GradientClipping(mode="adaptive", clip_factor=1e-9), _Fails())
    clip = GradientClipping(mode="adaptive", clip_factor=1e9)
    assert_step(mean_step(model, clip), GRADIENT)
    with pytest.raises(ValueError, match="mode"):
        GradientClipping(clipnorm=1.0, mode="adaptive")
    with pytest.raises(ValueError, match="mode"):
        GradientClipping(mode="global")


class _Fails(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        raise RuntimeError("on purpose")
