"""The hosts of a group, as its first one sees them."""

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from keras_strategies._internal import checks
from keras_strategies._internal.launcher.connection import Connection
from keras_strategies._internal.launcher.environment import worker_environment
from keras_strategies._internal.launcher.group import Group
from keras_strategies._internal.launcher.processes import LocalProcesses

# What other systems tell a process about its position.
_INDEX_VARIABLES = ("JOB_COMPLETION_INDEX", "SLURM_NODEID")


class Host(Protocol):
    """A host with some processes of the group."""

    def prepare(self) -> list[int]:
        """Returns a free port for each process."""
        ...

    def start(self, addresses: Sequence[str], restarts: int) -> None:
        """Starts the processes."""
        ...

    def exits(self) -> list[tuple[int, int]]:
        """Returns `(rank, exit code)` of processes that have ended."""
        ...

    def send_signal(self, number: int) -> None:
        """Sends the processes a signal."""
        ...

    def stop(self, grace: float) -> None:
        """Ends the processes."""
        ...


class LocalHost:
    """The host of this launcher.

    Args:
        command: What each process runs.
        engine: `"jax"` or `"tensorflow"`.
        workers: Number of processes.
        first_rank: Rank of the first one.
        address: Address at which other hosts reach this one.
        seed: Seed of the group.
        environment: What is set beside, in each process.
    """

    def __init__(
        self,
        command: Sequence[str],
        engine: str,
        workers: int,
        first_rank: int,
        address: str,
        seed: int,
        environment: Mapping[str, str] | None = None,
    ):
        self._engine, self._workers, self._first = engine, workers, first_rank
        self._address, self._seed = address, seed
        self._environment = dict(environment or {})
        self._processes = LocalProcesses(command)

    def prepare(self) -> list[int]:
        """Returns a free port for each process."""
        return free_ports(self._address, self._workers)

    def start(self, addresses: Sequence[str], restarts: int) -> None:
        """Starts the processes."""
        environments = {}
        for local in range(self._workers):
            group = Group(
                rank=self._first + local,
                size=len(addresses),
                local_rank=local,
                engine=self._engine,
                addresses=tuple(addresses),
                restarts=restarts,
                seed=self._seed,
            )
            own = worker_environment(group, self._workers)
            environments[group.rank] = {**self._environment, **own}
        self._processes.start(environments)

    def exits(self) -> list[tuple[int, int]]:
        """Returns `(rank, exit code)` of processes that have ended."""
        return self._processes.exits()

    def send_signal(self, number: int) -> None:
        """Sends the processes a signal."""
        self._processes.send_signal(number)

    def stop(self, grace: float) -> None:
        """Ends the processes."""
        self._processes.stop(grace)


class RemoteHost:
    """A host whose launcher has joined over a connection.

    Args:
        connection: The connection.
        timeout: Seconds within which it must answer.
    """

    def __init__(self, connection: Connection, timeout: float):
        self._connection, self._timeout = connection, timeout
        self.is_leaving = False

    def prepare(self) -> list[int]:
        """Returns a free port for each process."""
        self._connection.send(kind="prepare")
        return list(self._connection.expect("ports", self._timeout)["ports"])

    def start(self, addresses: Sequence[str], restarts: int) -> None:
        """Starts the processes."""
        self._connection.send(
            kind="start", addresses=list(addresses), restarts=restarts
        )

    def exits(self) -> list[tuple[int, int]]:
        """Returns `(rank, exit code)` of processes that have ended."""
        found = []
        while (message := self._connection.receive()) is not None:
            if message["kind"] == "exit":
                found.append((int(message["rank"]), int(message["code"])))
            elif message["kind"] == "leaving":
                self.is_leaving = True
        return found

    def send_signal(self, number: int) -> None:
        """Sends the processes a signal."""
        self._connection.send(kind="signal", number=number)

    def stop(self, grace: float) -> None:
        """Ends the processes."""
        self._connection.send(kind="stop", grace=grace)
        self._connection.expect("stopped", grace + self._timeout)

    def finish(self, code: int) -> None:
        """Tells the launcher the exit code of the group."""
        self._connection.send(kind="finish", code=code)

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()


def free_ports(address: str, count: int) -> list[int]:
    """Returns ports of an address of this host on which nobody listens."""
    sockets = []
    try:
        # All are open at once: a port that is closed again may be given twice.
        for _ in range(count):
            found = socket.socket(_family(address), socket.SOCK_STREAM)
            sockets.append(found)
            found.bind((address, 0))
        return [item.getsockname()[1] for item in sockets]
    finally:
        for item in sockets:
            item.close()


def _family(address):
    return socket.getaddrinfo(address, None, type=socket.SOCK_STREAM)[0][0]


def joined(address: str, port: int) -> str:
    """Returns `address:port`, with an IPv6 address in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def find_host_index(
    hosts: Sequence[str],
    environment: Mapping[str, str] | None = None,
    is_local: Callable[[str], bool] | None = None,
) -> int:
    """Returns which of `hosts` this one is.

    What an indexed job of Kubernetes or Slurm says counts; else the only one whose
    address or name is that of this machine.

    Raises:
        ValueError: If none or several are.
    """
    environment = os.environ if environment is None else environment
    for name in _INDEX_VARIABLES:
        index = environment.get(name, "")
        if index.isdecimal() and int(index) < len(hosts):
            return int(index)
    test = is_local or is_own_address
    own = [index for index, host in enumerate(hosts) if test(host)]
    if len(own) != 1:
        checks.fail(
            "One of `hosts` must be this machine",
            fix="Give `host_index`, the number of this host among them, from 0.",
            hosts=list(hosts),
            of_this_machine=[hosts[index] for index in own],
        )
    return own[0]


def is_own_address(host: str) -> bool:
    """Whether a name or an address is one of this machine."""
    if host == socket.gethostname():
        return True
    try:
        # What can be bound is an address of this machine; its own list of addresses no
        # module of the standard library has.
        infos: list[Any] = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    for family, kind, protocol, _, address in infos:
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.bind((address[0], 0))
                return True
        except OSError:
            continue
    return False
