"""Executors of other libraries: pools as executors, what they tell, what is sent.

A study and a search hand trainings to whatever has `submit`: a pool of processes,
Dask's `client.get_executor()`, a pool of Ray.
"""

import hashlib
import multiprocessing.context
import multiprocessing.pool
import os
import pathlib
import pickle
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from keras_strategies._internal import checks

# Seconds between looks at an executor that gives nothing.
HEARTBEAT = 10.0


class PoolExecutor(Executor):
    """Submits to a `multiprocessing.Pool` or to one with the same interface.

    Ray has no executor, but a pool: `ray.util.multiprocessing.Pool`.
    """

    def __init__(self, pool: Any):
        self._pool = pool
        actors = getattr(pool, "_actor_pool", ())  # Ray's
        self._max_workers: int | None = getattr(pool, "_processes", None) or len(actors)

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any):
        future: Future[Any] = Future()
        # Running from the start: a pool cannot take a call back.
        future.set_running_or_notify_cancel()
        self._pool.apply_async(
            function,
            args,
            kwargs,
            callback=future.set_result,
            error_callback=future.set_exception,
        )
        return future


def check_executor(value: Any, fix: str = "use `workers=`.") -> Any:
    """Checks an executor or a pool, and returns it as an executor."""
    value = as_executor(value, fix)
    if not hasattr(value, "submit"):
        checks.fail(
            "`executor` must be a concurrent.futures.Executor or a pool",
            error=TypeError,
            executor=value,
        )
    return value


def as_executor(value: Any, fix: str = "use `workers=`.") -> Any:
    """The value itself if it is an executor, or the executor around a pool."""
    if _forks(value):
        checks.fail(
            "`executor` must not fork its processes: a copy of a process that has "
            "used TensorFlow, JAX or Torch waits for ever for threads it has not got",
            executor=value,
            fix=f"Give it mp_context=multiprocessing.get_context('spawn'), or {fix}",
        )
    if hasattr(value, "submit") or not hasattr(value, "apply_async"):
        return value
    return PoolExecutor(value)


def _forks(executor):
    """Whether its processes are copies of this one."""
    if isinstance(executor, multiprocessing.pool.ThreadPool):
        return False
    context = getattr(executor, "_mp_context", None) or getattr(executor, "_ctx", None)
    is_context = isinstance(context, multiprocessing.context.BaseContext)
    return is_context and context.get_start_method() == "fork"


def dask_client(executor: Any) -> Any:
    """The client behind Dask's executor; `None` for others."""
    client = getattr(executor, "_client", None)
    return client if hasattr(client, "submit") and hasattr(client, "nthreads") else None


class Heartbeat:
    """Notices that a cluster of Dask's has no workers any more.

    Its futures wait for ever then, in case that workers come. Other executors say
    themselves that they are broken.
    """

    def __init__(self, executor: Any, patience: float = 300.0):
        self._client = dask_client(executor)
        self._patience = patience
        self._last = time.monotonic()

    def check(self) -> None:
        """Raises if the scheduler is gone, or every worker for too long."""
        if self._client is None:
            return
        if self._client.nthreads():  # raises if the scheduler does not answer
            self._last = time.monotonic()
        elif time.monotonic() - self._last > self._patience:
            raise RuntimeError(f"no worker for {self._patience:.0f} seconds")


# What this process was sent, by its digest: it is unpickled once, not for each call.
_contents: dict[str, Any] = {}


def digest_of(payload: bytes) -> str:
    """Returns the name of a payload for `load`."""
    return hashlib.blake2b(payload, digest_size=16).hexdigest()


def sent_once(executor: Any, payload: bytes) -> Any:
    """Returns what to submit in place of a payload that many calls have in common."""
    client = dask_client(executor)
    # A task, not scattered data: Dask makes it anew when workers die.
    return payload if client is None else client.submit(bytes, payload)


def load(digest: str, payload: bytes | str) -> Any:
    """Returns what a payload, or the file with it, holds, in the process of a call."""
    if digest not in _contents:
        _contents.clear()
        if isinstance(payload, str):
            payload = pathlib.Path(payload).read_bytes()
        _contents[digest] = pickle.loads(payload)
    return _contents[digest]


def available_processors() -> int:
    """Returns the number of processors that this process may use."""
    # Containers and batch systems lend fewer than the machine has.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def capacity_of(executor: Any) -> int:
    """How many trainings an executor runs at once, as far as it tells."""
    client = dask_client(executor)
    if client is not None:  # asked each time: workers come and go
        return max(1, sum(client.nthreads().values()))
    return getattr(executor, "_max_workers", None) or available_processors()
