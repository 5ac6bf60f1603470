"""The processes of a group on one host: their start, logs, exits and end."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from keras_strategies._internal.processes import closed_pipe

_START = Path(__file__).with_name("_start.py")
_PRINTING = threading.Lock()


def exit_code(returncode: int) -> int:
    """Returns the exit code a shell reports: 128 + the number of a signal."""
    return 128 - returncode if returncode < 0 else returncode


class LocalProcesses:
    """Processes by rank, each the leader of a process group of its own.

    Their lines go to the launcher's own standard output and error, each behind its
    rank and whole: two processes never share a line.

    Args:
        command: What to run.
    """

    def __init__(self, command: Sequence[str]):
        self._command = list(command)
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._readers: list[threading.Thread] = []
        self._reported: set[int] = set()

    def start(self, environments: Mapping[int, Mapping[str, str]]) -> None:
        """Starts a process for each rank with what is set in its environment."""
        self._processes, self._readers, self._reported = {}, [], set()
        parent = str(os.getpid())
        for rank, variables in environments.items():
            process = subprocess.Popen(
                [sys.executable, str(_START), parent, *self._command],
                env={**os.environ, **variables},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                # A group of its own: Ctrl-C reaches the launcher alone, which ends the
                # processes in order, and `stop` can kill what they have started.
                start_new_session=True,
            )
            self._processes[rank] = process
            for stream, target in (
                (process.stdout, sys.stdout),
                (process.stderr, sys.stderr),
            ):
                reader = threading.Thread(
                    target=_copy_lines, args=(stream, target, rank), daemon=True
                )
                reader.start()
                self._readers.append(reader)

    @property
    def ranks(self) -> list[int]:
        """The ranks that are running."""
        return [r for r, p in self._processes.items() if p.poll() is None]

    def exits(self) -> list[tuple[int, int]]:
        """Returns `(rank, exit code)` of processes that ended since the last call."""
        found = []
        for rank, process in self._processes.items():
            if rank not in self._reported and process.poll() is not None:
                self._reported.add(rank)
                found.append((rank, exit_code(process.returncode)))
        return found

    def send_signal(self, number: int) -> None:
        """Sends a signal to the processes, and not to those that they started."""
        for process in self._processes.values():
            if process.poll() is None:
                process.send_signal(number)

    def stop(self, grace: float) -> None:
        """Ends all with SIGTERM, and with SIGKILL what runs `grace` seconds later."""
        self.send_signal(signal.SIGTERM)
        end = time.monotonic() + grace
        while self.ranks and time.monotonic() < end:
            time.sleep(0.02)
        for process in self._processes.values():
            # Also what they started: a data loader would keep ports and memory.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for reader in self._readers:
            reader.join(timeout=5)


def _copy_lines(stream: IO[bytes] | None, target: Any, rank: int) -> None:
    if stream is None:
        return
    with stream:
        for line in stream:
            text = line.decode(errors="replace").rstrip("\n")
            # A bar draws over itself: of what it drew on one line the last remains.
            text = text.rstrip("\r").rpartition("\r")[2]
            with _PRINTING:
                try:
                    target.write(f"[{rank}] {text}\n")
                    target.flush()
                except BrokenPipeError:
                    # Nobody reads the launcher's output any more. The training goes
                    # on, and its lines are read on, or it would wait for that.
                    closed_pipe.discard(target)
