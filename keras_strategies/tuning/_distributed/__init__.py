"""Searches of several processes: calls on the oracle, workers, isolated trials."""

from keras_strategies.tuning._distributed.executor_search import ExecutorSearch
from keras_strategies.tuning._distributed.isolated_trials import (
    IsolatedTrials,
    TrialError,
    outcome,
)
from keras_strategies.tuning._distributed.parallel import (
    LocalWorkers,
    chief_address,
    heartbeats,
    is_chief,
    serve,
)
from keras_strategies.tuning._distributed.rpc import RemoteOracle

__all__ = [
    "ExecutorSearch",
    "IsolatedTrials",
    "LocalWorkers",
    "RemoteOracle",
    "TrialError",
    "chief_address",
    "heartbeats",
    "is_chief",
    "outcome",
    "serve",
]
