"""Callbacks that act at each step beside a plan: all as in plain `fit`."""

import collections
import functools
import io
import json
import sys
import types
import unittest.mock
import weakref

import keras
import numpy as np
import pytest

from keras_strategies import callbacks
from keras_strategies.training._blocks import loop_jax
from keras_strategies.training._launches import hook_analysis
from keras_strategies.training._launches.needs import needs_of
from keras_strategies.training._launches.step_driver import StepDriver
from tests.training.models import BACKEND, BATCH, candidates, data, plan_for

pytestmark = pytest.mark.skipif(BACKEND == "torch", reason="Torch has no launches")

EPOCH = (candidates() or [None])[1 if BACKEND == "tensorflow" else 0]
# Ten batches, the last one of two rows; blocks of four on the host.
HOST_LIMIT = 3 * 4 * BATCH * (6 * 4 + 8)


class Losses(keras.callbacks.Callback):
    """Reads logs only."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_begin(self, batch, logs=None):
        self.seen.append(batch)

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append((batch, logs["loss"], sorted(logs)))


class Rates(keras.callbacks.Callback):
    """Looks at the optimizer before each step."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_begin(self, batch, logs=None):
        rate = self.model.optimizer.learning_rate
        self.seen.append((batch, float(keras.ops.convert_to_numpy(rate)), []))


class Stopper(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 3:
            self.model.stop_training = True


@functools.cache
def _model():
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.5, momentum=0.9), loss, metrics=["accuracy"])
    return model


def fit(candidate, make, epochs=2, rows=None, limit=2**30, **arguments):
    """`(weights, iterations, history, callbacks)` from always the same weights."""
    model = _model()
    x, y = rows or data()
    plan = None
    if candidate:
        given = {"x": x, "y": y}
        plan = plan_for(model, given, candidate, memory_limit=limit)
    model.set_weights([np.linspace(-1, 1, 18).reshape(6, 3), np.zeros(3)])
    for variable in model.optimizer.variables:
        variable.assign(np.zeros(variable.shape))
    model.optimizer.learning_rate = 0.5
    model.stop_training = False
    given = make()
    settings = {"batch_size": BATCH, "shuffle": False, "verbose": 0, **arguments}
    try:
        history = model.fit(x, y, epochs=epochs, callbacks=given, **settings)
    finally:
        if plan is not None and plan.is_installed:
            plan.remove()
    count = int(model.optimizer.iterations)
    return model.get_weights(), count, history.history, given


def assert_same(make, candidate=EPOCH, tolerance=1e-5, **arguments):
    expected = fit(None, make, **arguments)
    found = fit(candidate, make, **arguments)
    for value, wanted in zip(found[0], expected[0], strict=True):
        np.testing.assert_allclose(value, wanted, rtol=0, atol=tolerance)
    assert found[1] == expected[1]
    assert list(found[2]) == list(expected[2])
    for name, values in found[2].items():
        np.testing.assert_allclose(values, expected[2][name], rtol=1e-4, atol=1e-6)
    for one, other in zip(found[3], expected[3], strict=True):
        seen, wanted = getattr(one, "seen", []), getattr(other, "seen", [])
        assert len(seen) == len(wanted)
        for item, same in zip(seen, wanted, strict=True):
            if isinstance(item, tuple):
                assert item[0] == same[0] and item[2] == same[2]
                assert item[1] == pytest.approx(same[1], rel=1e-5)
            else:
                assert item == same
    return found[3], expected[3]


def rate_and_momentum():
    return [
        callbacks.CosineDecayScheduler(warmup_steps=3, update="batch"),
        callbacks.MomentumScheduler(lambda step: 0.5 + 0.01 * step, update="batch"),
        callbacks.GradientClipping(global_clipnorm=1.0),
    ]


def averages_and_logs():
    return [callbacks.WeightAveraging(decay=0.9), Losses(), callbacks.GradientMonitor()]


SETS = {
    "schedules": rate_and_momentum,
    "averages and logs": averages_and_logs,
    "one cycle": lambda: [callbacks.OneCycleScheduler(1.0)],
    "some averages": lambda: [callbacks.WeightAveraging(decay=0.9, update_freq=3)],
    "a schedule of the rate": lambda: [
        callbacks.LearningRateScheduler(lambda step, rate: 0.95 * rate, update="batch"),
        callbacks.WeightDecayScheduler(lambda step: 0.01 * step, update="batch"),
    ],
}
QUICK = ("schedules", "averages and logs")


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[] if n in QUICK else [pytest.mark.slow]) for n in SETS],
)
def test_callbacks_act_at_each_step(name):
    assert_same(SETS[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_in_xla_and_in_blocks_of_the_host(name):
    assert_same(SETS[name], "xla-epoch")
    assert_same(SETS[name], "xla-block", limit=HOST_LIMIT)


def test_what_looks_at_the_model_makes_launches_of_one_step():
    def make():
        return [callbacks.CosineDecayScheduler(update="batch"), Rates(), Stopper()]

    with pytest.warns(UserWarning, match="Rates, Stopper may act on the model"):
        (_, rates, _), _ = assert_same(make)
    # On JAX a rate that is assigned reaches the variable with the step.
    assert len(rates.seen) == 4 and len({rate for _, rate, _ in rates.seen}) >= 3


def test_a_value_of_ones_own_is_fed_into_the_program():
    class Halving(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            self.model.optimizer.learning_rate = 0.4 * 0.5**batch

        def values_for_steps(self, start, count):
            rate = self.model.optimizer.learning_rate
            return [(rate, [0.4 * 0.5**i for i in range(start, start + count)])]

    assert isinstance(Halving(), callbacks.StepValues)
    assert_same(lambda: [Halving()], epochs=1)

    class Doubling(Halving):
        def on_train_batch_begin(self, batch, logs=None):
            self.model.optimizer.learning_rate = 0.01 * 2.0**batch

    # What the class above declares is not true of another hook.
    assert needs_of([Doubling()]).stepwise and not needs_of([Doubling()]).scheduled


def _exploding():
    x, y = data()
    x[5 * BATCH : 6 * BATCH] = np.nan
    return x, y


def test_a_launch_ends_where_the_loss_is_not_finite():
    recoveries = []

    def recovering():
        recoveries.append(callbacks.NaNRecovery(verbose=0, max_retries=9))
        return [recoveries[-1], Losses()]

    rows = _exploding()
    plain = fit(None, recovering, rows=rows, epochs=1)
    with_plan = _with_plan_for_finite(recovering, rows)
    for value, wanted in zip(with_plan[0], plain[0], strict=True):
        np.testing.assert_allclose(value, wanted, atol=1e-5)
    assert recoveries[0].recoveries == recoveries[1].recoveries == [[0, 6]]
    stopping = lambda: [keras.callbacks.TerminateOnNaN(), Losses()]  # noqa: E731
    plain = fit(None, stopping, rows=rows, epochs=1)
    with_plan = _with_plan_for_finite(stopping, rows)
    assert with_plan[1] == plain[1] == 6
    numbers = [item[0] for item in plain[3][1].seen if isinstance(item, tuple)]
    assert numbers == list(range(6))
    assert [i[0] for i in with_plan[3][1].seen if isinstance(i, tuple)] == numbers


def _with_plan_for_finite(make, rows):
    """A fit on bad rows with a plan that was made for good ones."""
    model, (x, y) = _model(), data()
    plan = plan_for(model, {"x": x, "y": y}, EPOCH)
    try:
        return fit(None, make, rows=rows, epochs=1)
    finally:
        plan.remove()


def test_checkpoints_within_an_epoch_have_the_weights_of_their_step(tmp_path):
    def saved(candidate):
        folder = tmp_path / str(candidate)
        path = str(folder / "{batch:02d}.weights.h5")

        def make():
            return [
                keras.callbacks.ModelCheckpoint(
                    path, save_freq=4, save_weights_only=True
                )
            ]

        folder.mkdir()
        fit(candidate, make)
        result = {}
        for file in sorted(folder.iterdir()):
            _model().load_weights(file)
            result[file.name] = _model().get_weights()[0]
        return result

    expected, found = saved(None), saved(EPOCH)
    assert list(found) == list(expected) and len(expected) >= 4
    for name, weights in expected.items():
        np.testing.assert_allclose(found[name], weights, atol=1e-5)


def test_what_was_taken_for_a_reader_cannot_reach_the_model():
    class Disguised(keras.callbacks.Callback):
        batch_logs = True

        def on_train_batch_begin(self, batch, logs=None):
            if batch == 4:
                self.model.optimizer.learning_rate = 0.1

    with pytest.raises(RuntimeError, match=r"Disguised asks for `model\.optimizer`"):
        fit(EPOCH, lambda: [Disguised()])


def test_hooks_are_read():
    layer, numbers = keras.layers.Dense(1), []

    class Closure(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            layer.trainable = batch > 3

    class Attribute(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.parts = {"head": [layer]}

        def on_train_batch_end(self, batch, logs=None):
            self.parts["head"][0].trainable = False

    class Helper(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self._later()

        def _later(self):
            self.model.reset_metrics()

    class Clock(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            import time

            numbers.append(time.perf_counter())

    class Reader(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            numbers.append(float(np.mean(logs["loss"])))

    def reads(callback):
        hook = callback.on_train_batch_end
        return hook_analysis.only_reads_logs(callback, hook)

    assert reads(Reader()) and reads(Losses())
    for acting in (Closure(), Attribute(), Helper(), Clock()):
        assert not reads(acting), type(acting).__name__
    lambdas = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: numbers.append(batch)
    )
    assert needs_of([lambdas]).logged
    bound = keras.callbacks.LambdaCallback(on_train_batch_end=_model().reset_metrics)
    assert needs_of([bound]).stepwise


class Knob:
    """An object of the user's with a part of the training in it."""

    __slots__ = ("held",)

    def __init__(self, held):
        self.held = held

    def turn(self, value):
        self.held[0].assign(value)


class Watch:
    def tick(self):
        import time

        return time.perf_counter()


def test_hooks_are_read_with_what_they_reach():
    rate, numbers = keras.Variable(0.1), collections.deque(maxlen=3)

    class Attribute(keras.callbacks.Callback):
        def __init__(self, knob):
            super().__init__()
            self.knob = knob

        def on_train_batch_end(self, batch, logs=None):
            self.knob.turn(logs["loss"])

    class OfTheClass(keras.callbacks.Callback):
        target = [[{"rate": rate}]]

        def on_train_batch_end(self, batch, logs=None):
            self.target[0][0]["rate"].assign(batch)

    class Computed(keras.callbacks.Callback):
        @property
        def target(self):
            return rate

        def on_train_batch_end(self, batch, logs=None):
            self.target.assign(batch)

    class Raising(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if logs["loss"] > 9:
                raise RuntimeError

    class Timing(keras.callbacks.Callback):
        watch = Watch()

        def on_train_batch_end(self, batch, logs=None):
            numbers.append(self.watch.tick())

    class Records(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.log = {"seen": collections.deque(range(60_000))}
            self.file = io.StringIO()

        def on_train_batch_end(self, batch, logs=None):
            self.log["seen"].append(json.dumps(float(logs["loss"])))
            self.file.write(f"{np.mean(self.log['seen'][-1])}")

    def default(batch, logs, target=rate):
        target.assign(batch)

    module = types.ModuleType("knobs")
    module.knob = Knob([rate])

    def through_a_module(batch, logs):
        import knobs

        knobs.knob.turn(batch)

    weak, queue = weakref.ref(rate), collections.deque([rate])
    functions = [
        default,
        through_a_module,
        lambda batch, logs: queue[0].assign(batch),
        lambda batch, logs: weak().assign(batch),
        functools.partial(default, logs=None),
    ]
    acting = [Attribute(Knob([rate])), OfTheClass(), Computed(), Raising(), Timing()]
    acting += [
        keras.callbacks.LambdaCallback(on_train_batch_end=item) for item in functions
    ]
    with unittest.mock.patch.dict(sys.modules, knobs=module):
        for callback in acting:
            hook = callback.on_train_batch_end
            assert not hook_analysis.only_reads_logs(callback, hook), hook
    records = Records()
    assert hook_analysis.only_reads_logs(records, records.on_train_batch_end)
    assert needs_of([Attribute(Knob(["no variable"]))]).logged


@pytest.mark.filterwarnings("ignore:Before may act")
def test_an_error_in_a_hook_leaves_the_newest_weights():
    class Broken(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 5:
                logs["absent"]

    class Before(Broken):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 5:
                self.model.absent  # noqa: B018

        def on_train_batch_end(self, batch, logs=None):
            pass

    for kind in (Broken, Before):
        with pytest.raises((KeyError, AttributeError), match="absent"):
            fit(EPOCH, lambda kind=kind: [kind()])
        weights = [keras.ops.convert_to_numpy(w) for w in _model().weights]
        assert all(np.isfinite(value).all() for value in weights)
        assert int(_model().optimizer.iterations) >= 5
    fit(EPOCH, list)


@pytest.mark.skipif(BACKEND != "jax", reason="the state is in arguments on JAX only")
def test_an_interrupt_leaves_the_newest_weights(monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    places = [
        (loop_jax, "int"),  # where a launch waits for its program
        (StepDriver, "_replay"),
        (loop_jax, "rows_of_batch"),  # while it is traced
    ]
    for owner, name in places:
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, interrupted, raising=False)
            with pytest.raises(KeyboardInterrupt):
                fit(EPOCH, lambda: [Losses()])
        steps = 0 if name == "rows_of_batch" else 9
        assert int(_model().optimizer.iterations) == steps
        assert np.isfinite(_model().get_weights()[0]).all()


def test_hooks_every_few_steps():
    """`steps_per_execution` is as in plain `fit`, where hooks depend on it."""
    x, y = data(40)

    def trained(planned):
        keras.utils.set_random_seed(2)
        model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("sgd", loss, steps_per_execution=2)
        if planned:
            plan_for(model, {"x": x, "y": y}, EPOCH)
        reader = Losses()
        rate = callbacks.CosineDecayScheduler(decay_steps=9, update="batch")
        given = {"batch_size": BATCH, "verbose": 0, "shuffle": False}
        model.fit(x, y, callbacks=[reader, rate], **given)
        return model.get_weights(), [str(item)[:2] for item in reader.seen]

    expected = trained(False)
    with pytest.warns(UserWarning, match="steps_per_execution=2"):
        found = trained(True)
    assert found[1] == expected[1]
    for value, wanted in zip(found[0], expected[0], strict=True):
        np.testing.assert_allclose(value, wanted, atol=1e-5)


def test_kinds_of_callbacks():
    keras_own = [
        keras.callbacks.ProgbarLogger(),
        keras.callbacks.EarlyStopping(),
        keras.callbacks.ModelCheckpoint("m.keras"),
        keras.callbacks.TensorBoard("logs"),
    ]
    needs = needs_of(keras_own)
    assert not needs.stepwise and len(needs.bounded) == 2 and len(needs.logged) == 1
    timed = keras.callbacks.TensorBoard("logs", write_steps_per_second=True)
    assert needs_of([timed]).stepwise
    ours = [
        callbacks.CosineDecayScheduler(),
        callbacks.LabelSmoothingScheduler({0: 0.1}),
        callbacks.ThroughputMonitor(),
        callbacks.TimeBudget(100, update="batch"),
        callbacks.EarlyStopping(),
        callbacks.ProgressBar(),
        callbacks.MemoryMonitor(update_freq=5),
    ]
    needs = needs_of(ours)
    assert not needs.stepwise and not needs.logged
    finder = callbacks.LearningRateFinder(steps=10)
    (_, until), *_ = needs_of([finder]).bounded
    assert until(0) == 1


@pytest.mark.slow
def test_the_steps_of_tensorboard_and_of_a_time_budget(tmp_path):
    def make():
        return [
            keras.callbacks.TensorBoard(str(tmp_path / "logs"), update_freq=2),
            callbacks.TimeBudget(1e6, update="batch"),
            callbacks.MemoryMonitor(update_freq=3),
        ]

    expected, found = fit(None, make), fit(EPOCH, make)
    np.testing.assert_allclose(found[0][0], expected[0][0], atol=1e-5)
    assert found[1] == expected[1]


@pytest.mark.slow
def test_a_range_test_has_a_rate_for_each_step():
    def make():
        return [callbacks.LearningRateFinder(1e-4, 1.0, steps=15)]

    expected, found = fit(None, make)[3][0], fit(EPOCH, make)[3][0]
    np.testing.assert_allclose(found.rates, expected.rates, rtol=1e-5)
    np.testing.assert_allclose(found.losses, expected.losses, rtol=1e-4)
    assert len(found.rates) == 15


def test_later_fits_trace_no_step_again():
    traces = []

    class Counted(keras.Sequential):
        def compute_loss(self, *arguments, **named):
            traces.append(1)
            return super().compute_loss(*arguments, **named)

    x, y = data(72)
    model = Counted([keras.Input((6,)), keras.layers.Dense(3)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    plan_for(model, {"x": x, "y": y}, EPOCH)
    listed = rate_and_momentum()[::2]
    counts = []
    for given in (listed, listed, [], [], listed):
        model.fit(x, y, BATCH, verbose=0, callbacks=given)
        counts.append(len(traces))
    assert counts[1] == counts[0] and counts[3] == counts[2]
    assert counts[4] == counts[2]
