"""Entry of the processes that a search starts.

`trial JOB GIVEN BEGUN FOUND` runs one trial, writes when it begins and what came of it;
`search JOB` runs trials that the chief of the environment variables gives, until it has
no more.
"""

import json
import os
import pickle
import sys
import threading
import time
import traceback


def _end_with_parent():
    """Ends this process when the one that started it has gone."""
    parent = int(os.environ["KERAS_STRATEGIES_PARENT"])

    def watch():
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _limit_memory(mebibytes):
    """Lets this process take so much more than it has now."""
    import resource

    import psutil

    most = psutil.Process().memory_info().vms + int(mebibytes * 2**20)
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))


def _free_memory():
    """Lifts the limit, so that the failure itself can be written."""
    import resource

    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def _load(path):
    with open(path, "rb") as file:
        job = pickle.load(file)
    return job, job["cls"](*job["args"], **job["kwargs"])


def _trial(job_path, given_path, begun_path, found_path):
    from keras_strategies._internal.files import write_json
    from keras_strategies.tuning._distributed import rpc as _channel

    with open(given_path, encoding="utf-8") as file:
        given = json.load(file)
    job, tuner = _load(job_path)
    local = tuner.oracle
    local.seed = given["seed"]
    token = os.environ["KERAS_STRATEGIES_TOKEN"]
    tuner.oracle = _channel.RemoteOracle(local, "127.0.0.1", given["port"], token)
    trial = _channel.trial_from(given["trial"])
    try:
        if given["memory"] is not None:
            _limit_memory(given["memory"])
        # From here on the time of the trial counts, not that of loading Keras.
        write_json(begun_path, time.time())
        metrics, epoch = tuner._evaluate(trial, *job["fit_args"], **job["fit_kwargs"])
        found = {
            "metrics": metrics,
            "epoch": epoch,
            "hyperparameters": trial.hyperparameters.get_config(),
        }
    except Exception as error:
        # The search records it; what kills the process it reads from the log.
        if given["memory"] is not None:
            _free_memory()
        found = {"error": traceback.format_exc(), "kind": type(error).__name__}
    write_json(found_path, found)


def _search(job_path):
    job, tuner = _load(job_path)
    tuner.search(*job["fit_args"], **{**job["fit_kwargs"], "verbose": 0})


def main(mode, *paths):
    _end_with_parent()
    {"trial": _trial, "search": _search}[mode](*paths)


if __name__ == "__main__":
    main(*sys.argv[1:])
