"""Searches of several processes: the chief, its workers, and those of one machine."""

import contextlib
import os
import secrets
import tempfile
import threading
import time

from keras_strategies._internal import checks
from keras_strategies.tuning._distributed import processes as _processes
from keras_strategies.tuning._distributed import rpc as _channel

TOKEN = "KERAS_STRATEGIES_TOKEN"
MAX_RESTARTS = 3  # for each worker


def address():
    """Host, port and token from the environment variables, KerasTuner's names."""
    return (
        os.environ["KERASTUNER_ORACLE_IP"],
        os.environ["KERASTUNER_ORACLE_PORT"],
        os.environ.get(TOKEN, ""),
    )


class Parallel:
    """The part of `Tuner` that searches in several processes."""

    def _is_chief(self):
        named = "chief" in os.environ.get("KERASTUNER_TUNER_ID", "")
        return named and "KERASTUNER_ORACLE_IP" in os.environ

    def _join(self):
        """Takes the part that the environment variables give to this process."""
        if self._is_worker():
            self.oracle = _channel.RemoteOracle(self.oracle._oracle, *address())
            self.oracle.take_seed()
        elif self._is_chief():
            self.oracle.keep_ongoing()
            self.oracle.lease = self.worker_timeout

    def _serve(self):
        """Answers workers until no trial and no worker is left."""
        host, port, token = address()
        with _channel.Server(self.oracle, host, port, token):
            while not self.oracle.is_done():
                time.sleep(0.2)

    @contextlib.contextmanager
    def _heartbeat(self):
        """Tells the chief from time to time that this worker lives."""
        ended = threading.Event()

        def beat():
            while not ended.wait(self.worker_timeout / 4):
                self.oracle.alive(self.tuner_id)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def search_parallel(self, n_workers, *fit_args, gpus=None, verbose=1, **fit_kwargs):
        """Searches with several processes of this machine; else as `search`.

        A worker that is killed is started again and its trial runs again; nothing is
        lost and nothing counted twice. The workers read what they need from a pickle,
        so data must be arrays (or be loaded by `fit` of the hypermodel). `gpus` are
        device numbers that the workers take in turns; `None` leaves that to them. The
        output of worker k goes to `worker-k.log` in the folder of the search.
        """
        checks.integer("n_workers", n_workers, low=1)
        gpus = list(gpus or [])
        isolated, self.trial_in_subprocess = self.trial_in_subprocess, False
        lease, self.oracle.lease = self.oracle.lease, self.worker_timeout
        try:
            with self._prepared(fit_args, fit_kwargs, verbose):
                self._run_workers(n_workers, gpus, fit_args, fit_kwargs)
        finally:
            self.trial_in_subprocess, self.oracle.lease = isolated, lease
        self._drop_checkpoints()
        self._check_outcome()

    def _run_workers(self, n_workers, gpus, fit_args, fit_kwargs):
        token = secrets.token_hex(16)
        with (
            tempfile.TemporaryDirectory(prefix="search-") as folder,
            _channel.Server(self.oracle, token=token) as server,
        ):
            job = os.path.join(folder, "job")
            _processes.write_job(job, self, fit_args, fit_kwargs)

            def started(k):
                environment = {
                    "KERASTUNER_TUNER_ID": f"worker-{k}",
                    "KERASTUNER_ORACLE_IP": "127.0.0.1",
                    "KERASTUNER_ORACLE_PORT": str(server.port),
                    TOKEN: token,
                }
                if gpus:
                    environment["CUDA_VISIBLE_DEVICES"] = str(gpus[k % len(gpus)])
                return _processes.start(
                    "search", job, self._log(k), environment=environment
                )

            processes = {k: started(k) for k in range(n_workers)}
            self.worker_pids = {k: p.pid for k, p in processes.items()}
            try:
                self._watch(processes, started)
            finally:
                for process in processes.values():
                    _processes.stop(process)

    def _log(self, k):
        return os.path.join(self.project_dir, f"worker-{k}.log")

    def _watch(self, processes, started):
        restarts = 0
        while processes:
            time.sleep(0.1)
            for k, process in list(processes.items()):
                if process.poll() is None:
                    continue
                del processes[k]
                how = _processes.ending(process)
                self.oracle.forget(f"worker-{k}", how)
                if process.returncode == 0:
                    continue
                restarts += 1
                if process.returncode > 0 or restarts > MAX_RESTARTS * len(
                    self.worker_pids
                ):
                    raise RuntimeError(
                        f"Worker {k} was {how}.\n{_processes.tail(self._log(k))}"
                    )
                if not self.oracle.is_over():
                    processes[k] = started(k)
                    self.worker_pids[k] = processes[k].pid
