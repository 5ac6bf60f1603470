"""Client of the worker process: starts it once, sends requests, survives its death."""

import atexit
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from keras_strategies._internal.processes.process_exit import signal_name
from keras_strategies.export._common import ExportError
from keras_strategies.export._worker.environment import subprocess_environment

START_TIME_LIMIT = 300.0
# Bytes of the worker's error output that an error message quotes.
_STDERR_TAIL = 2000
# The converter keeps memory of every model. A worker that uses more is ended after
# its reply, and the next request starts another.
MEMORY_LIMIT = 4 * 2**30


def _environment():
    """The worker's environment: TensorFlow backend, no GPU, this process's path."""
    inherited = subprocess_environment()
    inherited.pop("TF_USE_LEGACY_KERAS", None)
    return inherited | {
        "KERAS_BACKEND": "tensorflow",
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }


class WorkerError(Exception):
    """An exception inside the worker, which lives on."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message


class ConverterClient:
    """A process that answers JSON lines; started when first needed, then reused.

    Args:
        command: The command line, to which the parent's process id and its workspace
            are added. Defaults to the converter worker.
    """

    def __init__(self, command: Sequence[str] | None = None) -> None:
        # By its path, so that it watches its parent before it imports Keras.
        script = pathlib.Path(__file__).with_name("converter_worker.py")
        # -P: a file in the current folder must not replace a module.
        self._command = command or [sys.executable, "-P", str(script)]
        # One request at a time; `request` calls `start` and `stop` inside the lock.
        self._lock = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner: int | None = None
        self._ready = False
        self._buffer = b""
        self._stderr: Any = None
        self._request_id = 0
        self._workspace: tuple[int, str] | None = None

    def workspace(self) -> str:
        """Returns a temporary folder for the files of this process's exports.

        The worker removes it when this process is gone, however that ended: SIGTERM
        and SIGKILL leave no time to do it here.
        """
        with self._lock:
            owner, folder = self._workspace or (None, "")
            # After a fork the folder belongs to the parent; cleaners may remove it.
            if owner != os.getpid() or not os.path.isdir(folder):
                folder = tempfile.mkdtemp(prefix="keras_strategies_")
                self._workspace = os.getpid(), folder
            return folder

    def close(self) -> None:
        """Ends the process and removes the workspace."""
        self.stop()
        workspace, self._workspace = self._workspace, None
        if workspace is not None and workspace[0] == os.getpid():
            shutil.rmtree(workspace[1], ignore_errors=True)

    @property
    def pid(self) -> int | None:
        """Process id of the running worker, or `None`."""
        return self._process.pid if self._is_alive() else None

    def _is_alive(self):
        # After a fork the process belongs to the parent.
        is_ours = self._process is not None and self._owner == os.getpid()
        return is_ours and self._process.poll() is None

    def start(self) -> None:
        """Starts the process if none is running; does not wait until it is ready."""
        with self._lock:
            if self._is_alive():
                return
            self.stop()
            self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  (lives with us)
            self._process = subprocess.Popen(
                [*self._command, str(os.getpid()), self.workspace()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                env=_environment(),
                start_new_session=True,  # Ctrl-C is ours to handle
            )
            self._owner, self._ready, self._buffer = os.getpid(), False, b""

    def stop(self) -> None:
        """Ends the process; the next request starts another."""
        with self._lock:
            process, self._process = self._process, None
            stderr, self._stderr = self._stderr, None
            if stderr is not None:
                stderr.close()
            if process is None:
                return
            if self._owner == os.getpid():
                process.kill()
                process.wait()
            else:
                process.returncode = 0  # a forked parent's: only drop the object
            process.stdin.close()
            process.stdout.close()

    def request(
        self,
        command: str,
        arguments: Mapping[str, Any],
        *,
        time_limit: float,
        action: str,
        hint: str = "",
    ) -> Any:
        """Returns the result of `command(**arguments)` in the worker.

        Args:
            command: Name of the command, `"room.module.function"` of this package.
            arguments: JSON-ready dict.
            time_limit: Seconds, not counting the start of the process.
            action: What the worker does, for messages: "converting to int8".
            hint: The way out if it dies.

        Raises:
            ExportError: reason `"crash"` or `"timeout"`; the process is then gone.
            WorkerError: The command raised.
        """
        with self._lock:
            self.start()
            try:
                if not self._ready:
                    deadline = time.monotonic() + START_TIME_LIMIT
                    self._read_reply(deadline, START_TIME_LIMIT, "starting", "")
                    self._ready = True
                # Bounded: the file offset is shared with the worker, which is idle.
                os.ftruncate(self._stderr.fileno(), 0)
                os.lseek(self._stderr.fileno(), 0, os.SEEK_SET)
                self._request_id += 1
                fields = {"id": self._request_id, "time_limit": time_limit}
                fields |= {"command": command, "arguments": arguments}
                self._send(fields, action, hint)
                deadline = time.monotonic() + time_limit
                reply = self._read_reply(deadline, time_limit, action, hint)
            except BaseException:  # its state is unknown, also after Ctrl-C
                self.stop()
                raise
            if reply.get("memory", 0) > MEMORY_LIMIT:
                self.stop()
        if "error" in reply:
            raise WorkerError(reply["error"]["type"], reply["error"]["message"])
        return reply["result"]

    def _send(self, request, action, hint):
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self._raise_death(action, hint)

    def _read_reply(self, deadline, time_limit, action, hint):
        """Reads the next line; anything but a reply of ours ends the worker."""
        stream = self._process.stdout.fileno()
        # `select` and `os.read` instead of `readline`, which has no time limit.
        while b"\n" not in self._buffer:
            seconds = deadline - time.monotonic()
            if seconds <= 0 or not select.select([stream], [], [], seconds)[0]:
                message = (
                    f"The conversion worker took longer than {time_limit:g} s while "
                    f"{action} and was ended. Pass a larger `time_limit`, fewer "
                    "samples, or a smaller model."
                )
                raise ExportError(message, "timeout", {"time_limit": time_limit})
            block = os.read(stream, 65536)
            if not block:
                self._raise_death(action, hint)
            self._buffer += block
        line, self._buffer = self._buffer.split(b"\n", 1)
        try:
            return json.loads(line)
        except ValueError as error:
            message = f"The conversion worker answered {line[:100]!r} while {action}."
            raise ExportError(message, "crash") from error

    def _raise_death(self, action, hint):
        code = self._process.wait()
        cause = signal_name(code) if code < 0 else f"exit code {code}"
        if code == -signal.SIGKILL:
            hint = (
                "That is how the system ends what takes the last of its memory: use a "
                "machine with more, close other programs, or export parts of the model."
            )
        tail = self._stderr_tail()
        message = f"The conversion worker died ({cause}) while {action}."
        message += f" {hint}" if hint else ""
        message += f" Its last words: {tail}" if tail else ""
        raise ExportError(message, "crash", {"returncode": code, "stderr": tail})

    def _stderr_tail(self):
        number = self._stderr.fileno()
        start = max(0, os.fstat(number).st_size - _STDERR_TAIL)
        text = os.pread(number, _STDERR_TAIL, start)
        return text.decode(errors="replace").strip()


_shared: ConverterClient | None = None


def shared_client() -> ConverterClient:
    """Returns the one client of this process; its worker ends with the process."""
    global _shared
    if _shared is None:
        _shared = ConverterClient()
        atexit.register(_shared.close)
    return _shared
