"""The first launcher of a group: rounds of the whole group, until one succeeds."""

import contextlib
import signal
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from keras_strategies._internal.launcher.connection import Connection, ConnectionLost
from keras_strategies._internal.launcher.hosts import LocalHost, RemoteHost, joined
from keras_strategies._internal.launcher.outcome import Outcome, Round
from keras_strategies._internal.launcher.stop_requests import StopRequests

_POLL = 0.05
# Survivors of a group that broke wait for each other: nothing of theirs is to be saved.
_END_OF_SURVIVORS = 2.0


@dataclass(frozen=True)
class Limits:
    """Seconds that things may take, and how many restarts there may be.

    Attributes:
        max_restarts: Restarts of the group.
        join_timeout: Until all hosts have joined.
        heartbeat_timeout: Of silence of a host.
        grace_period: From SIGTERM to SIGKILL.
    """

    max_restarts: int = 3
    join_timeout: float = 300.0
    heartbeat_timeout: float = 10.0
    grace_period: float = 30.0


def tell(text: str) -> None:
    """Prints a line of the launcher itself."""
    sys.stderr.write(f"[launch] {text}\n")
    sys.stderr.flush()


class NotJoined(RuntimeError):
    """A host has not joined in time."""


class Supervisor:
    """Starts the group, watches it, ends survivors and starts it again as a whole.

    Args:
        hosts: Address of each host; this is the first.
        workers: Processes of each host.
        local: This host.
        port: Port at which the launchers of the others join, of this host's address.
        limits: Times and restarts.
    """

    def __init__(
        self,
        hosts: Sequence[str],
        workers: int,
        local: LocalHost,
        port: int,
        limits: Limits,
        identity: dict[str, Any],
    ):
        self._hosts, self._workers, self._local = list(hosts), workers, local
        self._limits, self._identity = limits, identity
        self._others: dict[int, RemoteHost] = {}
        self._rounds: list[Round] = []
        self._server: socket.socket | None = None
        if len(self._hosts) > 1:
            self._server = socket.create_server((self._hosts[0], port), backlog=64)
            self._server.setblocking(False)

    def run(self) -> Outcome:
        """Runs the group to its end."""
        code, restarts, counted = 1, 0, 0
        with StopRequests() as stop:
            while True:
                try:
                    result = self._round(restarts, stop)
                except NotJoined as error:
                    tell(f"{error}: ending.")
                    break
                if stop.number is not None:
                    code = _code_after_signal(result, stop.number)
                    break
                if result.failure is None:
                    code = 0
                    break
                counted += 0 if result.is_free else 1
                if counted > self._limits.max_restarts:
                    tell(f"{result.reason}; no restart is left: ending.")
                    code = result.failure
                    break
                restarts += 1
                tell(
                    f"{result.reason}; restarting the group "
                    f"({counted} of {self._limits.max_restarts})."
                )
            self._finish(code)
        ranks = range(len(self._hosts) * self._workers)
        return Outcome(code, ranks, self._rounds)

    def _round(self, restarts, stop) -> Round:
        result = Round()
        try:
            self._join(stop)
            if stop.number is not None:
                return result
            addresses = self._addresses()
            self._rounds.append(result)
            for index, host in enumerate(self._all()):
                with self._host(index):
                    host.start(addresses, restarts)
            self._watch(result, len(addresses), stop)
        except ConnectionLost as error:
            result.failure = result.failure or 1
            result.reason = result.reason or str(error)
        finally:
            self._stop_all(_END_OF_SURVIVORS if stop.number is None else 0.0)
        return result

    def _all(self) -> list[LocalHost | RemoteHost]:
        return [self._local, *(self._others[i] for i in sorted(self._others))]

    def _addresses(self) -> list[str]:
        addresses = []
        for index, host in enumerate(self._all()):
            with self._host(index):
                ports = host.prepare()
            addresses += [joined(self._hosts[index], port) for port in ports]
        return addresses

    @contextlib.contextmanager
    def _host(self, index):
        """Drops a host whose connection is lost, and names it."""
        try:
            yield
        except ConnectionLost as error:
            lost = self._others.pop(index, None)
            if lost is not None:
                lost.close()
            name = self._hosts[index]
            raise ConnectionLost(f"host {name} is lost ({error})") from error

    def _watch(self, result, size, stop):
        """Returns when all have ended, or one has failed."""
        deadline = None
        while len(result.codes) < size:
            if stop.number is not None and deadline is None:
                tell(f"{signal.Signals(stop.number).name}: the group ends.")
                self._signal_all(stop.number)
                deadline = time.monotonic() + self._limits.grace_period
            if deadline is not None and time.monotonic() > deadline:
                return
            for index, host in enumerate(self._all()):
                with self._host(index):
                    for rank, code in host.exits():
                        result.codes[rank] = code
                        if code and result.failure is None:
                            result.failure = code
                            result.reason = f"rank {rank} ended with exit code {code}"
            leaving = [h for h in self._others.values() if h.is_leaving]
            if leaving and stop.number is None and deadline is None:
                result.reason, result.failure = "a host leaves", 143
                result.is_free = True
                self._signal_all(signal.SIGTERM)
                deadline = time.monotonic() + self._limits.grace_period
            if deadline is None and result.failure is not None:
                return
            # The chief has saved and gone: the others wait for it in vain.
            if deadline is not None and 0 in result.codes:
                deadline = min(deadline, time.monotonic() + _END_OF_SURVIVORS)
            time.sleep(_POLL)

    def _signal_all(self, number):
        for index, host in enumerate(self._all()):
            with contextlib.suppress(ConnectionLost), self._host(index):
                host.send_signal(number)

    def _stop_all(self, grace):
        for index, host in reversed(list(enumerate(self._all()))):
            with contextlib.suppress(ConnectionLost), self._host(index):
                host.stop(grace)
        for index in [i for i, h in self._others.items() if h.is_leaving]:
            self._others.pop(index).close()

    def _join(self, stop):
        """Waits until the launchers of all other hosts have joined."""
        end = time.monotonic() + self._limits.join_timeout
        while len(self._others) < len(self._hosts) - 1 and stop.number is None:
            if time.monotonic() > end:
                missing = [
                    host
                    for index, host in enumerate(self._hosts)
                    if index and index not in self._others
                ]
                raise NotJoined(f"{', '.join(missing)} did not join in time")
            self._accept()
            time.sleep(_POLL)

    def _accept(self):
        if self._server is None:
            return
        try:
            stream, _ = self._server.accept()
        except BlockingIOError:
            return
        connection = Connection(stream, self._limits.heartbeat_timeout)
        try:
            hello = connection.expect("hello", self._limits.heartbeat_timeout)
            refusal = self._refusal(hello)
            if refusal is not None:
                connection.send(kind="refused", reason=refusal)
                connection.close()
                return
        except ConnectionLost:
            connection.close()
            return  # not one of ours
        index = int(hello["host_index"])
        self._others[index] = RemoteHost(connection, self._limits.heartbeat_timeout)
        connection.send(kind="welcome", seed=self._identity["seed"])

    def _refusal(self, hello):
        index = hello.get("host_index")
        if not isinstance(index, int) or not 0 < index < len(self._hosts):
            return f"there is no host {index}"
        for name in ("hosts", "workers", "engine", "command"):
            if hello.get(name) != self._identity[name]:
                return f"{name} must be {self._identity[name]!r} on all hosts"
        return None

    def _finish(self, code):
        for index, host in list(self._others.items()):
            with contextlib.suppress(ConnectionLost), self._host(index):
                host.finish(code)
            host.close()
        if self._server is not None:
            self._server.close()


def _code_after_signal(result: Round, number: int) -> int:
    codes = [result.codes[rank] for rank in sorted(result.codes)]
    return next((code for code in codes if code), 0 if codes else 128 + number)
