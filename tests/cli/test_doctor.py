"""`keras-strategies doctor`: each rule on facts that break it; one real run."""

import copy
import json
import sys

import pytest

from keras_strategies.cli import main as cli
from keras_strategies.cli.doctor import facts, problems

GOOD = {
    "packages": {
        "keras": "3.15.1",
        "tensorflow": "2.21.0",
        "tf-keras": "2.21.0",
        "opencv-python-headless": "4.12",
    },
    "unmet": [],
    "environment": {},
    "memory": {"free": 2**34, "total": 2**35},
    "disk": {"free": 2**34, "total": 2**35},
    "has_nvidia_driver": False,
    "runtime": {"backend": "tensorflow", "devices": ["CPU:0"], "xla": "works"},
}


def test_a_good_installation_has_no_problem():
    assert problems.diagnose(GOOD) == []


@pytest.mark.parametrize(
    ("change", "level", "problem", "fix"),
    [
        (
            {
                "unmet": [
                    {
                        "package": "keras-strategies",
                        "requirement": "keras>=3.12",
                        "installed": "3.10.0",
                    }
                ]
            },
            "error",
            "needs keras>=3.12. Installed: 3.10.0",
            "pip install 'keras>=3.12'",
        ),
        (
            {"packages": {"opencv-python": "4.12"}},
            "error",
            "opencv-python-headless and opencv-python",
            "pip uninstall -y opencv-python-headless opencv-python && pip install "
            "opencv-python-headless",
        ),
        (
            {"packages": {"tf-nightly": "2.22"}},
            "error",
            "tensorflow and tf-nightly",
            "pip install tensorflow",
        ),
        (
            {"packages": {"tf-keras": "2.19.0"}},
            "error",
            "another TensorFlow",
            "tf-keras==2.21.*",
        ),
        (
            {"environment": {"TF_USE_LEGACY_KERAS": "1"}},
            "error",
            "Keras 2",
            "unset TF_USE_LEGACY_KERAS",
        ),
        (
            {
                "runtime": {"error": "ModuleNotFoundError: No module named 'jax'"},
                "environment": {"KERAS_BACKEND": "jax"},
            },
            "error",
            "No module named 'jax'",
            "pip install jax, or unset KERAS_BACKEND",
        ),
        (
            {"runtime": {"xla": "WRONG RESULT"}},
            "error",
            "wrong result",
            "jit_compile=False",
        ),
        (
            {"has_nvidia_driver": True},
            "note",
            "tensorflow sees no GPU",
            "tensorflow[and-cuda]",
        ),
        ({"disk": {"free": 2**29}}, "note", "0.5 GiB of disk", "free some"),
    ],
)
def test_rule(change, level, problem, fix):
    broken = copy.deepcopy(GOOD)
    for key, value in change.items():
        broken[key] = {**broken[key], **value} if isinstance(value, dict) else value
    (entry,) = problems.diagnose(broken)
    assert entry["level"] == level
    assert problem in entry["problem"]
    assert fix in entry["fix"]


def test_a_variable_that_says_no_is_none_of_them():
    quiet = {**GOOD, "environment": {"TF_USE_LEGACY_KERAS": "0"}}
    assert problems.diagnose(quiet) == []


def test_errors_come_first():
    broken = copy.deepcopy(GOOD)
    broken["memory"]["free"] = 0
    broken["environment"] = {"TF_USE_LEGACY_KERAS": "true"}
    levels = [entry["level"] for entry in problems.diagnose(broken)]
    assert levels == ["error", "note"]


def test_secrets_and_home_are_not_told(monkeypatch, tmp_path):
    home = tmp_path / "somebody"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("KERAS_HOME", str(home / "keras"))
    monkeypatch.setenv("TF_API_TOKEN", "hush")
    monkeypatch.setattr(facts, "_runtime", dict)
    told = json.dumps(facts.collect(str(tmp_path)))
    assert "somebody" not in told and "hush" not in told
    assert "~/keras" in told


def test_a_keras_that_cannot_start_is_told(monkeypatch):
    monkeypatch.setattr(facts, "_PROBE", "raise ImportError('no such backend')")
    assert facts._runtime() == {"error": "ImportError: no such backend"}
    monkeypatch.setattr(facts, "_PROBE", "import os; os._exit(3)")
    assert facts._runtime() == {"error": "exit code 3"}


def test_exit_code_and_json(monkeypatch, capsys):
    broken = {"backend": "tensorflow", "devices": ["CPU:0"], "xla": "WRONG RESULT"}
    monkeypatch.setattr(facts, "_runtime", lambda: broken)
    assert cli.main(["doctor", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["runtime"] == broken
    assert any("wrong result" in entry["problem"] for entry in told["problems"])
    assert told["python"] == ".".join(map(str, sys.version_info[:3]))
    assert cli.main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "error: A program compiled by XLA" in out and "keras-tuner" in out


@pytest.mark.slow
def test_this_installation(capsys):
    assert cli.main(["doctor", "--json"]) in (0, 1)
    runtime = json.loads(capsys.readouterr().out)["runtime"]
    assert runtime["devices"] and "error" not in runtime
