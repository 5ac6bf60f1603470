"""Writing aside of the training: one file operation at a time, in a thread."""

import threading
from collections.abc import Callable


class BackgroundWriter:
    """Runs one job at a time in a thread of its own.

    The thread is no daemon: a process that ends waits for the last checkpoint. An error
    is raised by the next `wait`, in the thread that asks.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def submit(self, job: Callable[[], None]) -> None:
        """Starts a job; `wait` must have been called before."""
        self._thread = threading.Thread(
            target=self._run, args=(job,), name="checkpoint"
        )
        self._thread.start()

    def _run(self, job):
        try:
            job()
        except BaseException as error:  # raised again by `wait`
            self._error = error

    def wait(self) -> None:
        """Waits for the job, and raises what it raised."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error
