"""Choosing a plan: what stays as it was, what is refused, what drops a plan."""

import json
import random
import zipfile

import keras
import numpy as np
import pytest

from keras_strategies import training
from keras_strategies.training._measurement import inference_timing
from keras_strategies.training._measurement.candidate_timing import CandidateTiming
from keras_strategies.training._model_state import state_variables
from tests.training.models import BACKEND, BATCH, EVEN, candidates, data, small

EPOCH = candidates()[1:2]


@pytest.fixture
def model():
    return small()


@pytest.fixture
def times(monkeypatch):
    """Seconds an epoch by candidate, in the place of measured ones."""
    given, order = {}, []

    def run(timing, epochs=1):
        name = timing.candidate.name
        if isinstance(given.get(name), Exception):
            raise given[name]
        if name not in order:
            order.append(name)
        timing.compile_seconds = given.get("compile", 0.1)
        timing.seconds = given.get(name, 1.0)
        timing.steps = timing.batches

    def inference_seconds(kind, timing, candidate):
        return given.get(f"{kind} {candidate.name}", 1.0)

    monkeypatch.setattr(CandidateTiming, "run", run)
    monkeypatch.setattr(inference_timing, "inference_seconds", inference_seconds)
    given["order"] = order
    return given


def _state(model):
    values = [np.array(keras.ops.convert_to_numpy(v)) for v in state_variables(model)]
    return values, random.getstate(), np.random.get_state()[1].copy()


def _drawn():
    numbers = [random.random(), np.random.random()]
    numbers.append(float(keras.random.uniform(())))
    if BACKEND == "tensorflow":
        import tensorflow as tf

        numbers.append(float(tf.random.uniform(())))
    return numbers


def test_everything_is_as_before(model):
    x, y = data(EVEN)
    model.fit(x, y, BATCH, verbose=0)
    history = model.history
    keras.utils.set_random_seed(11)
    expected = _drawn()
    keras.utils.set_random_seed(11)
    variables, python, numpy = _state(model)
    plan = training.accelerate(model, x, y, batch_size=BATCH, time_limit=0.01)
    assert plan.is_installed
    after = _state(model)
    for value, wanted in zip(after[0], variables, strict=True):
        np.testing.assert_array_equal(value, wanted)
    assert after[1] == python
    np.testing.assert_array_equal(after[2], numpy)
    assert model.history is history
    assert _drawn() == expected


def test_the_state_of_a_recurrent_layer_is_as_before():
    layer = keras.layers.LSTM(2, stateful=True)
    model = keras.Sequential([keras.Input(batch_shape=(2, 3, 1)), layer])
    model.compile("sgd", "mse")
    x, y = np.ones((4, 3, 1), "float32"), np.ones((4, 2), "float32")
    model.predict(x, batch_size=2, verbose=0)
    before = [keras.ops.convert_to_numpy(v.value) + 0 for v in layer.states]
    training.accelerate(model, x, y, batch_size=2, time_limit=0.01)
    for value, variable in zip(before, layer.states, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), value)


@pytest.mark.skipif(BACKEND == "torch", reason="there is one candidate")
def test_the_fastest_is_chosen_if_it_gains_enough(model, times):
    x, y = data()
    fast = "xla-epoch"
    times.update({"plain": 1.0, fast: 0.5})
    plan = training.accelerate(model, x, y, batch_size=BATCH)
    assert plan.choice == fast and times["order"][0] == "plain"
    assert plan.choices["test"] == plan.choices["predict"] == "plain"
    assert "chosen" in plan.table() and "2.00" in plan.table()
    step = "graph-step" if BACKEND == "tensorflow" else "xla-step"
    assert step not in times["order"] and "same as plain" in plan.table()
    assert "xla-epoch" in plan.explain()
    times.update({"test xla-block": 0.5, "predict xla-block": 0.1})
    plan = training.accelerate(model, x, y, batch_size=BATCH)
    assert plan.choices == {"train": fast, "test": "xla-block", "predict": "plain"}
    times.update({fast: 0.98})
    again = training.accelerate(model, x, y, batch_size=BATCH)
    assert again.choice == "plain" and not plan.is_installed


@pytest.mark.skipif(BACKEND == "torch", reason="there is one candidate")
def test_what_fails_or_takes_too_long_is_named(model, times):
    x, y = data()
    times.update({"xla-epoch": RuntimeError("no such kernel\nmore"), "compile": 50.0})
    plan = training.accelerate(model, x, y, batch_size=BATCH, time_limit=60)
    table = plan.table()
    assert plan.choice == "plain"
    if BACKEND == "tensorflow":
        assert "over the time limit" in table
    if BACKEND == "tensorflow":
        times.update({"compile": 10.0})
        plan = training.accelerate(model, x, y, batch_size=BATCH, time_limit=30)
        found = {item.name: item.note for item in plan.measurements}
        assert "about 40 s to compile" in found["xla-step"]
        assert found["graph-epoch"] == ""
    times.update({"compile": 0.1})
    plan = training.accelerate(model, x, y, batch_size=BATCH)
    assert "failed: RuntimeError: no such kernel" in plan.table()


@pytest.mark.tensorflow
def test_layers_that_block_xla_are_named(times):
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.RandomZoom(0.1, name="zoom")]
        + [keras.layers.Flatten(), keras.layers.Dense(1)]
    )
    model.compile("sgd", "mse")
    x = np.ones((16, 8, 8, 1))
    plan = training.accelerate(model, x, x[:, 0, 0])
    assert "zoom" in plan.explain()
    assert not any(item.name.startswith("xla") for item in plan.measurements)
    with pytest.raises(ValueError, match="no candidate"):
        training.accelerate(model, x, x[:, 0, 0], candidates=["xla-step"])


def test_jit_compile_is_saved_as_auto(model, tmp_path):
    def saved():
        model.save(tmp_path / "model.keras")
        with zipfile.ZipFile(tmp_path / "model.keras") as archive:
            config = json.loads(archive.read("config.json"))
        return config["compile_config"]["jit_compile"]

    x, y = data()
    assert saved() is model.jit_compile
    plan = training.accelerate(model, x, y, None, BATCH, candidates=["plain"])
    assert saved() == "auto"
    assert keras.models.load_model(tmp_path / "model.keras").compiled
    plan.remove()
    assert saved() is model.jit_compile
    if BACKEND == "tensorflow":
        model.compile("sgd", model.loss, jit_compile=True)
        training.accelerate(model, x, y, None, BATCH, candidates=["plain"])
        assert model.get_compile_config()["jit_compile"] is True


def test_torch_has_one_candidate_unless_another_is_named(model):
    x, y = data()
    if BACKEND != "torch":
        with pytest.raises(ValueError, match="needs the Torch backend"):
            training.accelerate(model, x, y, candidates=["inductor-step"])
        return
    plan = training.accelerate(model, x, y, batch_size=BATCH)
    assert plan.choice == "plain" and "'inductor-step'" in plan.explain()
    model.fit(x, y, BATCH, verbose=0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the code of Torch
def test_torch_compiles_the_step():
    if BACKEND != "torch":
        return
    x, y = data()

    def fit(candidates=()):
        keras.utils.set_random_seed(0)
        stack = [keras.Input((6,)), keras.layers.Dense(3, activation="softmax")]
        model = keras.Sequential(stack)
        model.compile("adam", "sparse_categorical_crossentropy")
        if candidates:
            plan = training.accelerate(model, x, y, None, BATCH, candidates=candidates)
            assert plan.choice == "inductor-step" and not model.jit_compile
        model.fit(x, y, BATCH, epochs=2, shuffle=False, verbose=0)
        return model.get_weights()

    for got, right in zip(fit(["inductor-step"]), fit(), strict=True):
        np.testing.assert_allclose(got, right, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("candidate", EPOCH)
def test_compiling_again_drops_the_plan(model, candidate):
    x, y = data()
    plan = training.accelerate(model, x, y, None, BATCH, candidates=[candidate])
    with pytest.warns(UserWarning, match="compiled again"):
        model.compile("sgd", "mse")
    assert not plan.is_installed and "fit" not in model.__dict__


@pytest.mark.parametrize("candidate", EPOCH)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: {"x": x, "y": y, "batch_size": 4}, "batch_size=4"),
        (lambda x, y: {"x": x, "y": y.astype("float32")}, "made for `y`"),
        (lambda x, y: {"x": iter([])}, "other data"),
    ],
)
def test_data_that_do_not_fit_drop_the_plan(model, candidate, change, message):
    x, y = data()
    plain = []
    model.__dict__["fit"] = lambda **given: plain.append(given)
    plan = training.accelerate(model, x, y, None, BATCH, candidates=[candidate])
    arguments = {"batch_size": BATCH, "verbose": 0, **change(x, y)}
    with pytest.warns(UserWarning, match=message):
        model.fit(**arguments)
    assert not plan.is_installed and plain == [arguments]


@pytest.mark.parametrize("candidate", EPOCH)
def test_a_saved_plan_is_for_the_same_model(model, candidate, tmp_path):
    x, y = data()
    plan = training.accelerate(model, x, y, None, BATCH, candidates=[candidate])
    path = tmp_path / "plan.json"
    plan.save(path)
    other = small()
    loaded = training.ExecutionPlan.load(path).install(other)
    assert loaded.choice == candidate and loaded.table() == plan.table()
    assert loaded.is_installed and "fit" in other.__dict__
    with pytest.raises(ValueError, match="one model at a time"):
        loaded.install(model)
    shallow = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    shallow.compile("sgd", "mse")
    with pytest.raises(ValueError, match="another model"):
        training.ExecutionPlan.load(path).install(shallow)
    path.write_text("{}")
    with pytest.raises(ValueError, match="must hold a plan"):
        training.ExecutionPlan.load(path)


def test_one_call_measures_once(model, times):
    x, y = data(EVEN)
    arguments = {"batch_size": BATCH, "epochs": 2, "verbose": 0, "time_limit": 20}
    for _ in range(2):
        history = training.fit(model, x, y, **arguments)
    assert history.epoch == [0, 1]
    assert times["order"].count("plain") <= 1
    assert model.__dict__["_execution_plan"].is_installed


BAD = [
    ({"batch_size": 0}, "batch_size"),
    ({"time_limit": 0}, "time_limit"),
    ({"memory_limit": 100}, "must hold 3 batches"),
    ({"candidates": ["fast"]}, "candidates"),
    ({"candidates": []}, "must name one"),
    ({"seed": -1}, "seed"),
    ({"x": np.ones((74, 5), "float32")}, "must match the model"),
    ({"y": np.ones((74, 7), "float32")}, "must match the model"),
    ({"y": np.ones((70,))}, "cardinality"),
    ({"x": np.full((74, 6), np.nan)}, "444"),
]


@pytest.mark.parametrize(("bad", "message"), BAD, ids=[text for _, text in BAD])
def test_bad_input_leaves_the_model_alone(model, bad, message):
    x, y = data()
    before = _state(model)[0]
    with pytest.raises(ValueError, match=message):
        training.accelerate(model, **{"x": x, "y": y, "batch_size": BATCH, **bad})
    after = _state(model)[0]
    assert len(after) == len(before)
    for value, wanted in zip(after, before, strict=True):
        np.testing.assert_array_equal(value, wanted)
    assert "fit" not in model.__dict__


def test_models_that_cannot_be_accelerated(model):
    x, y = data()
    bare = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    with pytest.raises(ValueError, match="must be compiled"):
        training.accelerate(bare, x, y)
    unbuilt = keras.Sequential([keras.layers.Dense(3)])
    unbuilt.compile("sgd", "mse")
    with pytest.raises(ValueError, match="must be built"):
        training.accelerate(unbuilt, x, y)
    model.compile("sgd", model.loss, run_eagerly=True)
    with pytest.raises(ValueError, match="run_eagerly=False"):
        training.accelerate(model, x, y)
    with pytest.raises(TypeError, match="arrays"):
        training.accelerate(small(), iter([x]))
