"""The worker process as such, with small stand-ins that start at once."""

import os
import subprocess
import sys
import textwrap
import time

import pytest

from keras_strategies.export import ExportError
from keras_strategies.export._worker import (
    converter_client,
    converter_worker,
    environment,
    sandbox,
)

ECHO = """
import json, os, signal, sys, time
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    command = request["command"]
    if command == "echo":
        reply = {"id": request["id"], "result": request["arguments"]}
    elif command == "grow":
        reply = {"id": request["id"], "result": {}, "memory": 2**40}
    elif command == "fail":
        reply = {"id": request["id"], "error": {"type": "KeyError", "message": "no"}}
    elif command == "die":
        print("the reason", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)
    elif command == "vanish":
        os.kill(os.getpid(), signal.SIGKILL)
    elif command == "leave":
        sys.exit(3)
    elif command == "hang":
        time.sleep(60)
    elif command == "babble":
        print("not json", flush=True)
        continue
    print(json.dumps(reply), flush=True)
"""


@pytest.fixture
def worker():
    worker = converter_client.ConverterClient([sys.executable, "-c", ECHO])
    yield worker
    worker.stop()


def _ask(worker, command, time_limit=10.0, **arguments):
    return worker.request(
        command,
        arguments,
        time_limit=time_limit,
        action="converting",
        hint="Try float16.",
    )


def _gone(pid):
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def test_started_once_and_reused(worker):
    assert worker.pid is None
    assert _ask(worker, "echo", value=1) == {"value": 1}
    pid = worker.pid
    assert _ask(worker, "echo", value="ä\n") == {"value": "ä\n"}
    assert worker.pid == pid


def test_exception_inside_leaves_it_alive(worker):
    _ask(worker, "echo")
    pid = worker.pid
    with pytest.raises(converter_client.WorkerError, match="KeyError: no"):
        _ask(worker, "fail")
    assert worker.pid == pid


@pytest.mark.parametrize(
    ("command", "match"),
    [
        ("die", r"died \(SIGSEGV\) while converting\. Try float16\..*the reason"),
        ("vanish", r"died \(SIGKILL\) while converting\. .* the last of its memory"),
        ("leave", r"died \(exit code 3\)"),
        ("babble", "answered b'not json'"),
    ],
)
def test_death_is_a_named_error_and_the_next_request_works(worker, command, match):
    with pytest.raises(ExportError, match=match) as caught:
        _ask(worker, command)
    assert caught.value.reason == "crash"
    assert worker.pid is None
    assert _ask(worker, "echo", value=2) == {"value": 2}


def test_hang_is_ended_at_the_time_limit(worker):
    _ask(worker, "echo")
    pid, start = worker.pid, time.monotonic()
    with pytest.raises(ExportError, match="longer than 0.3 s") as caught:
        _ask(worker, "hang", time_limit=0.3)
    assert caught.value.reason == "timeout"
    assert time.monotonic() - start < 5
    assert _gone(pid)
    assert _ask(worker, "echo") == {}


def test_killed_while_idle_is_started_again(worker):
    _ask(worker, "echo")
    pid = worker.pid
    os.kill(pid, 9)
    worker._process.wait()
    assert _ask(worker, "echo", value=3) == {"value": 3}
    assert worker.pid != pid


def test_that_cannot_start_says_why():
    worker = converter_client.ConverterClient(
        [sys.executable, "-c", "raise SystemExit('no library')"]
    )
    with pytest.raises(ExportError, match="exit code 1.*starting.*no library"):
        _ask(worker, "echo")


def test_stop_ends_the_process(worker):
    _ask(worker, "echo")
    pid = worker.pid
    worker.stop()
    worker.stop()
    assert _gone(pid)


def test_a_fork_does_not_use_its_parents_worker(worker):
    _ask(worker, "echo")
    owner, worker._owner = worker._owner, -1  # what a forked child sees
    assert worker.pid is None
    process = worker._process
    assert _ask(worker, "echo", value=4) == {"value": 4}
    worker._owner = owner
    os.kill(process.pid, 0)  # still alive: it is another process's
    os.kill(process.pid, 9)
    os.waitpid(process.pid, 0)


@pytest.mark.slow
def test_a_file_beside_the_script_replaces_no_module(tmp_path):
    """JAX, which TensorFlow imports, looks for a module `compression`."""
    (tmp_path / "compression.py").write_text(
        "import sys\n"
        "if 'worker' in sys.argv[0]:\n"
        "    raise RuntimeError('the wrong module')\n"
    )
    script = tmp_path / "script.py"
    script.write_text(
        "from keras_strategies.export._worker import converter_client\n"
        "client = converter_client.shared_client()\n"
        "client.start()\n"
        "print(client.request('convert._conversion.find_loops', {'artifact': '-'},\n"
        "                     time_limit=60, action='testing'))\n"
    )
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, str(script)],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    # The request itself fails, in a worker that has started.
    assert "WorkerError" in done.stderr and "No such file" in done.stderr


def test_the_environment_of_the_worker(monkeypatch):
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    variables = converter_client._environment()
    assert variables["KERAS_BACKEND"] == "tensorflow"
    assert variables["CUDA_VISIBLE_DEVICES"] == "-1"
    assert "TF_USE_LEGACY_KERAS" not in variables


def test_the_folder_of_the_script_comes_last(monkeypatch):
    monkeypatch.setattr(sys, "path", ["", "/of/packages"])
    variables = environment.subprocess_environment()
    if sys.flags.safe_path:
        assert variables["PYTHONPATH"] == f"{os.getcwd()}{os.pathsep}/of/packages"
    else:
        assert variables["PYTHONPATH"] == "/of/packages"
        assert variables[environment.LAST_FOLDER] == os.getcwd()


def test_the_worker_module_serves_and_ends_with_its_parent(tmp_path):
    """The real module with stand-in commands; its parent is killed."""
    script = tmp_path / "parent.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, subprocess, sys
            code = (
                "import sys, os, threading, time\\n"
                "from importlib.util import spec_from_file_location as find\\n"
                "from importlib.util import module_from_spec as make\\n"
                "spec = find('worker', sys.argv.pop(1)); w = make(spec)\\n"
                "spec.loader.exec_module(w)\\n"
                "watch, args = w._exit_with_parent, (int(sys.argv[1]),)\\n"
                "threading.Thread(target=watch, args=args).start()\\n"
                "print('up', flush=True); time.sleep(60)\\n"
            )
            child = subprocess.Popen(
                [sys.executable, "-c", code, sys.argv[1], str(os.getpid())],
                stdout=subprocess.PIPE, start_new_session=True,
            )
            child.stdout.readline()
            print(child.pid, flush=True)
            os.kill(os.getpid(), 9)
            """
        )
    )
    worker = os.path.join(
        os.path.dirname(converter_client.__file__), "converter_worker.py"
    )
    done = subprocess.run(
        [sys.executable, str(script), worker], capture_output=True, text=True
    )
    assert done.returncode == -9
    assert _gone(int(done.stdout))


def test_a_worker_that_holds_too_much_memory_is_replaced(worker):
    assert _ask(worker, "echo", a=1) == {"a": 1}
    pid = worker.pid
    assert _ask(worker, "grow") == {}
    assert worker.pid is None and _gone(pid)
    assert _ask(worker, "echo", a=2) == {"a": 2}
    assert worker.pid != pid


def test_the_worker_reports_what_it_holds_not_what_it_once_memory_in_use():
    """The most it once held would be its parent's, on Linux."""
    block = bytearray(os.urandom(1) * 2**28)
    with_block = converter_worker._memory_in_use()
    del block
    assert converter_worker._memory_in_use() < with_block - 2**27


TERMINATED = """
import os, pathlib, signal, sys, time
os.environ["TMPDIR"] = sys.argv[1]
import keras
from keras_strategies import export
from keras_strategies.export.convert import _trace

write = _trace.write_saved_model

def write_and_end(*arguments, **settings):
    write(*arguments, **settings)
    assert list(pathlib.Path(sys.argv[1]).rglob("saved_model.pb"))
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)

_trace.write_saved_model = write_and_end
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
export.to_tflite(model, sys.argv[2])
"""


@pytest.mark.tensorflow
def test_an_ended_export_leaves_no_files(tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    arguments = [
        sys.executable,
        "-c",
        TERMINATED,
        str(scratch),
        str(tmp_path / "m.tflite"),
    ]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300)
    assert done.returncode == -15, done.stderr
    # Autograph's own files are not ours to remove.
    for _ in range(1200):
        if not list(scratch.glob("keras_strategies_*")):
            break
        time.sleep(0.1)
    assert not list(scratch.glob("keras_strategies_*"))
    assert not list(scratch.rglob("saved_model.pb"))


@pytest.mark.parametrize(
    ("code", "reason", "match"),
    [
        ("import os; os.kill(os.getpid(), 9)", "crash", "last of the memory"),
        ("raise MemoryError", "crash", "last of the memory"),
        ("import os; os.kill(os.getpid(), 11)", "load", "SIGSEGV.*damaged"),
        ("raise ValueError('no')", "run", "failed: ValueError: no"),
    ],
)
def test_a_child_without_memory_is_no_damaged_file(
    code, reason, match, tmp_path, monkeypatch
):
    script = tmp_path / "child.py"
    script.write_text(code)
    monkeypatch.setattr(sandbox, "_SCRIPT", script)
    with pytest.raises(ExportError, match=match) as caught:
        sandbox.probe(b"", "model.tflite")
    assert caught.value.reason == reason
