"""Groups of real processes: as one process, and as if nobody had been killed."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[2]
JOB = pathlib.Path(__file__).with_name("job.py")
COMMAND = [sys.executable, str(ROOT / "keras_strategies_cli.py"), "launch"]
BACKEND = keras.backend.backend()

pytestmark = pytest.mark.skipif(BACKEND == "torch", reason="Keras has no engine for it")


def _environment():
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "KERAS_BACKEND": BACKEND,
        "CUDA_VISIBLE_DEVICES": "-1",
        "XLA_FLAGS": "",
    }


def _run(folder, workers, **settings):
    """A finished training: what it came to, and what its launcher printed."""
    folder.mkdir(exist_ok=True)
    text = json.dumps({"folder": str(folder), **settings})
    command = [sys.executable, str(JOB), text]
    if workers:
        command = [*COMMAND, "--workers", str(workers), str(JOB), text]
    done = subprocess.run(
        command, env=_environment(), capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((folder / "result.json").read_text()), done.stderr


def _assert_close(result, expected):
    for part in ("history", "evaluated"):
        assert result[part].keys() == expected[part].keys()
        for name, values in expected[part].items():
            np.testing.assert_allclose(result[part][name], values, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(result["predicted"], expected["predicted"], atol=1e-5)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return _run(tmp_path_factory.mktemp("alone"), 0)[0]


# One pair of processes in the quick run: two of JAX take ten seconds of a processor.
@pytest.mark.parametrize(
    "_", [pytest.param(0, marks=[] if BACKEND == "jax" else pytest.mark.slow)]
)
def test_two_processes_train_as_one(alone, tmp_path, _):
    result, _ = _run(tmp_path, 2)
    _assert_close(result, alone)
    model = keras.models.load_model(tmp_path / "model.keras")
    for loaded, weight in zip(model.get_weights(), result["weights"], strict=True):
        np.testing.assert_array_equal(loaded, np.asarray(weight, "float32"))


@pytest.mark.slow
def test_each_process_may_read_its_own_records(tmp_path):
    one, _ = _run(tmp_path / "one", 0, shards=True)
    two, _ = _run(tmp_path / "two", 2, shards=True)
    _assert_close(two, one)


@pytest.mark.slow
@pytest.mark.tensorflow
def test_two_processes_with_two_devices_each(alone, tmp_path):
    result, _ = _run(tmp_path, 2, devices=2)
    _assert_close(result, alone)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return _run(tmp_path_factory.mktemp("whole"), 2, kill=(-1, 0, ""))[0]


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_group_goes_on_as_if_nobody_had_been_killed(whole, tmp_path, rank):
    result, log = _run(tmp_path, 2, kill=(rank, 5, "kill"))
    assert "restarting the group (1 of 3)" in log
    assert result == whole


@pytest.mark.slow
def test_sigterm_saves_and_the_next_launch_goes_on(whole, tmp_path):
    text = json.dumps({"folder": str(tmp_path), "kill": (0, 4, "wait")})
    command = [*COMMAND, "--workers", "2", str(JOB), text]
    with subprocess.Popen(
        command, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        end = time.monotonic() + 200
        while not (tmp_path / "here").exists() and time.monotonic() < end:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        (tmp_path / "go").touch()
        log = process.communicate(timeout=200)[0].decode()
    assert process.returncode == 143, log
    assert list((tmp_path / "checkpoints").glob("checkpoint-*"))
    assert not (tmp_path / "result.json").exists()
    result, _ = _run(tmp_path, 2, kill=(-1, 0, ""))
    assert result == whole


class _Namespaces:
    """Two hosts with their own addresses, and a cable that can be cut."""

    ADDRESSES = ("10.231.7.1", "10.231.7.2")

    def __init__(self):
        tag = f"ks{os.getpid() % 10_000}"
        self.names = [f"{tag}a", f"{tag}b"]
        for name in self.names:
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        first, second = self.names
        _ip("link", "add", first, "netns", first, "type", "veth", "peer", "name",
            second, "netns", second)  # fmt: skip
        for name, address in zip(self.names, self.ADDRESSES, strict=True):
            _ip("-n", name, "address", "add", f"{address}/24", "dev", name)
            # Gloo, which JAX uses on processors, goes by the name of the host.
            file = pathlib.Path("/etc/netns", name, "hosts")
            file.parent.mkdir(parents=True)
            file.write_text(f"127.0.0.1 localhost\n{address} {socket.gethostname()}\n")
        self.connect("up")

    def connect(self, state):
        for name in self.names:
            _ip("-n", name, "link", "set", name, state)

    def remove(self):
        for name in self.names:
            subprocess.run(["ip", "netns", "delete", name], check=False)
            shutil.rmtree(pathlib.Path("/etc/netns", name), ignore_errors=True)


def _ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture
def namespaces():
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("network namespaces need root and iproute2")
    try:
        made = _Namespaces()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces here: {error.stderr.decode()}")
    yield made
    made.remove()


@pytest.mark.slow
def test_two_hosts_whose_link_is_cut(whole, tmp_path, namespaces):
    text = json.dumps({"folder": str(tmp_path), "kill": (1, 5, "wait")})
    processes = [
        subprocess.Popen(
            [
                "ip",
                "netns",
                "exec",
                name,
                *COMMAND,
                "--hosts",
                "10.231.7.1,10.231.7.2",
                "--host-index",
                str(index),
                "--heartbeat-timeout",
                "3",
                str(JOB),
                text,
            ],
            env=_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )  # fmt: skip
        for index, name in enumerate(namespaces.names)
    ]
    end = time.monotonic() + 200
    while not (tmp_path / "here").exists() and time.monotonic() < end:
        time.sleep(0.05)
    namespaces.connect("down")
    (tmp_path / "go").touch()
    time.sleep(6)
    namespaces.connect("up")
    logs = [process.communicate(timeout=400)[0] for process in processes]
    assert [p.returncode for p in processes] == [0, 0], logs
    assert "is lost" in logs[0] and "restarting the group" in logs[0]
    assert "joining it again" in logs[1]
    assert json.loads((tmp_path / "result.json").read_text()) == whole
