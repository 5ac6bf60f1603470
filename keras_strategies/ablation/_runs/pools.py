"""Pools with `apply_async`, such as Ray's, as executors."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any


class PoolExecutor(Executor):
    """Submits to a `multiprocessing.Pool` or to one with the same interface.

    Ray has no executor, but a pool: `ray.util.multiprocessing.Pool`.
    """

    def __init__(self, pool: Any):
        self._pool = pool

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
    if hasattr(value, "submit") or not hasattr(value, "apply_async"):
        return value
    return PoolExecutor(value)
