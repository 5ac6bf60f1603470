"""Runs the tests that need two devices, in a process that has them."""

import os
import pathlib
import subprocess
import sys

import keras
import pytest

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="Keras has no engine for it"
)
@pytest.mark.parametrize("file", ["test_two_devices.py", "test_battery.py"])
def test_two_devices(file):
    environment = {**os.environ, "KERAS_STRATEGIES_TEST_DEVICES": "2"}
    environment.pop("PYTEST_XDIST_WORKER", None)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "-n", "0", str(pathlib.Path(__file__).with_name(file))],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
