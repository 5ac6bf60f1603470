"""The launcher with scripts that need no Keras."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from keras_strategies._internal.launcher import environment, hosts
from keras_strategies._internal.launcher.group import Group, current_group
from keras_strategies.training import distributed

ROOT = pathlib.Path(__file__).parents[2]
COMMAND = [sys.executable, str(ROOT / "keras_strategies_cli.py"), "launch"]


@pytest.fixture
def script(tmp_path):
    def write(text):
        path = tmp_path / "script.py"
        path.write_text(
            "import os, signal, sys, time\n"
            "rank = int(os.environ['KERAS_STRATEGIES_GROUP_RANK'])\n"
            "restarts = int(os.environ['KERAS_STRATEGIES_GROUP_RESTARTS'])\n" + text
        )
        return path

    return write


def _launch(path, *arguments, **options):
    return distributed.launch(path, arguments, engine="jax", **options)


def test_lines_come_behind_their_rank(script, capfd):
    path = script(
        "print('bar 1\\rbar 2', sys.argv[1]); print('\\u00e9', file=sys.stderr)\n"
    )
    assert _launch(path, "x y", workers=3) == 0
    out, err = capfd.readouterr()
    assert sorted(out.splitlines()) == [f"[{rank}] bar 2 x y" for rank in range(3)]
    assert sorted(err.splitlines()) == [f"[{rank}] é" for rank in range(3)]


def test_one_that_fails_ends_the_others_and_all_start_again(script, capfd):
    path = script(
        "if restarts < 2:\n"
        "    if rank == 1: os._exit(7)\n"
        "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "    time.sleep(1000)\n"
        "print(restarts)\n"
    )
    assert _launch(path, workers=2) == 0
    out, err = capfd.readouterr()
    assert sorted(out.split()) == ["2", "2", "[0]", "[1]"]
    assert err.count("rank 1 ended with exit code 7; restarting the group") == 2


@pytest.mark.parametrize(
    "action, code",
    [("sys.exit(9)", 9), ("os.kill(os.getpid(), signal.SIGKILL)", 137)],
)
def test_exit_code_is_that_of_the_script(script, action, code):
    path = script(f"if rank == 1: {action}\ntime.sleep(1000)\n")
    assert _launch(path, workers=2, max_restarts=0) == code


def _started(path, *options):
    return subprocess.Popen(
        [*COMMAND, "--engine", "jax", "--workers", "2", *options, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_sigterm_reaches_the_processes_and_nothing_restarts(script):
    path = script(
        "def end(*_): print('saved'); sys.exit(3 if rank == 0 else 0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "print('ready')\n"
        "time.sleep(1000)\n"
    )
    with _started(path) as process:
        for _ in range(2):
            assert "ready" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
    assert process.returncode == 3
    assert rest.count("saved") == 2


def test_the_chief_that_has_saved_is_not_waited_for(script):
    path = script(
        "signal.signal(signal.SIGTERM, (lambda *_: sys.exit(0)) if rank == 0"
        " else signal.SIG_IGN)\n"
        "print('ready')\n"
        "time.sleep(1000)\n"
    )
    with _started(path, "--grace-period", "500") as process:
        for _ in range(2):
            assert "ready" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 0


def test_json_is_all_of_standard_output(script):
    path = script(
        "print('a line')\n"
        "if rank == 1: time.sleep(0.3); sys.exit(7 if restarts == 0 else 0)\n"
        "time.sleep(1000 if restarts == 0 else 0)\n"
    )
    command = [*COMMAND, "--engine", "jax", "--workers", "2", "--json", str(path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0
    assert json.loads(done.stdout) == {
        "exit_code": 0,
        "starts": [
            {
                "exit_codes": {"0": None, "1": 7},
                "failure": "rank 1 ended with exit code 7",
            },
            {"exit_codes": {"0": 0, "1": 0}, "failure": None},
        ],
    }
    assert done.stderr.count("a line") == 4


def test_a_reader_that_left_does_not_end_the_training(script, tmp_path):
    path = script(
        "if rank: time.sleep(1000)\n"
        "for i in range(30_000): print('line', i)\n"
        f"open({str(tmp_path / 'done')!r}, 'w').close()\n"
        "sys.exit(5)\n"
    )
    with _started(path, "--max-restarts", "0") as process:
        process.stdout.readline()
        process.stdout.close()
    assert process.returncode == 5
    assert (tmp_path / "done").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux does it")
def test_a_launcher_that_is_killed_leaves_nothing(script):
    path = script("print(os.getpid())\ntime.sleep(1000)\n")
    with _started(path) as process:
        pids = [int(process.stdout.readline().split()[1]) for _ in range(2)]
        process.kill()
    end = time.monotonic() + 10
    while any(_runs(pid) for pid in pids) and time.monotonic() < end:
        time.sleep(0.02)
    assert not any(_runs(pid) for pid in pids)


def _runs(pid):
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
    except OSError:
        return False
    return state.split()[0] != "Z"


def _free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def _two_hosts(path, **options):
    """Two launchers, as on two hosts, with their exit codes."""
    names, port, codes = ["127.0.0.1", "127.0.0.2"], _free_port(), {}

    def member(index):
        codes[index] = _launch(
            path, hosts=names, host_index=index, workers=2, port=port, **options
        )

    threads = [threading.Thread(target=member, args=(index,)) for index in (1, 0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return codes


def test_two_hosts_start_fail_and_restart_together(script, capfd):
    path = script(
        "print(os.environ['KERAS_STRATEGIES_GROUP_SEED'],"
        " os.environ['JAX_COORDINATOR_ADDRESS'].split(':')[0])\n"
        "if restarts == 0:\n"
        "    if rank == 3: sys.exit(4)\n"
        "    time.sleep(1000)\n"
    )
    assert _two_hosts(path) == {0: 0, 1: 0}
    out, err = capfd.readouterr()
    assert {line.split()[0] for line in out.splitlines()} == {
        f"[{rank}]" for rank in range(4)
    }
    assert len({tuple(line.split()[1:]) for line in out.splitlines()}) == 1
    assert "rank 3 ended with exit code 4; restarting" in err


def test_a_host_with_another_command_is_refused(script, tmp_path):
    path = script("time.sleep(0)\n")
    other = tmp_path / "other.py"
    other.write_text("")
    names, port, errors = ["127.0.0.1", "127.0.0.2"], _free_port(), []

    def member():
        try:
            _launch(other, hosts=names, host_index=1, port=port)
        except RuntimeError as error:
            errors.append(str(error))

    thread = threading.Thread(target=member)
    thread.start()
    assert _launch(path, hosts=names, host_index=0, port=port, join_timeout=1.5) == 1
    thread.join()
    assert "command must be" in errors[0]


def test_environment_of_each_engine():
    addresses = ("10.0.0.1:5", "10.0.0.2:6")
    group = Group(1, 2, 0, "tensorflow", addresses, 3, 99)
    values = environment.worker_environment(group, 1)
    assert json.loads(values["TF_CONFIG"]) == {
        "cluster": {"worker": list(addresses)},
        "task": {"type": "worker", "index": 1},
    }
    assert current_group(values) == group
    group = Group(1, 2, 0, "jax", addresses, 0, 99)
    values = environment.worker_environment(group, 1)
    assert values["KERAS_DISTRIBUTION_JOB_ADDRESSES"] == "10.0.0.1:5"
    assert values["KERAS_DISTRIBUTION_PROCESS_ID"] == "1"
    assert values["KERAS_DISTRIBUTION_NUM_PROCESSES"] == "2"
    assert current_group({}) is None


def test_accelerators_are_shared_out():
    devices = environment.visible_devices({"CUDA_VISIBLE_DEVICES": "4, 5,6,7"})
    assert environment.share_of(devices, 1, 2) == ["6", "7"]
    assert environment.share_of([], 0, 2) is None
    assert environment.visible_devices({"CUDA_VISIBLE_DEVICES": "-1"}) == []
    with pytest.raises(ValueError, match="divide the accelerators"):
        environment.share_of(devices, 0, 3)


def test_engine_is_the_backend():
    assert environment.resolve_engine("auto", {"KERAS_BACKEND": "jax"}) == "jax"
    with pytest.raises(ValueError, match="torchrun"):
        environment.resolve_engine("auto", {"KERAS_BACKEND": "torch"})


def test_which_host_this_is():
    names = ["a", "b", "c"]
    assert hosts.find_host_index(names, {"JOB_COMPLETION_INDEX": "2"}) == 2
    assert hosts.find_host_index(names, {}, lambda name: name == "b") == 1
    with pytest.raises(ValueError, match="host_index"):
        hosts.find_host_index(names, {}, lambda name: True)
    assert hosts.is_own_address("127.0.0.1")
    assert not hosts.is_own_address("192.0.2.1")


@pytest.mark.parametrize(
    "options, text",
    [
        ({"workers": 0}, "workers"),
        ({"engine": "torch"}, "engine"),
        ({"hosts": "a,b"}, "list of addresses"),
        ({"hosts": ["a", "a"]}, "differ"),
        ({"max_restarts": -1}, "max_restarts"),
    ],
)
def test_bad_arguments_are_refused(script, options, text):
    with pytest.raises(ValueError, match=text):
        distributed.launch(script(""), **{"engine": "jax", **options})
    with pytest.raises(FileNotFoundError, match="script"):
        distributed.launch("nowhere.py")


def test_position_without_a_group():
    assert distributed.rank() == 0
    assert distributed.world_size() == 1
    assert distributed.is_chief()
