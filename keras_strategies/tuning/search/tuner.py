"""One entry to every search."""

import shutil

import keras_tuner

from keras_strategies._internal import checks
from keras_strategies.tuning._distributed.parallel import Parallel
from keras_strategies.tuning._space import ranges as _ranges
from keras_strategies.tuning.oracles import _registry as _algorithms
from keras_strategies.tuning.oracles.random_search_oracle import RandomSearchOracle
from keras_strategies.tuning.search import _folders, _trial_runs
from keras_strategies.tuning.search._results import Results
from keras_strategies.tuning.search._trial_loop import FIT, Searching


def _as_hypermodel(hypermodel):
    """A hypermodel around a build function; others come back as they are."""
    if hypermodel is None or isinstance(hypermodel, keras_tuner.HyperModel):
        return hypermodel
    if not callable(hypermodel):
        checks.fail(
            "`hypermodel` must be a keras_tuner.HyperModel or a function `build(hp)`",
            error=TypeError,
            hypermodel=hypermodel,
        )
    wrapped = keras_tuner.HyperModel()
    wrapped.build = hypermodel
    return wrapped


def _count(name, value, optional=False):
    return checks.integer(name, value, low=1, optional=optional)


def _positive(name, value, optional=False):
    return checks.real(name, value, low=0, low_open=True, optional=optional)


class Tuner(Searching, Parallel, Results, keras_tuner.Tuner):
    """Searches the hyperparameters of any model: one class for every algorithm.

    A `keras_tuner.Tuner`: `search`, `get_best_models`, `get_best_hyperparameters`,
    `results_summary`, hypermodels and build functions work as there. It adds better
    algorithms, pruning, cross-validation, and searches that survive: a trial that
    raises or gives NaN is recorded with its message and the search goes on; the same
    call with the same folder goes on where it was interrupted, also with a larger
    `max_trials`; no combination is tried twice.

    `algorithm="auto"` looks at the space and says what it took: the grid if
    `max_trials` covers it; NSGA-II for several objectives; evolution if parts of the
    space are conditional; a Gaussian process for up to 12 numbers; TPE for the rest.

    A pruner stops trials that are behind at an epoch; their best epoch counts. With
    several objectives `get_best_models` ranks by their sum, as in KerasTuner, and
    `pareto_front` returns the trials that no other one beats in all of them.

    Args:
        hypermodel: A `keras_tuner.HyperModel`, or a function `build(hp)` that returns a
            compiled model. `None` for a subclass with its own `run_trial`.
        objective: Name of a metric such as `"val_accuracy"`, `keras_tuner.Objective`,
            or a list of these. `None` if a trial returns the number to minimize.
        max_trials: Trials at most, at least 1. `None` (default) is 10, but the whole
            grid or the whole of Hyperband for these.
        algorithm: `"auto"` (default), `"grid"`, `"random"`, `"bayesian"`,
            `"hyperband"`, `"tpe"`, `"gp"`, `"cmaes"`, `"nsga2"` (these four need
            Optuna), `"evolution"`, or an oracle of this package.
        pruner: `"median"`, `"asha"`, a pruner of this package, or `None` (default).
        directory: Folder of searches. Default: the current one.
        project_name: Folder of this search in it.
        overwrite: Whether to delete an earlier search there. Default `False`: go on
            with it.
        seed: Integer for proposals, folds and initial weights; `None` (default) for
            others each time.
        hyperparameters: `keras_tuner.HyperParameters` to search instead of, or beside,
            what the model declares.
        tune_new_entries: Whether what the model declares beside `hyperparameters` is
            searched. Default `True`.
        allow_new_entries: Whether it may declare more. Default `True`.
        executions_per_trial: Trainings of each combination, at least 1; their mean
            counts. Default 1.
        cv: Number of folds (at least 2), a splitter of scikit-learn, or a list of
            (train, test) rows: `search(x, y)` then trains once a fold and the mean
            counts. `None` (default) for the validation data given to `search`.
        batch_size: `(low, high)` to search the batch size too, for models that do not
            do it themselves. Default `None`.
        epochs: `(low, high)` to search the number of epochs. Default `None`.
        time_limit: Seconds after which no further trial starts and the running one
            ends with its epoch. `None` (default) for no limit.
        trial_in_subprocess: Whether each trial gets a process of its own: nothing
            leaks into the next, and one that crashes is recorded as failed. Costs the
            start of Keras, a few seconds a trial. Default `False`.
        trial_time_limit: Seconds after which the process of a trial is killed and the
            trial has failed; they count from the start of the trial itself, when Keras
            and the data are loaded. Needs `trial_in_subprocess`. Default `None`.
        trial_memory_limit: MiB that the process of a trial may take beyond what Keras
            and the data took at its start (Linux); needs `trial_in_subprocess`. Default
            `None`.
        worker_timeout: Seconds without a sign of life after which the trial of a worker
            is given to another one, above 0. Default 60.
        storage: Path of a journal file, URL of a database, or a storage of Optuna, for
            a search of several processes without a chief: each runs the same script.
            See `OptunaStorageOracle`; the algorithm must be one of Optuna's. `None`
            (default) for trials in the folder.
        max_checkpoints: Number of trials, the best, whose weights stay on disk, at
            least 1. `None` (default) keeps all.
        max_retries_per_trial: Further attempts for a failed trial. Default 0.
        max_consecutive_failed_trials: Failures in a row that end the search; `None`
            (default) for no such end.
        algorithm_options: Dict of further arguments of the oracle, for example
            `{"max_epochs": 27}` for Hyperband.
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

    def __new__(cls, *args, **kwargs):
        made = super().__new__(cls)
        # What another process needs to make the same tuner.
        made.recipe = (cls, args, kwargs)
        made._isolated = None
        return made

    def __init__(
        self,
        hypermodel=None,
        objective=None,
        max_trials=None,
        algorithm="auto",
        pruner=None,
        directory=None,
        project_name="search",
        overwrite=False,
        seed=None,
        hyperparameters=None,
        tune_new_entries=True,
        allow_new_entries=True,
        executions_per_trial=1,
        cv=None,
        batch_size=None,
        epochs=None,
        time_limit=None,
        trial_in_subprocess=False,
        trial_time_limit=None,
        trial_memory_limit=None,
        worker_timeout=60,
        storage=None,
        max_checkpoints=None,
        max_retries_per_trial=0,
        max_consecutive_failed_trials=None,
        algorithm_options=None,
        **kwargs,
    ):
        arguments = {
            "objective": objective,
            "max_trials": _count("max_trials", max_trials, optional=True),
            "seed": checks.integer("seed", seed, low=0, optional=True),
            "hyperparameters": hyperparameters,
            "tune_new_entries": tune_new_entries,
            "allow_new_entries": allow_new_entries,
            "max_retries_per_trial": checks.integer(
                "max_retries_per_trial", max_retries_per_trial, low=0
            ),
            "max_consecutive_failed_trials": _count(
                "max_consecutive_failed_trials", max_consecutive_failed_trials, True
            ),
        }
        self.seed = seed
        self.cv = _trial_runs.check_cv(cv)
        _count("executions_per_trial", executions_per_trial)
        self._check_limits(trial_in_subprocess, trial_time_limit, trial_memory_limit)
        self.worker_timeout = _positive("worker_timeout", worker_timeout)
        self.time_limit = _positive("time_limit", time_limit, optional=True)
        self.max_checkpoints = _count("max_checkpoints", max_checkpoints, optional=True)
        self._fit_ranges = {
            name: _ranges.int_range(name, value, low=1)
            for name, value in zip(FIT, (batch_size, epochs), strict=True)
            if value is not None
        }
        algorithm = _algorithms.checked(algorithm)
        pruner = _algorithms.pruner(pruner)
        options = dict(algorithm_options or {})
        if storage is not None:
            algorithm = _algorithms.shared(algorithm, objective, overwrite)
            options |= {"storage": storage, "study_name": project_name}
        folder = _folders.check_writable(directory, project_name)
        if overwrite:
            shutil.rmtree(folder)
        self._explored = False
        hypermodel = _as_hypermodel(hypermodel)
        oracle = self._make_oracle(algorithm, hypermodel, arguments, options, folder)
        oracle.pruner = pruner
        super().__init__(
            oracle,
            hypermodel,
            directory=directory,
            project_name=project_name,
            executions_per_trial=executions_per_trial,
            **kwargs,
        )
        self._check_combination()
        self._join()

    def _check_limits(self, trial_in_subprocess, seconds, mebibytes):
        self.trial_in_subprocess = checks.boolean(
            "trial_in_subprocess", trial_in_subprocess
        )
        limits = {"trial_time_limit": seconds, "trial_memory_limit": mebibytes}
        for name, value in limits.items():
            value = _positive(name, value, optional=True)
            if value is not None and not trial_in_subprocess:
                checks.fail(
                    f"`{name}` needs a process for each trial",
                    **{name: value},
                    fix="Pass trial_in_subprocess=True.",
                )
            setattr(self, name, value)

    def _make_oracle(self, algorithm, hypermodel, arguments, options, folder):
        if not isinstance(algorithm, str):
            self.algorithm_reason = "given as an oracle"
            return algorithm
        self.algorithm_reason = "asked for"
        if algorithm == "auto":
            stored = _folders.stored_algorithm(folder)
            if stored is not None:
                algorithm, self.algorithm_reason = stored, "the search began with it"
            else:
                space = self._explore(hypermodel, arguments)
                arguments = {**arguments, "hyperparameters": space}
                objective = arguments["objective"]
                count = len(objective) if isinstance(objective, list) else 1
                most = arguments["max_trials"] or 10
                algorithm, self.algorithm_reason = _algorithms.choose(
                    space.space, most, count
                )
        if arguments["max_trials"] is None and algorithm not in ("grid", "hyperband"):
            arguments = {**arguments, "max_trials": 10}
        oracle = _algorithms.make(algorithm, options, arguments)
        oracle.algorithm = algorithm
        if hasattr(oracle, "storage_lease"):
            oracle.storage_lease = self.worker_timeout
        return oracle

    def _explore(self, hypermodel, arguments):
        """The space that the model declares, before there is an oracle for it."""
        self.oracle = RandomSearchOracle(**arguments)
        self.distribution_strategy = None
        self.optimizer = self.loss = self.metrics = None
        self.hypermodel = hypermodel
        self._populate_initial_space()
        self._explored = True
        return self.oracle.hyperparameters

    def _populate_initial_space(self):
        if self._explored:
            return
        if self.hypermodel is not None:
            super()._populate_initial_space()
        space = self.oracle.get_space()
        for name, bounds in self._fit_ranges.items():
            if any(hp.name == name for hp in space.space):
                checks.fail(
                    f"`{name}` must not be given: the model searches it itself",
                    **{name: bounds},
                )
            space.Int(name, *bounds)
        self.oracle.update_space(space)

    def _check_combination(self):
        hyperband = getattr(self.oracle, "algorithm", None) == "hyperband"
        if hyperband and (self.max_checkpoints or "epochs" in self._fit_ranges):
            checks.fail(
                "`max_checkpoints` and `epochs` must be None with Hyperband, which "
                "chooses the epochs and goes on from earlier weights",
                max_checkpoints=self.max_checkpoints,
                epochs=self._fit_ranges.get("epochs"),
            )
