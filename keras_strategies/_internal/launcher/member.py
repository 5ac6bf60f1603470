"""The launcher of any host but the first: it does what the first one says."""

import contextlib
import socket
import time
from typing import Any

from keras_strategies._internal.launcher.connection import Connection, ConnectionLost
from keras_strategies._internal.launcher.hosts import LocalHost
from keras_strategies._internal.launcher.outcome import Outcome, Round
from keras_strategies._internal.launcher.stop_requests import StopRequests
from keras_strategies._internal.launcher.supervisor import Limits, tell

_POLL = 0.05


class Refused(RuntimeError):
    """The first launcher does not take this one into its group."""


class Member:
    """Joins a group and runs its processes of this host.

    Args:
        local: Makes this host from the seed of the group.
        address: `(host, port)` of the first launcher.
        identity: What must be the same on all hosts, and the index of this one.
        limits: Times.
    """

    def __init__(
        self,
        local: Any,
        address: tuple[str, int],
        identity: dict[str, Any],
        limits: Limits,
    ):
        self._make, self._address = local, address
        self._identity, self._limits = identity, limits
        self._local: LocalHost | None = None
        self._rounds: list[Round] = []
        self._is_stopped = False

    def run(self) -> Outcome:
        """Runs until the group has ended."""
        code = self._run()
        first = self._identity["host_index"] * self._identity["workers"]
        ranks = range(first, first + self._identity["workers"])
        return Outcome(code, ranks, self._rounds)

    def _run(self) -> int:
        with StopRequests() as stop:
            while True:
                connection = self._connect(stop)
                if connection is None:
                    return 128 + (stop.number or 0)
                try:
                    return self._serve(connection, stop)
                except ConnectionLost as error:
                    tell(f"The first host is lost ({error}); joining it again.")
                finally:
                    # Without the first host nobody restarts them: a training of half a
                    # group would hang.
                    if self._local is not None:
                        self._local.stop(0.0)
                    connection.close()

    def _connect(self, stop):
        end = time.monotonic() + self._limits.join_timeout
        while stop.number is None:
            connection = None
            try:
                stream = socket.create_connection(self._address, timeout=2)
                connection = Connection(stream, self._limits.heartbeat_timeout)
                connection.send(kind="hello", **self._identity)
                answer = None
                while answer is None and stop.number is None:
                    # The first host answers when its group has stopped.
                    answer = connection.receive(0.2)
                if answer is not None and answer["kind"] == "refused":
                    connection.close()
                    raise Refused(answer["reason"])
                if answer is not None:
                    self._local = self._make(answer["seed"])
                    return connection
            except OSError as error:  # also ConnectionLost
                if connection is not None:
                    connection.close()
                if time.monotonic() > end:
                    host = "{}:{}".format(*self._address)
                    raise Refused(f"{host} cannot be reached ({error})") from error
                time.sleep(0.2)
        return None

    def _serve(self, connection, stop) -> int:
        told = False
        leaves_at = None
        while True:
            if stop.number is not None and not told:
                connection.send(kind="leaving")
                told, leaves_at = True, time.monotonic() + self._limits.grace_period
            for rank, code in self._local.exits():
                self._note(rank, code)
                connection.send(kind="exit", rank=rank, code=code)
            message = connection.receive(_POLL)
            if message is not None:
                code = self._obey(connection, message)
                if code is not None:
                    return code
                if told and message["kind"] == "stop":
                    return 128 + stop.number
            if leaves_at is not None and time.monotonic() > leaves_at:
                return 128 + stop.number

    def _note(self, rank, code):
        """Keeps the exit code of a process that the launcher has not ended."""
        result = self._rounds[-1]
        if self._is_stopped:
            return
        result.codes[rank] = code
        if code and result.failure is None:
            result.failure = code
            result.reason = f"rank {rank} ended with exit code {code}"

    def _obey(self, connection, message) -> int | None:
        local = self._local
        kind = message["kind"]
        if kind == "prepare":
            connection.send(kind="ports", ports=local.prepare())
        elif kind == "start":
            self._rounds.append(Round())
            self._is_stopped = False
            local.start(message["addresses"], int(message["restarts"]))
        elif kind == "signal":
            local.send_signal(int(message["number"]))
        elif kind == "stop":
            self._is_stopped = True
            local.stop(float(message["grace"]))
            with contextlib.suppress(ConnectionLost):
                connection.send(kind="stopped")
        elif kind == "finish":
            return int(message["code"])
        return None
