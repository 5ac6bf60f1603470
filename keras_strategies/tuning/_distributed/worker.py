"""Entry point of the processes that a search starts.

`trial JOB REQUEST STARTED RESULT` runs one trial: it reads the file REQUEST, writes
STARTED when the trial itself begins and RESULT when it has ended. `search JOB` runs
trials of the chief named by the environment variables until it has no more.
"""

import json
import os
import pickle
import sys
import threading
import time
import traceback
from typing import Any


def _exit_with_parent() -> None:
    """Ends this process when the one that started it has gone."""
    parent = int(os.environ["KERAS_STRATEGIES_PARENT"])

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _limit_memory(mebibytes: float) -> None:
    """Limits the memory of this process to so much more than it has now.

    The limit is one of the address space (RLIMIT_AS): Linux enforces none of the
    resident memory.
    """
    import resource

    import psutil

    limit = psutil.Process().memory_info().vms + int(mebibytes * 2**20)
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def _lift_memory_limit() -> None:
    """Makes room to write the failure itself."""
    import resource

    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def _load(path: str) -> tuple[dict[str, Any], Any]:
    """The job in a file, and its tuner."""
    with open(path, "rb") as file:
        job = pickle.load(file)
    return job, job["cls"](*job["args"], **job["kwargs"])


def _run_trial(
    job_path: str, request_path: str, started_path: str, result_path: str
) -> None:
    from keras_strategies._internal.storage.files import write_json
    from keras_strategies.tuning import _space
    from keras_strategies.tuning._distributed import rpc

    with open(request_path, encoding="utf-8") as file:
        request = json.load(file)
    job, tuner = _load(job_path)
    local = tuner.oracle
    local.seed = request["seed"]
    token = os.environ["KERAS_STRATEGIES_TOKEN"]
    tuner.oracle = rpc.RemoteOracle(local, "127.0.0.1", request["port"], token)
    trial = _space.trial_from_state(request["trial"])
    try:
        if request["memory"] is not None:
            _limit_memory(request["memory"])
        # The time limit of a trial counts from here, when Keras and data are loaded.
        write_json(started_path, time.time())
        metrics, epoch = tuner._evaluate(trial, *job["fit_args"], **job["fit_kwargs"])
        result = {
            "metrics": metrics,
            "epoch": epoch,
            "hyperparameters": trial.hyperparameters.get_config(),
        }
    except Exception as error:
        # The search records it; what kills the process it reads from the log.
        if request["memory"] is not None:
            _lift_memory_limit()
        result = {"error": traceback.format_exc(), "kind": type(error).__name__}
    write_json(result_path, result)


def _run_search(job_path: str) -> None:
    job, tuner = _load(job_path)
    tuner.search(*job["fit_args"], **{**job["fit_kwargs"], "verbose": 0})


def main(mode: str, *paths: str) -> None:
    _exit_with_parent()
    {"trial": _run_trial, "search": _run_search}[mode](*paths)


if __name__ == "__main__":
    main(*sys.argv[1:])
