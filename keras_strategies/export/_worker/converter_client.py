"""The parent's side of the worker process: start once, ask, survive its death."""

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time

from keras_strategies._internal.signals import signal_name
from keras_strategies.export._common.export_error import ExportError

START_TIMEOUT = 300.0
_STDERR_KEPT = 2000
# The converter keeps memory of every model. A worker that holds more is ended after
# its reply, and the next request starts another.
HELD_AT_MOST = 4 * 2**30


def _environment():
    """The worker's environment: TensorFlow backend, no GPU, this process's path."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONWARNINGS", "TF_USE_LEGACY_KERAS")
    }
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    return kept | {
        "PYTHONPATH": path,
        "KERAS_BACKEND": "tensorflow",
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }


class WorkerError(Exception):
    """An exception inside the worker, which lives on."""

    def __init__(self, kind, message):
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message


class Worker:
    """A process that answers JSON lines; started when first needed, then reused.

    Args:
        command: The command line, without the parent's process id that is added.
            Defaults to the export worker.
    """

    def __init__(self, command=None):
        default = [
            sys.executable,
            "-P",
            "-m",
            "keras_strategies.export._worker.converter_worker",
        ]
        self._command = command or default
        self._lock = threading.RLock()
        self._process = None
        self._owner = None
        self._ready = False
        self._buffer = b""
        self._stderr = None
        self._number = 0

    @property
    def pid(self):
        """Process id of the running worker, or None."""
        return self._process.pid if self._alive() else None

    def _alive(self):
        # After a fork the process belongs to the parent.
        mine = self._process is not None and self._owner == os.getpid()
        return mine and self._process.poll() is None

    def start(self):
        """Starts the process if none is running; does not wait until it is ready."""
        with self._lock:
            if self._alive():
                return
            self.stop()
            self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  (lives with us)
            self._process = subprocess.Popen(
                [*self._command, str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                env=_environment(),
                start_new_session=True,  # Ctrl-C is ours to handle
            )
            self._owner, self._ready, self._buffer = os.getpid(), False, b""

    def stop(self):
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
                process.returncode = 0  # not ours: only forget it
            process.stdin.close()
            process.stdout.close()

    def request(self, command, arguments, *, timeout, doing, hint=""):
        """Returns the result of `command(**arguments)` in the worker.

        Args:
            command: Name of the command.
            arguments: JSON-ready dict.
            timeout: Seconds, not counting the start of the process.
            doing: What the worker does, for messages: "converting to int8".
            hint: The way out if it dies.

        Raises:
            ExportError: reason `"crash"` or `"timeout"`; the process is then gone.
            WorkerError: The command raised.
        """
        with self._lock:
            self.start()
            try:
                if not self._ready:
                    limit = time.monotonic() + START_TIMEOUT
                    self._reply(limit, START_TIMEOUT, "starting", "")
                    self._ready = True
                # Bounded: the file offset is shared with the worker, which is idle.
                os.ftruncate(self._stderr.fileno(), 0)
                os.lseek(self._stderr.fileno(), 0, os.SEEK_SET)
                self._number += 1
                fields = {"id": self._number, "timeout": timeout}
                fields |= {"command": command, "arguments": arguments}
                self._send(fields, doing, hint)
                limit = time.monotonic() + timeout
                reply = self._reply(limit, timeout, doing, hint)
            except BaseException:  # its state is unknown, also after Ctrl-C
                self.stop()
                raise
            if reply.get("held", 0) > HELD_AT_MOST:
                self.stop()
        if "error" in reply:
            raise WorkerError(reply["error"]["type"], reply["error"]["message"])
        return reply["result"]

    def _send(self, request, doing, hint):
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self._died(doing, hint)

    def _reply(self, limit, timeout, doing, hint):
        """Reads the next line; what is no reply of ours ends the worker."""
        stream = self._process.stdout.fileno()
        while b"\n" not in self._buffer:
            left = limit - time.monotonic()
            if left <= 0 or not select.select([stream], [], [], left)[0]:
                message = (
                    f"The conversion worker took longer than {timeout:g} s while "
                    f"{doing} and was ended. Pass a larger `timeout`, fewer samples, "
                    "or a smaller model."
                )
                raise ExportError(message, "timeout", {"timeout": timeout})
            block = os.read(stream, 65536)
            if not block:
                self._died(doing, hint)
            self._buffer += block
        line, self._buffer = self._buffer.split(b"\n", 1)
        try:
            return json.loads(line)
        except ValueError as error:
            message = f"The conversion worker answered {line[:100]!r} while {doing}."
            raise ExportError(message, "crash") from error

    def _died(self, doing, hint):
        code = self._process.wait()
        how = signal_name(code) if code < 0 else f"exit code {code}"
        if code == -signal.SIGKILL:
            hint = (
                "That is how the system ends what takes the last of its memory: use a "
                "machine with more, close other programs, or export parts of the model."
            )
        tail = self._last_words()
        message = f"The conversion worker died ({how}) while {doing}."
        message += f" {hint}" if hint else ""
        message += f" Its last words: {tail}" if tail else ""
        raise ExportError(message, "crash", {"returncode": code, "stderr": tail})

    def _last_words(self):
        number = self._stderr.fileno()
        start = max(0, os.fstat(number).st_size - _STDERR_KEPT)
        text = os.pread(number, _STDERR_KEPT, start)
        return text.decode(errors="replace").strip()


_shared = None


def shared_worker():
    """Returns the one worker of this process; it ends with the process."""
    global _shared
    if _shared is None:
        _shared = Worker()
        atexit.register(_shared.stop)
    return _shared
