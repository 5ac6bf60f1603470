"""Running the trainings of a study: here, or wherever an executor puts them."""

import collections
import concurrent.futures
import contextlib
import multiprocessing
import os
import pathlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from typing import Any

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.optional import require
from keras_strategies._internal.processes import executors
from keras_strategies.ablation._runs import plans
from keras_strategies.ablation._runs.log import Log
from keras_strategies.ablation._runs.programs import Programs
from keras_strategies.ablation._runs.training import Job, Setup, arm_name, train


class OutOfTime(Exception):
    """The time limit has passed with trainings still to do."""


class Runner:
    """Runs jobs, stores what they give and stops at the deadline.

    Args:
        setup: What all trainings share.
        log: Where records go.
        executor: A `concurrent.futures.Executor`, or `None` for this process.
        workers: Processes to start if there is no executor; 1 is this process.
        deadline: Value of `time.monotonic()` after which no training begins.
        progress: Called after each training.
    """

    def __init__(
        self,
        setup: Setup,
        log: Log,
        executor: Executor | None,
        workers: int,
        deadline: float | None = None,
        progress: Callable[[dict[str, Any]], None] = lambda record: None,
    ):
        self.setup = setup
        self.log = log
        self.deadline = deadline
        self.progress = progress
        self._given = executor
        self._workers = workers
        self._pool: Executor | None = None
        self._payload: tuple[str, bytes] | None = None
        self._file: str | None = None
        self._at_workers: Any = None
        self._programs = Programs()
        self.notes: list[str] = []

    @property
    def is_local(self) -> bool:
        """Whether trainings run in this process, one after the other."""
        return self._given is None and self._workers == 1

    def run(self, jobs: Sequence[Job], remaining: int = 0) -> None:
        """Runs those of the jobs that are not stored yet.

        Args:
            jobs: The trainings, in the order in which they should begin.
            remaining: Trainings of one arm that may still come, to judge whether an
                execution plan pays.

        Raises:
            OutOfTime: If the deadline passed before all of them had begun. What was
                running is finished and stored.
            RuntimeError: If the executor died. What had ended is stored.
        """
        missing = [job for job in jobs if job.key not in self.log]
        if not missing:
            return
        missing = [self._planned(job, remaining) for job in missing]
        if self.is_local:
            self._programs.only({arm_name(job.arm) for job in jobs})
            for job in missing:
                if self._is_late():
                    raise OutOfTime
                self._store(train(self.setup, job, self._programs))
        else:
            self._run_elsewhere(missing)

    def expect(self, trainings: int) -> None:
        """Tells the progress how many trainings may still come."""
        self.progress({"remaining": trainings})

    def close(self) -> None:
        """Ends the processes that were started for this study."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None
        if self._file is not None:
            pathlib.Path(self._file).unlink(missing_ok=True)
            self._file = None
        self._at_workers = None

    def _store(self, record):
        self.log.add(record)
        self.progress(record)

    def _planned(self, job, remaining):
        """The job with the execution plan of its arm, measured if that pays."""
        arm = job.key[0]
        if arm not in self.log.plans:
            first = self.log.get((arm, 0))
            if first is None or not plans.pays(first, remaining):
                return job
            try:
                plan = plans.measure(self.setup, job)
            except ValueError as error:
                plan = None
                reason = str(error).strip().splitlines()[0]
                self.notes.append(f"{arm} trained without an execution plan: {reason}")
            self.log.add_plan(arm, plan)
        return job._replace(plan=self.log.plans[arm])

    def _run_elsewhere(self, jobs):
        """Keeps the executor busy, and no more than that, so that a deadline holds."""
        executor = self._executor()
        send, alive = self._sender(executor), executors.Heartbeat(executor)
        queue, running = collections.deque(jobs), {}
        try:
            while queue or running:
                while queue and len(running) < self._ahead(executor):
                    if self._is_late():
                        break
                    job = queue.popleft()
                    running[executor.submit(*send, job)] = job
                if not running:
                    raise OutOfTime
                done, _ = concurrent.futures.wait(
                    running,
                    timeout=executors.HEARTBEAT,
                    return_when=concurrent.futures.FIRST_COMPLETED,
                )
                alive.check()
                for future in done:
                    self._store(future.result())
                    del running[future]
        except OutOfTime:
            raise
        except Exception as error:
            # A training catches what it raises: this is the executor or its transport.
            self._rescue(running)
            raise RuntimeError(self._death(error, running.values())) from error
        except BaseException:
            self._rescue(running)
            raise

    def _is_late(self):
        return self.deadline is not None and time.monotonic() > self.deadline

    def _ahead(self, executor):
        """How many trainings to hand over; some in store where no deadline forbids."""
        capacity = executors.capacity_of(executor)
        return capacity if self.deadline is not None else 2 * capacity

    def _rescue(self, running):
        """Stores trainings that had ended when the executor died."""
        for future, job in list(running.items()):
            future.cancel()
            if future.done() and not future.cancelled() and not future.exception():
                del running[future]
                if job.key not in self.log:
                    self._store(future.result())

    def _death(self, error, jobs):
        folder = self.log.folder
        fix = (
            "Give `directory=`, so that a study that was interrupted can go on."
            if folder is None
            else "Call `study` with the same directory again to go on."
        )
        names = [f"{arm}, run {run}" for arm, run in (job.key for job in jobs)]
        return checks.message(
            "the executor must live until the study ends; a process of it died, "
            "perhaps for lack of memory, or it cannot run trainings",
            {
                "error": f"{type(error).__name__}: {error}",
                "trainings_stored": 0 if folder is None else len(self.log),
                "trainings_lost": names,
            },
            fix,
        )

    def _executor(self):
        if self._given is not None:
            return self._given
        if self._pool is None:
            self._pool = concurrent.futures.ProcessPoolExecutor(
                self._workers, mp_context=multiprocessing.get_context("spawn")
            )
            # A process starts when a call finds none idle: all of them now, since the
            # environment is as they need it only for a moment.
            with _worker_environment(self._workers):
                calls = [self._pool.submit(_nap) for _ in range(self._workers)]
                concurrent.futures.wait(calls)
        return self._pool

    def _sender(self, executor) -> tuple[Any, ...]:
        """What to submit in front of each job: the setup travels once if it can."""
        digest, payload = self._pickled()
        if executor is self._pool:
            if self._file is None:
                handle, self._file = tempfile.mkstemp(prefix="study-", suffix=".pkl")
                with os.fdopen(handle, "wb") as file:
                    file.write(payload)
            return pool_train, digest, self._file
        if self._at_workers is None:
            self._at_workers = executors.sent_once(executor, payload)
        return remote_train, digest, self._at_workers

    def _pickled(self):
        if self._payload is None:
            setup = self.setup.portable()
            cloudpickle = require("cloudpickle", "A study in other processes")
            try:
                payload = cloudpickle.dumps(setup)
            except Exception as error:
                raise TypeError(
                    checks.message(
                        "`build_fn` and strategies must be picklable to run in other "
                        "processes",
                        {"error": f"{type(error).__name__}: {error}"},
                        "Make models, layers and callbacks inside the functions.",
                    )
                ) from error
            self._payload = executors.digest_of(payload), payload
        return self._payload


def _nap():
    time.sleep(0.2)


def remote_train(digest: str, payload: bytes | str, job: Job) -> dict[str, Any]:
    """One training in another process; the setup as bytes or in a file."""
    return train(executors.load(digest, payload), job)


# Of the study that a process of a pool works for.
_programs: dict[str, Programs] = {}


def pool_train(digest: str, file: str, job: Job) -> dict[str, Any]:
    """One training in a process of our own, one at a time."""
    if digest not in _programs:
        _programs.clear()
        _programs[digest] = Programs()
    return train(executors.load(digest, file), job, _programs[digest])


@contextlib.contextmanager
def _worker_environment(workers: int) -> Iterator[None]:
    """Environment of the processes: the same backend, a fair part of the cores.

    The main module is hidden meanwhile: `multiprocessing` would run the user's script
    again in each process, and what the study needs of it is pickled by value.
    """
    threads = str(max(1, executors.available_processors() // workers))
    changes = {
        "KERAS_BACKEND": keras.backend.backend(),
        "OMP_NUM_THREADS": threads,
        "TF_NUM_INTRAOP_THREADS": threads,
        "TF_NUM_INTEROP_THREADS": threads,
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }
    before = {name: os.environ.get(name) for name in changes}
    main = sys.modules["__main__"]
    hidden = {n: getattr(main, n) for n in ("__file__", "__spec__") if hasattr(main, n)}
    try:
        for name, value in changes.items():
            os.environ.setdefault(name, value)
        if "__file__" in hidden:
            del main.__file__
        main.__spec__ = None
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
        for name, value in hidden.items():
            setattr(main, name, value)
