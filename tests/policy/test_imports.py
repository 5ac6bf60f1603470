"""`import keras_strategies` is quick, quiet and free of heavy modules."""

import importlib.util
import sys

import pytest

from tests.policy.sources import ROOT

BACKENDS = ["tensorflow"]
if importlib.util.find_spec("jax") is not None:
    # The same modules of ours; each process starts Keras anew.
    BACKENDS.append(pytest.param("jax", marks=pytest.mark.slow))


@pytest.fixture(scope="module")
def measure():
    path = ROOT / "scripts" / "_measure_import.py"
    spec = importlib.util.spec_from_file_location("_measure_import", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("backend", BACKENDS)
def test_import_is_quiet_and_light(measure, backend):
    nothing = {"heavy": [], "effects": [], "environment": [], "printed": []}
    assert measure.probe(backend) == nothing


@pytest.mark.slow  # in every run the probe above finds what is heavy
@pytest.mark.parametrize("backend", BACKENDS)
def test_import_keeps_its_budget(measure, backend):
    times = measure.import_times(backend, repeats=1)
    if measure.median_ratio(times) > measure.BUDGET:
        # Perhaps a busy moment of the machine: the median of more processes says.
        times += measure.import_times(backend, repeats=4)
    assert measure.median_ratio(times) <= measure.BUDGET, times


def test_the_probe_sees_what_it_looks_for(measure, monkeypatch, tmp_path):
    """A package that does everything wrong, in place of ours and of Keras."""
    (tmp_path / "keras.py").write_text("import os\nos.environ['BY_KERAS'] = '1'\n")
    (tmp_path / "keras_strategies.py").write_text(
        "import os, socket\n"
        "os.environ['LOUD'] = '1'\n"
        "print('hello')\n"
        "socket.socket().close()\n"
        "open('written', 'w').close()\n"
        "try:\n"
        "    import cv2\n"
        "except ImportError:\n"
        "    cv2 = None\n"
    )
    monkeypatch.setattr(measure, "ROOT", tmp_path)
    found = measure.probe("tensorflow")
    assert found["heavy"] == ["cv2"]
    assert found["environment"] == ["LOUD"]
    assert found["printed"] == ["hello\n"]
    events = {event.partition(" ")[0] for event in found["effects"]}
    assert {"socket.__new__", "open", "os.putenv"} <= events


def test_tuning_comes_when_it_is_used():
    import keras_strategies

    assert keras_strategies.tuning is sys.modules["keras_strategies.tuning"]
    with pytest.raises(AttributeError, match="has no attribute 'tunning'"):
        _ = keras_strategies.tunning
