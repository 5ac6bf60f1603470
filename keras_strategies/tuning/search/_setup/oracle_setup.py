"""Construction of a tuner: the oracle, chosen from the space of the hypermodel."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import keras
import keras_tuner

from keras_strategies._internal import checks
from keras_strategies._internal.processes.executors import check_executor
from keras_strategies.tuning import _distributed
from keras_strategies.tuning._private import tuners as private
from keras_strategies.tuning._private.oracles import local_oracle
from keras_strategies.tuning.oracles import (
    HyperbandOracle,
    OptunaStorageOracle,
    PopulationBasedTrainingOracle,
    RandomSearchOracle,
)
from keras_strategies.tuning.oracles._base import OracleBase
from keras_strategies.tuning.oracles._registry import (
    ALGORITHMS,
    choose_algorithm,
    choose_for_storage,
    make_oracle,
)
from keras_strategies.tuning.reports import objectives_of
from keras_strategies.tuning.search._setup import folders
from keras_strategies.tuning.search._setup.warm_start import read_results

DEFAULT_MAX_TRIALS = 10


def as_hypermodel(hypermodel: Any) -> keras_tuner.HyperModel | None:
    """A hypermodel around a build function; others are returned as they are."""
    if hypermodel is None or isinstance(hypermodel, keras_tuner.HyperModel):
        return hypermodel
    if isinstance(hypermodel, keras.Model):
        checks.fail(
            "`hypermodel` must be a function that builds a model, not a model",
            error=TypeError,
            hypermodel=hypermodel.name,
            fix="Pass tuning.tune_model(model) to search how it trains.",
        )
    if not callable(hypermodel):
        checks.fail(
            "`hypermodel` must be a keras_tuner.HyperModel or a function `build(hp)`",
            error=TypeError,
            hypermodel=hypermodel,
        )
    wrapper = keras_tuner.HyperModel()
    wrapper.build = hypermodel
    return wrapper


def count_objectives(objective: Any) -> int:
    return len(objective) if isinstance(objective, list) else 1


def check_storage_search(algorithm: Any, objective: Any, overwrite: bool) -> str:
    """Returns the name of the sampler for a search through a storage of Optuna."""
    if overwrite:
        checks.fail(
            "`overwrite` must be False with a `storage`, where others may search",
            fix="Delete the study before, or name another project.",
            overwrite=overwrite,
        )
    return choose_for_storage(algorithm, count_objectives(objective))


#: What grows from round to round of Hyperband.
Fidelity = Literal["epochs", "data"]


def fidelity_options(fidelity: Any, algorithm: Any) -> dict[str, Any]:
    """Checks `fidelity`; the options of the oracle that it means."""
    checks.choice("fidelity", fidelity, ("epochs", "data"))
    if fidelity == "epochs":
        return {}
    if algorithm != "hyperband":
        checks.fail(
            '`fidelity="data"` needs rounds of trials',
            algorithm=algorithm,
            fix='Pass algorithm="hyperband".',
        )
    return {"fidelity": fidelity}


class OracleSetup(private.TunerHooks):
    """The part of `Tuner` that makes its oracle."""

    worker_timeout: float
    algorithm_reason: str
    distribution_strategy: Any
    optimizer: Any
    loss: Any
    metrics: Any
    _fit_ranges: dict[str, tuple[int, int]]
    _space_is_declared: bool = False

    def _make_oracle(
        self,
        algorithm: str | OracleBase,
        hypermodel: keras_tuner.HyperModel | None,
        arguments: Mapping[str, Any],
        options: Mapping[str, Any],
        folder: str,
    ) -> OracleBase:
        """Returns the oracle, and sets the reason why it was chosen.

        Args:
            algorithm: Name of the algorithm, or an oracle.
            hypermodel: The hypermodel.
            arguments: Arguments that all oracles have.
            options: Arguments of the oracle of this algorithm.
            folder: Folder of the search.
        """
        if not isinstance(algorithm, str):
            self.algorithm_reason = "given as an oracle"
            return algorithm
        self.algorithm_reason = "asked for"
        if algorithm == "auto":
            # A search ends with the algorithm it began with, even if `max_trials` has
            # grown since and another one would be chosen now.
            stored = folders.stored_algorithm(folder)
            if stored is not None:
                algorithm, self.algorithm_reason = stored, "the search began with it"
            else:
                space = self._explore(hypermodel, arguments)
                arguments = {**arguments, "hyperparameters": space}
                algorithm, self.algorithm_reason = choose_algorithm(
                    space.space,
                    arguments["max_trials"] or DEFAULT_MAX_TRIALS,
                    count_objectives(arguments["objective"]),
                )
        is_finite = algorithm in ALGORITHMS and ALGORITHMS[algorithm].is_finite
        if arguments["max_trials"] is None and not is_finite:
            arguments = {**arguments, "max_trials": DEFAULT_MAX_TRIALS}
        oracle = make_oracle(algorithm, options, arguments)
        oracle.algorithm = algorithm
        if isinstance(oracle, OptunaStorageOracle):
            oracle.storage_timeout = self.worker_timeout
        return oracle

    def _explore(
        self, hypermodel: keras_tuner.HyperModel | None, arguments: Mapping[str, Any]
    ) -> keras_tuner.HyperParameters:
        """The space that the model declares, before there is an oracle for it.

        Building needs the attributes that the constructor of KerasTuner sets later.
        """
        self.oracle = RandomSearchOracle(**arguments)
        self.distribution_strategy = None
        self.optimizer = self.loss = self.metrics = None
        self.hypermodel = hypermodel
        self._declare_space()
        self._space_is_declared = True
        self.oracle.hyperparameters.is_explored = True
        return self.oracle.hyperparameters

    def _declare_space(self) -> None:
        if self._space_is_declared:
            return
        if self.hypermodel is not None:
            self._declare_space_by_building()
        space = self.oracle.get_space()
        for name, bounds in self._fit_ranges.items():
            if any(hp.name == name for hp in space.space):
                checks.fail(
                    f"`{name}` must not be given: the model searches it itself",
                    **{name: bounds},
                )
            space.Int(name, *bounds)
        self.oracle.update_space(space)
        self.oracle.hyperparameters.given |= set(self._fit_ranges)

    def _check_hyperband(self, max_checkpoints: int | None) -> None:
        """Refuses what contradicts Hyperband and population based training."""
        staged = (HyperbandOracle, PopulationBasedTrainingOracle)
        is_staged = isinstance(self.oracle, staged)
        if is_staged and (max_checkpoints or "epochs" in self._fit_ranges):
            checks.fail(
                "`max_checkpoints` and `epochs` must be None with Hyperband and "
                "population based training, which choose the epochs and go on from "
                "earlier weights",
                max_checkpoints=max_checkpoints,
                epochs=self._fit_ranges.get("epochs"),
            )

    def _warm_start(self, source: Any) -> None:
        """Gives the models of the algorithm the results of another search."""
        # A search that goes on has them in its folder.
        if source is not None and not self.oracle.history:
            names = list(objectives_of(self.oracle))
            self.oracle.add_history(
                read_results(source, names, self.oracle.hyperparameters)
            )

    def _workers(
        self, count: int | None, gpus: Sequence[int] | None, executor: Any
    ) -> "_distributed.LocalWorkers | _distributed.ExecutorSearch":
        """What runs the trials of `search_parallel`."""
        checks.integer("n_workers", count, low=1, optional=executor is not None)
        if executor is None:
            return _distributed.LocalWorkers(self, count or 1, list(gpus or []))
        if self.oracle.pruner is not None or gpus is not None:
            checks.fail(
                "`executor` must be None with `gpus` or a pruner: a pruner answers the "
                "reports of a trial that runs, and a `concurrent.futures.Executor` "
                "has no way to talk to its calls",
                executor=executor,
                fix="Use search_parallel(n_workers), or a `storage` and a process for "
                "each worker.",
            )
        if isinstance(self.oracle, OptunaStorageOracle):
            checks.fail(
                "`executor` must be None with a `storage`: there every process "
                "proposes its own trials, with an executor the calling process does",
                executor=executor,
                fix="Let each process of the executor call `search`, or leave "
                "`storage` out.",
            )
        fix = "use search_parallel(n_workers)."
        return _distributed.ExecutorSearch(self, check_executor(executor, fix), count)

    def _join_chief(self) -> None:
        """Takes the role that KerasTuner's environment variables give this process."""
        if private.is_worker(self):
            local = local_oracle(self.oracle)
            address = _distributed.chief_address()
            self.oracle: Any = _distributed.RemoteOracle(local, *address)
            self.oracle.copy_seed()
        elif _distributed.is_chief():
            self.oracle.resume_ongoing()
            self.oracle.heartbeat_timeout = self.worker_timeout
