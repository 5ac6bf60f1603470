"""Callbacks beside others, in models and fits that they are not alone in."""

import keras
import numpy as np
import pytest

from keras_strategies import callbacks, optimizers
from keras_strategies._internal.keras_private import callbacks as private
from tests.callbacks.probe import RateProbe
from tests.callbacks.scripted import line_model, weight

BACKEND = keras.backend.backend()
X, Y = np.ones((8, 2), "float32"), np.zeros((8, 1), "float32")


def two_weights(optimizer="sgd", built=True, **arguments):
    layers = [keras.layers.Dense(3), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((2,)), *layers] if built else layers)
    model.compile(optimizer, loss="mse", **arguments)
    return model


def fit(model, *used, **arguments):
    arguments = {"batch_size": 2, "shuffle": False, "verbose": 0, **arguments}
    return model.fit(X, Y, callbacks=list(used), **arguments).history


class Twice(keras.Sequential):
    """A training step that updates the weights twice."""

    def train_step(self, *args):
        *state, data = args
        if state:  # JAX
            _, state = super().train_step(*state, data)
            return super().train_step(state, data)
        super().train_step(data)
        return super().train_step(data)


def test_positions_count_batches_where_a_batch_is_two_steps():
    layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
    model = Twice([keras.Input((1,)), layer])
    model.compile(keras.optimizers.SGD(0.1), loss=lambda y, p: p)
    decay = callbacks.ExponentialDecayScheduler(0.1, 4, 0.5, update="batch")
    average = callbacks.WeightAveraging(decay=0.5, warmup=False)
    history = fit_line(model, decay, average, epochs=3)
    rates = 0.1 * 0.5 ** (np.arange(12) / 4)
    np.testing.assert_allclose(history["learning_rate"], rates[3::4], rtol=1e-5)
    w, mean = 0.0, 0.0
    for rate in rates:
        w -= 2 * rate
        mean = (mean + w) / 2  # once a batch
    assert weight(model) == pytest.approx(mean, rel=1e-5)
    assert decay.get_state()["step"] == 12


def fit_line(model, *used, epochs=1, batches=4):
    ones = np.ones((batches, 1), "float32")
    arguments = {"batch_size": 1, "epochs": epochs, "verbose": 0}
    return model.fit(ones, ones, callbacks=list(used), **arguments).history


class Own(keras.Model):
    """Leaves `model.optimizer` idle, as the GANs of Keras's examples do."""

    def __init__(self):
        super().__init__()
        self.layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
        self.build((None, 1))

    def compile(self, own, **arguments):
        super().compile(loss=lambda y, p: p, **arguments)
        self.own_optimizer = own
        own.build(self.trainable_variables)

    def build(self, input_shape):
        self.layer.build(input_shape)
        self.built = True

    def call(self, inputs):
        return self.layer(inputs)

    def train_step(self, data):
        self.own_optimizer.apply([keras.ops.ones((1, 1))])
        return {"loss": keras.ops.zeros(())}


needs_eager_state = pytest.mark.skipif(
    BACKEND == "jax", reason="such a step is a pure function on JAX"
)


@needs_eager_state
def test_an_idle_optimizer_is_named():
    model = Own()
    model.compile(keras.optimizers.SGD(1.0))
    for callback in (
        callbacks.StepDecayScheduler(0.1),
        callbacks.ReduceOnPlateau("loss", mode="min"),
        callbacks.GradientClipping(clipnorm=1.0),
    ):
        with pytest.warns(UserWarning, match="own_optimizer.*Give `optimizer`"):
            fit_line(model, callback)
    hidden = Own()
    hidden.compile(keras.optimizers.SGD(1.0))
    hidden.__dict__["_own"] = hidden.__dict__.pop("own_optimizer")
    type(hidden).own_optimizer = property(lambda self: self._own)
    try:
        with pytest.warns(RuntimeWarning, match="made no step in this epoch"):
            fit_line(hidden, callbacks.StepDecayScheduler(0.1))
    finally:
        del type(hidden).own_optimizer


@needs_eager_state
@pytest.mark.parametrize("given", ["own_optimizer", "object"])
def test_the_optimizer_that_is_given_is_driven(given):
    model, own = Own(), keras.optimizers.SGD(1.0, momentum=0.5, name="own")
    model.compile(own)
    given = own if given == "object" else given
    decay = callbacks.ExponentialDecayScheduler(
        None, 1, 0.5, update="batch", optimizer=given
    )
    momentum = callbacks.MomentumScheduler({0: 0.0}, optimizer=given)
    clip = callbacks.GradientClipping(clipvalue=0.5, optimizer=given)
    monitor = callbacks.GradientMonitor(optimizer=given)
    history = fit_line(model, decay, momentum, clip, monitor, epochs=2)
    steps = 0.5 * 0.5 ** np.arange(8.0)  # half the gradient, ever smaller rates
    assert weight(model) == pytest.approx(-steps.sum(), rel=1e-5)
    assert history["learning_rate_own"] == pytest.approx([0.5**3, 0.5**7])
    assert history["momentum_own"] == [0.0, 0.0]
    assert history["gradient_norm_own"] == pytest.approx([1.0, 1.0])
    assert float(model.optimizer.learning_rate) == pytest.approx(0.001)
    fit_line(model)
    assert own.momentum == 0.5 and own.clipvalue is None


@needs_eager_state
def test_recovery_rolls_every_optimizer_back():
    model, own = Own(), keras.optimizers.SGD(1.0, momentum=0.5, name="own")
    model.compile(own)

    class Breaks(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 1 and not recovery.retries:
                logs["loss"] = float("nan")
                recovery.on_train_batch_end(batch, logs)

    recovery = callbacks.NaNRecovery(verbose=0, optimizer="own_optimizer")
    fit_line(model, recovery, Breaks())
    # Two steps are undone, then two of half the rate.
    assert weight(model) == pytest.approx(-0.5 - (0.25 + 0.5))
    assert int(own.iterations) == 2


def test_an_optimizer_that_is_none_is_an_error():
    model = two_weights()
    with pytest.raises(TypeError, match="attribute of the model.*'optimizer'"):
        fit(model, callbacks.StepDecayScheduler(optimizer="d_optimizer"))
    with pytest.raises(TypeError, match="`optimizer` must be an optimizer"):
        callbacks.StepDecayScheduler(optimizer=3)
    with pytest.raises(ValueError, match="one optimizer"):
        callbacks.GradientMonitor(optimizer=["a", "b"])


class Dies(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise RuntimeError("power cut")


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("update", ["epoch", "batch"])
def test_a_backup_that_is_restored_is_no_initial_rate(tmp_path, first, update):
    def run(epochs, *more):
        decay = callbacks.ExponentialDecayScheduler(None, 1, 0.5, update=update)
        backup = keras.callbacks.BackupAndRestore(tmp_path, delete_checkpoint=False)
        pair = [backup, decay] if first else [decay, backup]
        probe = RateProbe(2)
        return probe, probe.fit(*pair, *more, epochs=epochs)

    with pytest.raises(RuntimeError, match="power cut"):
        run(4, Dies(2))
    _, rates = run(4)
    positions = np.arange(8).reshape(4, 2) if update == "batch" else np.arange(4)
    expected = 0.1 * 0.5 ** np.broadcast_to(positions.reshape(4, -1), (4, 2))
    np.testing.assert_allclose(rates, expected[2:], rtol=1e-3)


def test_the_rate_of_a_training_that_goes_on_is_not_guessed():
    probe = RateProbe(2)
    probe.fit(callbacks.StepDecayScheduler(decay_steps=1), epochs=2)
    with pytest.raises(ValueError, match="`initial_learning_rate` must be given"):
        probe.fit(callbacks.StepDecayScheduler(), epochs=3, initial_epoch=2)
    probe.fit(callbacks.StepDecayScheduler(0.1), epochs=3, initial_epoch=2)
    rates = probe.fit(callbacks.StepDecayScheduler(), epochs=1)  # another training
    assert rates[0] == pytest.approx([0.1, 0.1], rel=1e-4)


@pytest.mark.parametrize(
    "make",
    [
        callbacks.GradientMonitor,
        lambda: callbacks.GradientClipping(mode="adaptive"),
        lambda: callbacks.GradientClipping(mode="percentile", window=4),
        callbacks.NaNRecovery,
        callbacks.WeightAveraging,
        lambda: callbacks.LearningRateFinder(steps=4),
    ],
)
def test_a_model_that_only_fit_builds(make):
    inner = keras.optimizers.SGD(0.1)
    transform = optimizers.GradientTransform(inner, [optimizers.Centralize()])
    results = []
    for built in (True, False):
        keras.utils.set_random_seed(1)
        model = two_weights(transform.from_config(transform.get_config()), built)
        history = fit(model, make())
        results.append((sorted(history), model.get_weights()))
    assert results[0][0] == results[1][0]
    for first, second in zip(results[0][1], results[1][1], strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-5)


def test_norms_of_sparse_gradients():
    layers = [
        keras.Input((2,), dtype="int32"),
        keras.layers.Embedding(5, 2, embeddings_initializer="zeros"),
        keras.layers.Flatten(),
        keras.layers.Dense(1, use_bias=False, kernel_initializer="ones"),
    ]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.SGD(0.0), loss=lambda y, p: p)
    monitor = callbacks.GradientMonitor()
    tokens = np.array([[1, 1], [2, 3]])  # a row that is looked up twice adds up
    model.fit(tokens, np.zeros((2, 1)), batch_size=1, callbacks=[monitor], verbose=0)
    norms = [np.sqrt(2 * 2.0**2), np.sqrt(4 * 1.0**2)]
    path = model.layers[0].embeddings.path.rpartition("/")[0]
    expected = pytest.approx([np.mean(norms)])
    assert monitor.history["mean"][path] == expected


def test_the_finder_leaves_the_history_and_is_alone():
    model = two_weights()
    fit(model, epochs=2)
    history = model.history
    finder = callbacks.LearningRateFinder(steps=4).find(model, X, Y)
    assert model.history is history and len(finder.rates) > 1
    assert model.stop_training is False
    new = two_weights()
    callbacks.LearningRateFinder(steps=4).find(new, X, Y)
    assert getattr(new, "history", None) is None
    with pytest.raises(ValueError, match="only callback.*EarlyStopping"):
        stopper = keras.callbacks.EarlyStopping("loss")
        fit(model, callbacks.LearningRateFinder(steps=4), stopper)


def test_any_scalar_is_a_rate():
    rates = [0.5, np.float32(0.25), np.array(0.125), keras.ops.convert_to_tensor(0.5)]
    rates.append(keras.Variable(0.25))
    if BACKEND == "tensorflow":
        import tensorflow as tf

        rates.append(0.5 * tf.math.exp(-0.1))
    for takes_rate in (True, False):
        kinds = {
            True: lambda position, rate: rates[position],
            False: lambda position: rates[position],
        }
        scheduler = callbacks.LearningRateScheduler(kinds[takes_rate])
        history = fit(two_weights(), scheduler, epochs=len(rates))
        expected = [float(keras.ops.convert_to_numpy(rate)) for rate in rates]
        assert history["learning_rate"] == pytest.approx(expected)
    with pytest.raises(TypeError, match="scheduled learning rate"):
        fit(two_weights(), callbacks.LearningRateScheduler(lambda i, r: np.ones(2)))


class Unclear(keras.metrics.MeanMetricWrapper):
    def __init__(self):
        super().__init__(lambda y, p: p, name="unclear")


@pytest.mark.parametrize(
    "make",
    [
        callbacks.EarlyStopping,
        callbacks.BestWeights,
        callbacks.ReduceOnPlateau,
        lambda monitor: callbacks.TargetStopping(0.5, monitor),
    ],
)
def test_a_metric_without_a_direction_is_not_minimized(make):
    model = two_weights(metrics=[Unclear()])
    with pytest.raises(ValueError, match="less or more of `unclear` is better"):
        fit(model, make("unclear"))


class StepCounter(keras.callbacks.Callback):
    """Has the two methods of the protocol, and no base class of ours."""

    def __init__(self, survives=None):
        super().__init__()
        self.steps = 0
        if survives is not None:
            self.survives_roll_back = survives

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1

    def get_state(self):
        return {"steps": self.steps}

    def set_state(self, state):
        self.steps = state["steps"]


def test_callbacks_of_the_user_hear_of_a_roll_back():
    assert isinstance(StepCounter(), callbacks.Stateful)
    assert not isinstance(keras.callbacks.EarlyStopping(), callbacks.Stateful)
    counters = [StepCounter(), StepCounter(survives=True)]
    recovery = callbacks.NaNRecovery(verbose=0)
    x = np.ones((4, 1), "float32")
    x[2] = np.nan
    model = line_model(1.0)
    used = [counters[0], recovery, counters[1]]
    model.fit(x, x, batch_size=1, epochs=1, shuffle=False, callbacks=used, verbose=0)
    assert recovery.retries == 1
    assert [counter.steps for counter in counters] == [1, 4]  # the last batch; all


def test_a_last_step_that_is_not_finite_is_rolled_back_before_validation():
    model = line_model(1e38)
    model.compile(keras.optimizers.SGD(1e38), loss=lambda y, p: 10.0 * p)
    recovery = callbacks.NaNRecovery(verbose=0, factor=1e-38)
    ones = np.ones((1, 1), "float32")
    best = callbacks.BestWeights("val_loss")
    used = [best, recovery]
    history = model.fit(
        ones, ones, validation_data=(ones, ones), epochs=2, callbacks=used, verbose=0
    ).history
    assert recovery.retries == 1 and np.isfinite(history["val_loss"]).all()
    assert np.isfinite(weight(model))


@pytest.mark.skipif(BACKEND == "torch", reason="nothing is traced")
@pytest.mark.parametrize(
    "make",
    [
        lambda: callbacks.GradientClipping(clipnorm=1.0),
        lambda: callbacks.GradientClipping(mode="percentile", window=4),
        callbacks.GradientMonitor,
        callbacks.WeightAveraging,
        lambda: callbacks.WeightDecayScheduler({0: 0.1}),
        lambda: callbacks.OneCycleScheduler(0.1, total_steps=9),
        callbacks.NaNRecovery,
    ],
)
def test_later_fits_trace_nothing(make):
    inner = keras.optimizers.SGD(0.1, momentum=0.5, weight_decay=0.1)
    transform = optimizers.GradientTransform(inner, [optimizers.Centralize()])
    model, traces = two_weights(transform), []

    def counted(call, *args):
        traces.append(1)
        return call(*args)

    private.wrap_method(model, "train_step", counted)
    callback = make()
    compiled = []
    for used in (callback, callback, callback, make()):  # another object, too
        fit(model, used, batch_size=8)
        compiled.append(len(traces))
    assert compiled[1] == compiled[3]


def test_the_best_optimizer_of_fewer_weights_comes_back():
    layers = [keras.layers.Dense(3, name="backbone"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((2,)), *layers])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.5), loss="mse")
    stopper = callbacks.EarlyStopping(
        "loss", mode="max", restore_best_weights=True, restore_optimizer=True
    )
    unfreezing = callbacks.GradualUnfreezing({1: "backbone"})
    history = fit(model, stopper, unfreezing, epochs=2)
    assert len(history["loss"]) == 2 and stopper.best_epoch == 0
    path = layers[1].kernel.path.replace("/", "_")
    values = dict(zip(stopper._best_paths, stopper.best_optimizer, strict=True))
    (best,) = [value for name, value in values.items() if path in name]
    (now,) = [v for v in model.optimizer.variables if path in v.path]
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(now), best)
    assert int(model.optimizer.iterations) == 4


def test_a_roll_back_beside_layers_that_thaw():
    x, weights = X.copy(), []
    x[2:] = np.nan
    for epochs in (1, 2):  # each epoch has one good batch and three that are undone
        keras.utils.set_random_seed(0)
        layers = [keras.layers.Dense(3, name="backbone"), keras.layers.Dense(1)]
        model = keras.Sequential([keras.Input((2,)), *layers])
        model.compile(keras.optimizers.SGD(0.1, momentum=0.5), loss="mse")
        recovery = callbacks.NaNRecovery(verbose=0, factor=1.0, max_retries=9)
        unfreezing = callbacks.GradualUnfreezing({1: "backbone"})
        arguments = {"batch_size": 2, "shuffle": False, "verbose": 0, "epochs": epochs}
        model.fit(x, Y, callbacks=[unfreezing, recovery], **arguments)
        weights.append(model.get_weights())
        assert recovery.retries >= epochs
    for first, second in zip(*weights, strict=True):  # all of both is undone
        np.testing.assert_array_equal(first, second)


def test_a_fit_that_is_refused_changes_nothing():
    model = two_weights(keras.optimizers.SGD(0.1, momentum=0.5))
    first = [
        callbacks.GradientClipping(clipnorm=1.0),
        callbacks.GradientMonitor(),
        callbacks.MomentumScheduler({0: 0.1}),
    ]
    optimizer = model.optimizer
    optimizer.build(model.trainable_variables)
    count = len(optimizer.variables)
    with pytest.raises(ValueError, match="only callback"):
        fit(model, *first, callbacks.LearningRateFinder(steps=4))
    assert optimizer.clipnorm is None and optimizer.momentum == 0.5
    assert "apply" not in optimizer.__dict__ and len(optimizer.variables) == count
