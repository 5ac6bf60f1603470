"""Tuner for every search algorithm."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import keras_tuner

from keras_strategies._internal import checks
from keras_strategies.tuning import _distributed
from keras_strategies.tuning._private import bases
from keras_strategies.tuning._private import tuners as private
from keras_strategies.tuning._space import Trial, ranges
from keras_strategies.tuning.oracles import OptunaStorageOracle
from keras_strategies.tuning.oracles._base import Objective
from keras_strategies.tuning.oracles._registry import (
    AlgorithmName,
    PrunerName,
    check_algorithm,
    make_pruner,
)
from keras_strategies.tuning.oracles._search_state.requests import Constraints
from keras_strategies.tuning.pruners import Pruner
from keras_strategies.tuning.search._arguments import (
    check_count,
    check_fit_ranges,
    check_oracle_arguments,
    check_positive,
)
from keras_strategies.tuning.search._recipe import RecordsArguments
from keras_strategies.tuning.search._search_results import SearchResults
from keras_strategies.tuning.search._setup import folders
from keras_strategies.tuning.search._setup.misuse import check_objective_names
from keras_strategies.tuning.search._setup.oracle_setup import (
    Fidelity,
    OracleSetup,
    as_hypermodel,
    check_storage_search,
    fidelity_options,
)
from keras_strategies.tuning.search._setup.resuming import (
    OnChange,
    check_on_change,
    delete_search,
)
from keras_strategies.tuning.search._setup.warm_start import WarmStart
from keras_strategies.tuning.search._trials import folds as _folds
from keras_strategies.tuning.search._trials.model_fits import TrialCallbacks

if TYPE_CHECKING:
    from concurrent.futures import Executor

    import optuna


class Tuner(RecordsArguments, SearchResults, OracleSetup):
    """Searches the hyperparameters of any model: one class for every algorithm.

    A `keras_tuner.Tuner`: `search`, `get_best_models`, `get_best_hyperparameters`,
    `results_summary`, hypermodels and build functions work as there. It adds better
    algorithms, pruning, cross-validation, and searches that are hard to interrupt: a
    trial that raises or returns NaN is recorded with its message and the search
    continues; the same call with the same folder continues an interrupted search, also
    with a larger `max_trials`; no combination is tried twice.

    `algorithm="auto"` chooses by the space and prints the choice: the grid if
    `max_trials` covers it; NSGA-II for several objectives; a Gaussian process for up to
    20 hyperparameters; beyond, evolution if parts are conditional and TPE otherwise.

    A pruner stops trials that are worse than others at the same epoch; their best epoch
    counts. With several objectives `get_best_models` ranks by their sum, as in
    KerasTuner, and `pareto_front` returns the trials that are not dominated.

    Args:
        hypermodel: A `keras_tuner.HyperModel`, or a function `build(hp)` that returns a
            compiled model. Defaults to `None`, for a subclass with its own `run_trial`.
        objective: Name of a metric such as `"val_accuracy"`, `keras_tuner.Objective`,
            or a list of these. Defaults to `None`: a trial returns the number to
            minimize.
        max_trials: Maximum number of trials, at least 1. Defaults to `None`: 10, or the
            whole grid, or all brackets of Hyperband.
        algorithm: `"auto"`, `"grid"`, `"random"`, `"bayesian"`, `"hyperband"`,
            `"tpe"`, `"gp"`, `"cmaes"`, `"nsga2"` (these four need Optuna),
            `"evolution"`, `"pbt"` (population based training), or an oracle of this
            package. Defaults to `"auto"`.
        pruner: `"median"`, `"asha"`, a pruner of this package or of Optuna, or `None`.
            Defaults to `None`.
        directory: Folder of searches. Defaults to `None`, the current one.
        project_name: Folder of this search in it. Defaults to `"search"`.
        overwrite: Whether to delete an earlier search there instead of continuing it.
            Defaults to `False`.
        seed: Random seed of proposals, folds and initial weights; `None` draws a new
            one. Defaults to `None`.
        hyperparameters: `keras_tuner.HyperParameters` to search instead of, or in
            addition to, what the model declares. Defaults to `None`.
        tune_new_entries: Whether what the model declares in addition to
            `hyperparameters` is searched. Defaults to `True`.
        allow_new_entries: Whether it may declare more. Defaults to `True`.
        executions_per_trial: Number of trainings of each combination, at least 1;
            their mean counts. Defaults to `1`.
        cv: Number of folds (at least 2), a splitter of scikit-learn, or a list of
            (train, test) rows: `search(x, y)` then trains once for each fold and the
            mean counts. Defaults to `None`, the validation data given to `search`.
        batch_size: `(low, high)` to search the batch size of models that do not
            search it themselves. Defaults to `None`.
        epochs: `(low, high)` to search the number of epochs. Defaults to `None`.
        time_limit: Seconds after which no further trial starts and the running one
            ends with its epoch. Defaults to `None`.
        trial_in_subprocess: Whether each trial runs in a process of its own: no memory
            leaks into the next trial, and a crash is recorded as a failure. Costs the
            start of Keras, a few seconds for each trial. Defaults to `False`.
        trial_time_limit: Seconds after which the process of a trial is killed and the
            trial has failed, counted from the start of the trial itself, when Keras
            and the data are loaded. Needs `trial_in_subprocess`. Defaults to `None`.
        trial_memory_limit: MiB that the process of a trial may allocate beyond what
            Keras and the data take at its start (Linux). Needs `trial_in_subprocess`.
            Defaults to `None`.
        worker_timeout: Seconds without a heartbeat of a worker after which its trial is
            run by another one, greater than 0. Defaults to `60`.
        storage: Path of a journal file, URL of a database, or a storage of Optuna, for
            a search of several processes without a chief: each runs the same script.
            See `OptunaStorageOracle`; the algorithm must be one of Optuna's. Defaults
            to `None`: the trials are files in the folder.
        max_checkpoints: Number of trials, the best, whose weights stay on disk, at
            least 1. Defaults to `None`, all.
        max_retries_per_trial: Further attempts for a failed trial. Defaults to `0`.
        max_consecutive_failed_trials: Number of failures in a row that end the search,
            or `None` for no limit. Defaults to `None`.
        algorithm_options: Dict of further arguments of the oracle, for example
            `{"max_epochs": 27}` for Hyperband. Defaults to `None`.
        on_change: What to do if the search in the folder was another one: `"check"`
            goes on with other ranges, choices and new hyperparameters (old trials
            outside them do not count) and refuses what would make old and new trials
            incomparable; `"adopt"` takes the old trials as far as they go. Defaults to
            `"check"`.
        constraints: Function of the values of a trial, `{name: value}`, that returns
            whether they are allowed. Others are not proposed, and not run. Defaults to
            `None`.
        warm_start: Results of another search whose values the models of the algorithm
            start from: a tuner, its results, or a data frame of them. Defaults to
            `None`.
        trial_callbacks: Function of a trial that returns callbacks made for it, for
            those that cannot be copied, such as loggers of MLflow or Weights & Biases.
            Defaults to `None`.
        share_models: Whether trials whose models differ in numbers only (learning and
            dropout rates, weight decay, momentum, factors of regularizers) train by
            one compiled model, with the same results. Models with other than Keras's
            parts train one by one, and `plain_reason` says why. Defaults to `True`.
        fidelity: What Hyperband raises from round to round: `"epochs"`, or `"data"`,
            the part of the examples that a trial trains on. Defaults to `"epochs"`.
        **kwargs: Further arguments of `keras_tuner.Tuner`.

    Raises:
        ValueError: If an argument cannot be used.
        TypeError: If an argument has the wrong type.
        PermissionError: If the folder cannot be written.
        ImportError: If the algorithm needs a package that is missing.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies.tuning import Tuner

    def build(hp):
        model = keras.Sequential([keras.layers.Dense(1)])
        rate = hp.Float("rate", 1e-3, 1.0, sampling="log")
        model.compile(keras.optimizers.SGD(rate), loss="mse")
        return model

    x = np.linspace(-1, 1, 32).reshape(32, 1)
    tuner = Tuner(build, "val_loss", max_trials=3, algorithm="evolution", seed=1)
    tuner.search(x, 2 * x, validation_split=0.25, epochs=2, verbose=0)
    assert len(tuner.results()) == 3
    model = tuner.get_best_models()[0]
    ```
    """

    def __init__(
        self,
        hypermodel: Any = None,
        objective: Objective | None = None,
        max_trials: int | None = None,
        algorithm: AlgorithmName | bases.Oracle = "auto",
        pruner: PrunerName | Pruner | None = None,
        directory: str | os.PathLike[str] | None = None,
        project_name: str = "search",
        overwrite: bool = False,
        seed: int | None = None,
        hyperparameters: keras_tuner.HyperParameters | None = None,
        tune_new_entries: bool = True,
        allow_new_entries: bool = True,
        executions_per_trial: int = 1,
        cv: Any = None,
        batch_size: ranges.IntRange | None = None,
        epochs: ranges.IntRange | None = None,
        time_limit: float | None = None,
        trial_in_subprocess: bool = False,
        trial_time_limit: float | None = None,
        trial_memory_limit: float | None = None,
        worker_timeout: float = 60,
        storage: "str | os.PathLike[str] | optuna.storages.BaseStorage | None" = None,
        max_checkpoints: int | None = None,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int | None = None,
        algorithm_options: Mapping[str, Any] | None = None,
        on_change: OnChange = "check",
        constraints: Constraints | None = None,
        warm_start: WarmStart | None = None,
        trial_callbacks: TrialCallbacks | None = None,
        fidelity: Fidelity = "epochs",
        share_models: bool = True,
        **kwargs: Any,
    ) -> None:
        check_objective_names(objective)
        arguments = check_oracle_arguments(
            objective=objective,
            max_trials=max_trials,
            seed=seed,
            hyperparameters=hyperparameters,
            tune_new_entries=tune_new_entries,
            allow_new_entries=allow_new_entries,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
        )
        self.seed: int | None = seed
        self.cv: Any = _folds.check_cv(cv)
        self.executions_per_trial: int = check_count(
            "executions_per_trial", executions_per_trial
        )
        self._isolate(trial_in_subprocess, trial_time_limit, trial_memory_limit)
        self._train(trial_callbacks, share_models)
        self.worker_timeout: float = check_positive("worker_timeout", worker_timeout)
        self.time_limit: float | None = check_positive("time_limit", time_limit, True)
        self.max_checkpoints: int | None = check_count(
            "max_checkpoints", max_checkpoints, optional=True
        )
        self.on_change: OnChange = check_on_change(on_change)
        self.changes: list[str] = []
        self._fit_ranges = check_fit_ranges(batch_size=batch_size, epochs=epochs)
        checked = check_algorithm(algorithm)
        pruner = make_pruner(pruner)
        options = dict(algorithm_options or {}) | fidelity_options(fidelity, checked)
        if storage is not None:
            checked = check_storage_search(checked, objective, overwrite)
            options |= {"storage": storage, "study_name": project_name}
        folder = folders.check_writable(directory, project_name)
        if overwrite:
            delete_search(folder)
        hypermodel = as_hypermodel(hypermodel)
        oracle = self._make_oracle(checked, hypermodel, arguments, options, folder)
        oracle.pruner = pruner
        oracle.constraints = checks.callable_or_none("constraints", constraints)
        super().__init__(
            oracle,
            hypermodel,
            directory=directory,
            project_name=project_name,
            executions_per_trial=executions_per_trial,
            **kwargs,
        )
        self._check_hyperband(self.max_checkpoints)
        self._warm_start(warm_start)
        self._join_chief()

    @classmethod
    def from_optuna(
        cls,
        objective: "Callable[[optuna.Trial], Any]",
        direction: Literal["minimize", "maximize"] | None = None,
        directions: Sequence[str] | None = None,
        **arguments: Any,
    ) -> "Tuner":
        """Returns a tuner that runs an objective written for Optuna, unchanged.

        `trial.suggest_*`, `report`, `should_prune`, `params`, `number` and
        `set_user_attr` work; the algorithm, pruner, folder and processes are those of
        the tuner, so that `study.optimize(objective, 50)` becomes
        `tuner.search()` with `max_trials=50`.

        Args:
            objective: The objective.
            direction: `"minimize"` or `"maximize"`. Defaults to `None`, `"minimize"`.
            directions: A direction for each value, of an objective with several.
                Defaults to `None`.
            **arguments: Arguments of `Tuner`, but for `hypermodel` and `objective`.

        Raises:
            ValueError: If a direction or an argument cannot be used.
            TypeError: If `objective` is no function.
            ImportError: If Optuna is missing (extra `tuning`).
        """
        from keras_strategies.tuning.search._setup import from_optuna as _from_optuna

        return _from_optuna.make_tuner(objective, direction, directions, arguments)

    # Searching

    def search(self, *fit_args: Any, verbose: int | str = 1, **fit_kwargs: Any) -> None:
        """Runs trials until the search ends.

        Args:
            *fit_args: Positional arguments of `fit`.
            verbose: 0 prints nothing, 1 a table, 2 a line for each trial and Keras's
                own lines. Defaults to `1`.
            **fit_kwargs: Keyword arguments of `fit`, such as `validation_data`.

        Raises:
            RuntimeError: If no trial completed, with the message of the last one.
        """
        worker = private.is_worker(self)
        with self._prepared(fit_args, fit_kwargs, verbose):
            if _distributed.is_chief():
                _distributed.serve(self.oracle)
            elif worker or isinstance(self.oracle, OptunaStorageOracle):
                with _distributed.heartbeats(
                    self.oracle, self.tuner_id, self.worker_timeout
                ):
                    self._loop(*fit_args, **fit_kwargs)
            else:
                self._loop(*fit_args, **fit_kwargs)
        if not worker:
            self._check_outcome()

    def search_parallel(
        self,
        n_workers: int | None = None,
        *fit_args: Any,
        gpus: Sequence[int] | None = None,
        executor: "Executor | Any" = None,
        verbose: int | str = 1,
        **fit_kwargs: Any,
    ) -> None:
        """Searches with several processes, of this machine or of an executor.

        A worker that is killed is started again and its trial runs again: no trial is
        lost or counted twice. The workers read what they need from a pickle, so data
        must be arrays (or be loaded by `fit` of the hypermodel). The output of worker k
        is in `worker-k.log` in the folder of the search.

        Args:
            n_workers: Number of processes, at least 1; with an executor the number of
                trials at once. Defaults to `None`, what the executor can take.
            *fit_args: Positional arguments of `fit`.
            gpus: Device numbers that the workers use in turns. Defaults to `None`:
                each worker sees all devices.
            executor: A `concurrent.futures.Executor` that runs the trials: a pool of
                processes that are not forked, Dask's `client.get_executor()`, a pool of
                Ray. Weights are files in the folder, which all of its machines must
                share. Pruners need reports during a trial and are refused. Defaults to
                `None`: processes of this machine.
            verbose: As in `search`. Defaults to `1`.
            **fit_kwargs: Keyword arguments of `fit`.

        Raises:
            RuntimeError: If a worker ends with an error, the executor breaks, or no
                trial completed.
            TypeError: If the hypermodel or the data cannot be pickled.
        """
        workers = self._workers(n_workers, gpus, executor)
        # The workers run the trials: isolation here would add a process to each.
        isolated = self.trial_in_subprocess
        self.trial_in_subprocess: bool = False
        timeout = self.oracle.heartbeat_timeout
        if executor is None:
            self.oracle.heartbeat_timeout = self.worker_timeout
        try:
            with self._prepared(fit_args, fit_kwargs, verbose):
                workers.run(fit_args, fit_kwargs)
        finally:
            self.trial_in_subprocess = isolated
            self.oracle.heartbeat_timeout = timeout
        self._remove_old_checkpoints()
        self._check_outcome()

    def run_trial(self, trial: Trial, *args: Any, **kwargs: Any) -> Any:
        """Builds and trains the model of a trial, once for each fold and execution.

        Override it to search something other than a model; see `keras_tuner.Tuner`.

        Args:
            trial: The trial, with its values in `trial.hyperparameters`.
            *args: Positional arguments of `search`.
            **kwargs: Keyword arguments of `search`.

        Returns:
            What `fit` returns, a dict of metrics, a number, or a list of these, over
            which the metrics are averaged.
        """
        return self._run_fits(trial, *args, **kwargs)

    def _own_run_trial(self) -> Any:
        return Tuner.run_trial
