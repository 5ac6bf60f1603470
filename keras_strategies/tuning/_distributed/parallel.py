"""Search in several processes: the chief, its workers, and those of one machine."""

import contextlib
import ipaddress
import os
import secrets
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from keras_strategies._internal import checks
from keras_strategies.tuning._distributed import processes, rpc

_MAX_RESTARTS = 3  # for each worker


def is_chief() -> bool:
    """Whether the environment variables of KerasTuner make this process the chief."""
    is_named = "chief" in os.environ.get("KERASTUNER_TUNER_ID", "")
    return is_named and "KERASTUNER_ORACLE_IP" in os.environ


def chief_address() -> tuple[str, str, str]:
    """Host, port and token from the environment variables."""
    return (
        os.environ["KERASTUNER_ORACLE_IP"],
        os.environ["KERASTUNER_ORACLE_PORT"],
        os.environ.get(processes.TOKEN, ""),
    )


def serve(oracle: Any) -> None:
    """Answers workers until no trial and no worker is left."""
    host, port, token = chief_address()
    if not token and not _is_loopback(host):
        checks.fail(
            "A chief that other machines can reach must have a token",
            error=PermissionError,
            KERASTUNER_ORACLE_IP=host,
            fix=f"Set {processes.TOKEN} to the same secret in every process. What they "
            "send is not encrypted: use a network that you trust.",
        )
    with rpc.OracleServer(oracle, host, port, token):
        while not oracle.is_done():
            time.sleep(0.2)


def _is_loopback(host: str) -> bool:
    """Whether an address is of this machine only."""
    try:
        addresses = {info[4][0] for info in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return all(ipaddress.ip_address(a).is_loopback for a in addresses)


@contextlib.contextmanager
def heartbeats(oracle: Any, tuner_id: str, timeout: float) -> Iterator[None]:
    """Sends heartbeats of this worker, four in each timeout."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(timeout / 4):
            oracle.heartbeat(tuner_id)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class LocalWorkers:
    """Worker processes on this machine that search for one tuner.

    A worker that is killed is started again, and the oracle gives its trial to the
    next worker that asks. A worker that ends with an error ends the search, as every
    other would end the same way.

    Args:
        tuner: The tuner, whose oracle this process serves.
        count: Number of workers.
        gpus: Device numbers that the workers use in turns.
    """

    def __init__(self, tuner: Any, count: int, gpus: Sequence[int] = ()) -> None:
        self.tuner, self.count, self.gpus = tuner, count, gpus

    def run(self, fit_args: Sequence[Any], fit_kwargs: Mapping[str, Any]) -> None:
        """Runs the workers until the search has ended."""
        token = secrets.token_hex(16)
        with (
            tempfile.TemporaryDirectory(prefix="search-") as folder,
            rpc.OracleServer(self.tuner.oracle, token=token) as server,
        ):
            job = os.path.join(folder, "job")
            processes.write_job(job, self.tuner, fit_args, fit_kwargs)

            def start(k: int) -> subprocess.Popen[bytes]:
                environment = self._environment(k, server.port, token)
                return processes.start(
                    "search", job, self._log(k), environment=environment
                )

            workers = {k: start(k) for k in range(self.count)}
            pids = {k: process.pid for k, process in workers.items()}
            self.tuner.worker_pids = pids
            try:
                self._watch(workers, start)
            finally:
                for process in workers.values():
                    processes.stop(process)

    def _environment(self, k: int, port: int, token: str) -> dict[str, str]:
        environment = {
            "KERASTUNER_TUNER_ID": f"worker-{k}",
            "KERASTUNER_ORACLE_IP": "127.0.0.1",
            "KERASTUNER_ORACLE_PORT": str(port),
            processes.TOKEN: token,
        }
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = str(self.gpus[k % len(self.gpus)])
        return environment

    def _log(self, k: int) -> str:
        return os.path.join(self.tuner.project_dir, f"worker-{k}.log")

    def _watch(
        self,
        workers: dict[int, subprocess.Popen[bytes]],
        start: Callable[[int], subprocess.Popen[bytes]],
    ) -> None:
        """Waits for the end of all workers; starts those again that were killed."""
        restarts = 0
        while workers:
            time.sleep(0.1)
            for k, process in list(workers.items()):
                if process.poll() is None:
                    continue
                del workers[k]
                reason = processes.describe_exit(process)
                self.tuner.oracle.drop_worker(f"worker-{k}", reason)
                if process.returncode == 0:
                    continue
                restarts += 1
                # Killed by the system or a user: the next attempt may end well. An
                # error of Python, an import say, would come back each time.
                was_killed = process.returncode < 0
                if not was_killed or restarts > _MAX_RESTARTS * self.count:
                    log = processes.tail(self._log(k))
                    raise RuntimeError(f"Worker {k} was {reason}.\n{log}")
                if not self.tuner.oracle.is_over():
                    workers[k] = start(k)
                    self.tuner.worker_pids[k] = workers[k].pid
