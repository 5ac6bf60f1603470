"""Loop of a search: asks the oracle for trials and runs them."""

import contextlib
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras_tuner
from keras_tuner import errors
from keras_tuner.engine.trial import TrialStatus

from keras_strategies._internal import checks, signatures
from keras_strategies._internal.storage import checked_json
from keras_strategies.tuning import _distributed, _space
from keras_strategies.tuning._distributed import IsolatedTrials, TrialError
from keras_strategies.tuning._private import oracles as private_oracles
from keras_strategies.tuning._private import tuners as private
from keras_strategies.tuning._space import Trial
from keras_strategies.tuning.oracles import (
    HyperbandOracle,
    PopulationBasedTrainingOracle,
)
from keras_strategies.tuning.search._arguments import check_trial_limit
from keras_strategies.tuning.search._setup import misuse
from keras_strategies.tuning.search._trials import checkpoints
from keras_strategies.tuning.search._trials.model_fits import (
    FIT_ARGUMENTS,
    ModelFits,
)
from keras_strategies.tuning.search._trials.trial_metrics import (
    reduce_results,
    reported_metrics,
)


class TrialLoop(ModelFits):
    """The part of `Tuner` that runs trials."""

    time_limit: float | None
    max_checkpoints: int | None
    trial_in_subprocess: bool
    trial_time_limit: float | None
    trial_memory_limit: float | None
    algorithm_reason: str
    changes: list[str]
    _isolated: IsolatedTrials | None = None

    def _isolate(self, isolates: Any, seconds: Any, mebibytes: Any) -> None:
        """Checks the arguments about processes of trials."""
        checks.boolean("trial_in_subprocess", isolates)
        self.trial_in_subprocess = isolates
        self.trial_time_limit = check_trial_limit("trial_time_limit", seconds, isolates)
        self.trial_memory_limit = check_trial_limit(
            "trial_memory_limit", mebibytes, isolates
        )

    def enqueue(self, values: Mapping[str, Any]) -> None:
        """Enqueues values to be tried before what the algorithm proposes.

        For start values that are known to be good. What was tried before, in this
        folder too, is not tried again, so that a script may enqueue at each start.

        Args:
            values: Values by the names of hyperparameters; others have their defaults.

        Raises:
            ValueError: If the space has no such name or value, or the values violate
                the constraints.
        """
        self.oracle.enqueue(values)

    @contextlib.contextmanager
    def _prepared(
        self, fit_args: Sequence[Any], fit_kwargs: dict[str, Any], verbose: Any
    ) -> Iterator[None]:
        """Checks the arguments, shows the budget and then the progress."""
        if type(self).run_trial is self._own_run_trial():
            misuse.check_hypermodel(self.hypermodel)
            misuse.check_data(self.hypermodel, fit_args, fit_kwargs)
        for name in FIT_ARGUMENTS:
            if name in self._fit_ranges and fit_kwargs.get(name) is not None:
                checks.fail(
                    f"`{name}` must not be given to `search`: it is searched",
                    **{name: fit_kwargs[name]},
                )
        if self.cv is not None:  # fails here, not in each trial
            next(iter(self._folds(fit_args, fit_kwargs)))
        verbose = 1 if verbose == "auto" else verbose
        fit_kwargs["verbose"] = 0 if verbose < 2 else verbose
        self.oracle.verbose = verbose
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._owned())
            self.oracle.stop_reason = None
            if self.time_limit is not None:
                self.oracle.deadline = self.oracle.clock() + self.time_limit
            # Workers and a resumed search read the state from the folder.
            self.save()
            display = private_oracles.display(self.oracle)
            display.on_search_begin(self._budget(fit_kwargs))
            stack.callback(display.on_search_end)
            if self._shared_models is not None:
                stack.callback(self._shared_models.forget)
            self._isolated = None
            if self.trial_in_subprocess:
                isolated = IsolatedTrials(self, fit_args, fit_kwargs)
                self._isolated = stack.enter_context(isolated)
            yield

    def _own_run_trial(self) -> Any:
        """The `run_trial` that trains a model, not one of a subclass."""
        raise NotImplementedError

    def _loop(self, *fit_args: Any, **fit_kwargs: Any) -> None:
        self.on_search_begin()
        before = len(self.oracle.end_order)
        while True:
            self.pre_create_trial()
            trial = self.oracle.create_trial(self.tuner_id)
            if trial.status == TrialStatus.STOPPED:
                break
            if trial.status == TrialStatus.IDLE:
                time.sleep(0.1)
                continue
            self.on_trial_begin(trial)
            self._run_and_record(trial, *fit_args, **fit_kwargs)
            self.on_trial_end(trial)
        if before == len(self.oracle.end_order):
            self._warn_of_old_space()
        self.on_search_end()

    def _warn_of_old_space(self) -> None:
        """Says that a search used up the space of its folder, perhaps not today's."""
        oracle = self.oracle
        is_full = oracle.max_trials and len(oracle.trials) >= oracle.max_trials
        if oracle.hyperparameters.unconfirmed and not is_full:
            warnings.warn(
                "No trial ran: the space of the trials in the folder is used up. What "
                "`run_trial` would declare today is not known before a trial runs; if "
                "it is more, pass it as `hyperparameters=`, or `overwrite=True`.",
                stacklevel=4,
            )

    def _check_outcome(self) -> None:
        """Raises if the search was ended by failures or no trial completed."""
        reason = self.oracle.stop_reason
        if reason is not None and "failed" in reason:
            raise RuntimeError(f"The search ended: {reason}. {self._failures()}")
        if not self.oracle.trials and reason is None:
            raise RuntimeError(self._no_trials())
        if self.oracle.end_order and not self.oracle.completed_trials():
            raise RuntimeError(f"No trial completed. {self._failures()}")

    def _no_trials(self) -> str:
        text = "The search ended without a trial"
        if self.oracle.constraints is None:
            return f"{text}: the algorithm proposed none."
        return f"{text}: no combination that was drawn satisfies `constraints`."

    def _failures(self) -> str:
        trials = [self.oracle.trials[key] for key in self.oracle.end_order]
        failed = [t for t in trials if t.status == TrialStatus.FAILED]
        if not failed:
            return "There is no message."
        return f"Message of trial {failed[-1].trial_id}:\n{failed[-1].message}"

    def _budget(self, fit_kwargs: Mapping[str, Any]) -> Iterator[str]:
        """Lines about what the search will cost, before it starts."""
        oracle = self.oracle
        name = getattr(oracle, "algorithm", None) or type(oracle).__name__
        yield f"Search in {self.project_dir}: {name} ({self.algorithm_reason})"
        if isinstance(oracle, HyperbandOracle):
            trials, epochs = oracle.trials_and_epochs()
            if oracle.fidelity == "data":
                part = f"1/{oracle.max_epochs} to all of the examples each"
                yield f"Up to {trials} trials with {part}"
            else:
                yield f"Up to {trials} trials and {epochs} epochs in all"
        elif isinstance(oracle, PopulationBasedTrainingOracle):
            trials = oracle.population_size * oracle.generations
            epochs = trials * oracle.interval
            yield f"Up to {trials} trials and {epochs} epochs in all"
        else:
            default = fit_kwargs.get("epochs", 1)
            epochs = self._fit_ranges.get("epochs", (0, default))[1]
            trials = oracle.max_trials or "all combinations"
            parts = [f"{trials} trials", f"{self.executions_per_trial} executions"]
            if self.cv is not None:
                folds = self.cv if isinstance(self.cv, int) else "each fold of cv"
                parts.append(f"{folds} folds")
            yield "At most " + " x ".join([*parts, f"{epochs} epochs"])
        if oracle.trials:
            yield f"{len(oracle.end_order)} trials are there from before"
            if oracle.outside:
                yield f"{len(oracle.outside)} of them lie outside the present space"
        for change in self.changes:
            yield f"Changed since the search began: {change}"

    # One trial

    def _run_and_record(self, trial: Trial, *fit_args: Any, **fit_kwargs: Any) -> None:
        """Runs a trial; a failure becomes its status and message."""
        self._record(trial, lambda: self._run(trial, *fit_args, **fit_kwargs))

    def finish_remote(self, trial: Trial, result: Mapping[str, Any]) -> None:
        """Records a trial that an executor has run.

        Args:
            trial: The trial.
            result: What `evaluate_remote` returned there, or its error.
        """
        curve = {int(epoch): value for epoch, value in result.get("curve", ())}
        if curve:
            self.oracle.curves[trial.trial_id] = curve
        self._record(trial, lambda: _distributed.outcome(trial, result))
        self.on_trial_end(trial)

    def _record(
        self, trial: Trial, run: Callable[[], tuple[dict[str, float], int]]
    ) -> None:
        try:
            metrics, epoch = run()
            record = self.oracle.get_trial(trial.trial_id)
            if not record.metrics.exists(self.oracle.objective.name):
                self.oracle.update_trial(trial.trial_id, metrics, step=epoch)
            trial.status = TrialStatus.COMPLETED
        except errors.FatalError:
            raise
        except OSError as error:
            if checked_json.is_full(error):
                # Every further trial would fail. This one runs again after a resume.
                raise checked_json.full_error(self.project_dir) from error
            trial.status = TrialStatus.INVALID
            trial.message = traceback.format_exc()
        except errors.FailedTrialError as error:
            trial.status, trial.message = TrialStatus.FAILED, str(error)
        except TrialError as error:
            trial.status, trial.message = TrialStatus.INVALID, str(error)
        except Exception:
            # Recorded in the trial; the search continues.
            trial.status = TrialStatus.INVALID
            trial.message = traceback.format_exc()

    def _run(
        self, trial: Trial, *fit_args: Any, **fit_kwargs: Any
    ) -> tuple[dict[str, float], int]:
        if self._isolated is None:
            return self.evaluate_remote(trial, *fit_args, **fit_kwargs)
        self._check_feasible(trial.hyperparameters)
        checkpoints.remove_checkpoint(self.checkpoint_path(trial.trial_id))
        return self._isolated.run(trial)

    def evaluate_remote(
        self, trial: Trial, *fit_args: Any, **fit_kwargs: Any
    ) -> tuple[dict[str, float], int]:
        """Runs a trial in this process from its beginning; metrics and best epoch.

        What an executor calls elsewhere.

        Args:
            trial: The trial.
            *fit_args: Positional arguments of `fit`.
            **fit_kwargs: Keyword arguments of `fit`.
        """
        self._check_feasible(trial.hyperparameters)
        checkpoints.remove_checkpoint(self.checkpoint_path(trial.trial_id))
        return self._evaluate(trial, *fit_args, **fit_kwargs)

    def _evaluate(
        self, trial: Trial, *fit_args: Any, **fit_kwargs: Any
    ) -> tuple[dict[str, float], int]:
        """Runs a trial in this process; its metrics and its best epoch."""
        if not signatures.accepts(self.run_trial, "verbose"):  # one of the user
            fit_kwargs.pop("verbose", None)
        results = self.run_trial(trial, *fit_args, **fit_kwargs)
        space = _space.Space.of(trial.hyperparameters)
        space.check_expected()
        space.drop_unused()
        trial.hyperparameters = space
        objective, from_last = self.oracle.objective, self.oracle.continues_from_last
        reported = self._reported(trial)
        return reported or reduce_results(results, objective, from_last)

    def _reported(self, trial: Trial) -> tuple[dict[str, float], int] | None:
        """What a `run_trial` of former times has told the oracle by itself."""
        if type(self).run_trial is self._own_run_trial():
            return None
        record = self.oracle.get_trial(trial.trial_id)
        reported = reported_metrics(record, self.oracle.objective)
        if reported is not None:
            warnings.warn(
                "Calling `self.oracle.update_trial(trial_id, metrics)` in `run_trial` "
                "is deprecated in KerasTuner. Return the metrics instead; what "
                "`run_trial` returned now is ignored.",
                DeprecationWarning,
                stacklevel=2,
            )
        return reported

    def _check_feasible(self, hp: keras_tuner.HyperParameters) -> None:
        if not self.oracle.is_feasible(hp.values):
            values = {k: _space.from_label(v) for k, v in hp.values.items()}
            raise errors.FailedTrialError(f"{_space.INFEASIBLE}: {values}")

    def on_trial_end(self, trial: Trial) -> None:
        super().on_trial_end(trial)
        if not private.is_worker(self):
            self._remove_old_checkpoints()

    def _remove_old_checkpoints(self) -> None:
        """Keeps the weights of the best `max_checkpoints` trials only."""
        if self.max_checkpoints is None:
            return
        best = self.oracle.get_best_trials(self.max_checkpoints)
        best_ids = {t.trial_id for t in best}
        for trial_id in self.oracle.end_order:
            if trial_id not in best_ids:
                checkpoints.remove_checkpoint(self.checkpoint_path(trial_id))
