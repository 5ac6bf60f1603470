"""What a study needs to know of executors, and pools as executors."""

import multiprocessing.context
import multiprocessing.pool
import os
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


def as_executor(value: Any) -> Any:
    """The value itself if it is an executor, or the executor around a pool."""
    if _forks(value):
        checks.fail(
            "`executor` must not fork its processes: a copy of a process that has "
            "used TensorFlow, JAX or Torch waits for ever for threads it has not got",
            executor=value,
            fix="Give it mp_context=multiprocessing.get_context('spawn'), or use "
            "`workers=`.",
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


def capacity_of(executor: Any) -> int:
    """How many trainings an executor runs at once, as far as it tells."""
    client = dask_client(executor)
    if client is not None:  # asked each time: workers come and go
        return max(1, sum(client.nthreads().values()))
    return getattr(executor, "_max_workers", None) or os.cpu_count() or 1
