"""The choice of a plan while a model trains: bounds, equality, memory on disk."""

import json

import keras
import numpy as np
import pytest

from keras_strategies import callbacks, training
from keras_strategies.training._choice import choosing_fit, plan_cache
from keras_strategies.training._choice.members_choice import MembersChoice
from keras_strategies.training._choice.ongoing_choice import (
    CandidateTimes,
    OngoingChoice,
    Segment,
)
from tests.training.models import BACKEND, BATCH, EVEN, Batches, candidates, data, small

NAMES = ["graph-epoch", "xla-epoch"]


def simulated(machine, epochs, steps=256, convolutions=False, times=None):
    """`(seconds, names of the epochs)` on a machine `{name: (compilation, epoch)}`."""
    graph, plain = machine["graph-epoch"][1], machine["plain"][1]
    choice = OngoingChoice(NAMES, convolutions, times, lambda: (plain - graph) / steps)
    choice.begin_fit(steps)
    names, total = [], 0.0
    while len(names) < epochs:
        segment = choice.next_segment(epochs - len(names))
        for _ in range(segment.epochs):
            compilation, seconds = machine[segment.name]
            seconds += 0.0 if segment.name in names else compilation
            choice.note(segment.name, seconds)
            names.append(segment.name)
            total += seconds
    return total, names


MACHINES = {
    "dense": {"plain": (0.9, 0.5), "graph-epoch": (1, 0.2), "xla-epoch": (3, 0.05)},
    "convolutions": {
        "plain": (1.2, 1.0),
        "graph-epoch": (1.4, 0.6),
        "xla-epoch": (5, 38.0),
    },
    "recurrent": {"plain": (2, 2.0), "graph-epoch": (2, 1.7), "xla-epoch": (8, 0.7)},
    "nothing gains": {
        "plain": (2, 4.0),
        "graph-epoch": (2.5, 3.95),
        "xla-epoch": (9, 7.0),
    },
    "tiny": {
        "plain": (0.8, 0.05),
        "graph-epoch": (0.9, 0.01),
        "xla-epoch": (2, 0.005),
    },
}


@pytest.mark.parametrize("epochs", [1, 2, 3, 5, 8, 30, 100])
@pytest.mark.parametrize("name", MACHINES)
def test_it_takes_at_most_a_tenth_longer_than_plain_fit(name, epochs):
    machine = MACHINES[name]
    plain = machine["plain"][0] + epochs * machine["plain"][1]
    total, names = simulated(machine, epochs, convolutions=name == "convolutions")
    assert total <= 1.1 * plain
    assert names[0] == "plain" and (epochs > 2 or set(names) == {"plain"})
    if epochs >= 30 and name in ("dense", "recurrent"):
        assert names[-1] != "plain" and total < 0.9 * plain
    if epochs == 100 and name in ("dense", "recurrent"):
        assert names[-1] == "xla-epoch" and total < 0.5 * plain
    if name == "convolutions":
        assert "xla-epoch" not in names


def members(machine, count, epochs, steps=64, convolutions=False):
    """`(seconds, names)` of members one after another on a machine."""
    overhead = (machine["plain"][1] - machine["graph-epoch"][1]) / steps
    choice = MembersChoice(
        count * epochs * steps, NAMES, convolutions, None, lambda: overhead
    )
    names, total = [], 0.0
    for _ in range(count):
        choice.begin_fit(steps)
        done = 0
        while done < epochs:
            segment = choice.next_segment(epochs - done)
            for _ in range(segment.epochs):
                compilation, seconds = machine[segment.name]
                seconds += 0.0 if segment.name in names else compilation
                choice.note(segment.name, seconds)
                names.append(segment.name)
                total += seconds
            done += segment.epochs
    return total, names


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize(("count", "epochs"), [(8, 10), (20, 1), (3, 40)])
def test_members_of_a_joint_training(name, count, epochs):
    machine = MACHINES[name]
    total, names = members(machine, count, epochs, convolutions=name == "convolutions")
    compilation, seconds = machine["plain"]
    assert total <= 1.1 * count * (compilation + epochs * seconds)
    assert "plain" not in names and len(names) == count * epochs
    if name == "convolutions":
        assert set(names) == {"graph-epoch"}
    elif len(names) > 20:
        compiled = {n: s for n, (_, s) in machine.items() if n in names}
        assert names[-1] == min(compiled, key=compiled.get)


def test_times_of_an_earlier_run_choose_at_once():
    times = {
        name: CandidateTimes(seconds / 256, compilation)
        for name, (compilation, seconds) in MACHINES["dense"].items()
    }
    _, names = simulated(MACHINES["dense"], 30, times=times)
    assert set(names) == {"xla-epoch"}
    _, names = simulated(MACHINES["dense"], 1, times=times)
    assert names != ["xla-epoch"]  # its compilation takes longer


def test_members_know_from_earlier_what_a_compilation_takes():
    times = {
        "graph-epoch": CandidateTimes(1e-3, 0.3),
        "xla-epoch": CandidateTimes(8e-4, 1.2),
    }
    for steps, name in ((1000, "graph-epoch"), (10_000, "xla-epoch")):
        choice = MembersChoice(steps, NAMES, False, times)
        choice.begin_fit(100)
        assert choice.next_segment(10).name == name


def test_many_fits_of_one_epoch_are_one_training():
    choice, machine, names = (
        OngoingChoice(NAMES, overhead=lambda: 1e-3),
        MACHINES["dense"],
        [],
    )
    for _ in range(40):
        choice.begin_fit(256)
        segment = choice.next_segment(1)
        assert segment == Segment(segment.name, 1)
        compilation, seconds = machine[segment.name]
        choice.note(segment.name, seconds + compilation * (segment.name not in names))
        names.append(segment.name)
    assert names[-1] == "xla-epoch" and choice.best == "xla-epoch"


class Forced(OngoingChoice):
    """One epoch of plain `fit`, two with a plan, and so on."""

    def next_segment(self, remaining):
        names = ["plain", self._candidates[0], self._candidates[0]]
        return Segment(names[self._epochs % 3], 1)


class Events(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_begin(self, logs=None):
        self.seen.append("begin")

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append((epoch, sorted(logs)))

    def on_train_end(self, logs=None):
        self.seen.append(("end", sorted(logs)))


@pytest.mark.skipif(BACKEND == "torch", reason="Torch has one candidate")
def test_a_fit_in_parts_is_that_of_keras(monkeypatch):
    monkeypatch.setattr(choosing_fit, "OngoingChoice", Forced)
    x, y = data()

    def fit(run):
        keras.utils.set_random_seed(4)
        model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(
            keras.optimizers.SGD(0.3, momentum=0.9), loss, metrics=["accuracy"]
        )
        events = Events()
        given = [
            events,
            callbacks.OneCycleScheduler(1.0),
            callbacks.WeightAveraging(decay=0.9),
            keras.callbacks.EarlyStopping("loss", patience=3),
        ]
        arguments = {"batch_size": BATCH, "epochs": 5, "verbose": 0}
        arguments |= {"shuffle": False, "validation_split": 0.2, "callbacks": given}
        history = run(model, x, y, **arguments)
        return model, history, events.seen

    plain, expected, seen = fit(lambda model, *a, **k: model.fit(*a, **k))
    model, history, found = fit(training.fit)
    assert found == seen and history.epoch == expected.epoch
    assert model.history is history
    for name, values in expected.history.items():
        np.testing.assert_allclose(history.history[name], values, 1e-4, 1e-6)
    for value, wanted in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(value, wanted, atol=1e-5)


@pytest.mark.skipif(BACKEND == "torch", reason="Torch has one candidate")
def test_times_are_stored_for_the_model_and_the_machine(tmp_path, monkeypatch):
    monkeypatch.setenv(plan_cache.VARIABLE, str(tmp_path))
    x, y = data(EVEN)
    arguments = {"batch_size": BATCH, "epochs": 2, "verbose": 0}
    training.fit(small(), x, y, **arguments)
    (file,) = (tmp_path / "plans").iterdir()
    content = json.loads(file.read_text())
    assert content["times"]["plain"][0] > 0
    name = candidates()[-1]
    content["times"] = {"plain": [9.0, 0.0], name: [1e-4, 0.0]}
    file.write_text(json.dumps(content))
    model = small()
    training.fit(model, x, y, **arguments)
    assert model.__dict__["_execution_plan"].choice == name
    assert name in model.__dict__["_execution_plan"].explain()
    file.write_text("no plan")
    training.fit(small(), x, y, **arguments)
    monkeypatch.setenv(plan_cache.VARIABLE, "")
    assert plan_cache.cache_directory() is None


def test_what_cannot_be_parted_trains_as_in_plain_fit():
    x, y = data(EVEN)
    settings = {"epochs": 2, "verbose": 0}

    def is_plain(model, *arguments, **given):
        history = training.fit(model, *arguments, **{**settings, **given})
        assert len(history.epoch) == 2
        return "_ongoing_choice" not in model.__dict__

    assert is_plain(small(), Batches(EVEN))
    none = training.fit(small(), x, y, initial_epoch=3, epochs=2, verbose=0)
    assert none.epoch == []
    generator = ((x[:8], y[:8]) for _ in range(4))
    assert is_plain(small(), generator, steps_per_epoch=2, shuffle=False)
    assert is_plain(small(), x, y, batch_size=8, steps_per_epoch=3)
    averaged = small()
    averaged.compile(keras.optimizers.SGD(use_ema=True), averaged.loss)
    assert is_plain(averaged, x, y)

    class Acting(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.reset_metrics()

    assert is_plain(small(), x, y, callbacks=[Acting()])
    with pytest.raises(ValueError, match="batch_size"):
        training.fit(small(), x, y, batch_size=0)
