"""How a tuner runs its trials."""

import contextlib
import time
import traceback

import keras
import keras_tuner
from keras_tuner import errors
from keras_tuner.engine.trial import TrialStatus

from keras_strategies._internal import checks
from keras_strategies.tuning._distributed.isolated_trials import Isolated, TrialError
from keras_strategies.tuning._space import space as _space
from keras_strategies.tuning.search import _trial_runs

# Arguments of `fit` that can be searched.
FIT = ("batch_size", "epochs")


class Searching:
    """The part of `Tuner` that searches."""

    def search(self, *fit_args, verbose=1, **fit_kwargs):
        """Runs trials until the search ends; the arguments are those of `fit`.

        `verbose` 0 shows nothing, 1 a table, 2 a line a trial and Keras's own lines.
        """
        with self._prepared(fit_args, fit_kwargs, verbose):
            if self._is_chief():
                self._serve()
            elif self._is_worker() or hasattr(self.oracle, "storage_lease"):
                with self._heartbeat():
                    self._loop(*fit_args, **fit_kwargs)
            else:
                self._loop(*fit_args, **fit_kwargs)
        if not self._is_worker():
            self._check_outcome()

    @contextlib.contextmanager
    def _prepared(self, fit_args, fit_kwargs, verbose):
        """Checks the arguments, says what comes and shows it while it runs."""
        for name in FIT:
            if name in self._fit_ranges and fit_kwargs.get(name) is not None:
                checks.fail(
                    f"`{name}` must not be given to `search`: it is searched",
                    **{name: fit_kwargs[name]},
                )
        if self.cv is not None:
            next(iter(_trial_runs.folds(self.cv, fit_args, fit_kwargs, self.seed or 0)))
        verbose = 1 if verbose == "auto" else verbose
        fit_kwargs["verbose"] = 0 if verbose < 2 else verbose
        self.oracle.verbose = verbose
        self.oracle.stop_reason = None
        if self.time_limit is not None:
            self.oracle.deadline = self.oracle.clock() + self.time_limit
        self.save()
        display = self.oracle._display
        display.on_search_begin(self._budget(fit_kwargs))
        self._isolated = None
        try:
            with contextlib.ExitStack() as stack:
                if self.trial_in_subprocess:
                    isolated = Isolated(self, fit_args, fit_kwargs)
                    self._isolated = stack.enter_context(isolated)
                yield
        finally:
            display.on_search_end()

    def _loop(self, *fit_args, **fit_kwargs):
        self.on_search_begin()
        while True:
            self.pre_create_trial()
            trial = self.oracle.create_trial(self.tuner_id)
            if trial.status == TrialStatus.STOPPED:
                break
            if trial.status == TrialStatus.IDLE:
                time.sleep(0.1)
                continue
            self.on_trial_begin(trial)
            self._try_run_and_update_trial(trial, *fit_args, **fit_kwargs)
            self.on_trial_end(trial)
        self.on_search_end()

    def _check_outcome(self):
        reason = self.oracle.stop_reason
        if reason is not None and "failed" in reason:
            raise RuntimeError(f"The search ended: {reason}. {self._failures()}")
        if self.oracle.end_order and not self.oracle.finished():
            raise RuntimeError(f"No trial completed. {self._failures()}")

    def _failures(self):
        trials = [self.oracle.trials[key] for key in self.oracle.end_order]
        failed = [t for t in trials if t.status == TrialStatus.FAILED]
        if not failed:
            return "There is no message."
        return f"Message of trial {failed[-1].trial_id}:\n{failed[-1].message}"

    def _budget(self, fit_kwargs):
        """What the search will cost, said before it starts."""
        oracle = self.oracle
        name = getattr(oracle, "algorithm", type(oracle).__name__)
        yield f"Search in {self.project_dir}: {name} ({self.algorithm_reason})"
        folds = 1
        if self.cv is not None:
            folds = self.cv if isinstance(self.cv, int) else "each fold of cv"
        if hasattr(oracle, "trials_and_epochs"):
            trials, epochs = oracle.trials_and_epochs()
            yield f"Up to {trials} trials and {epochs} epochs in all"
        else:
            top = self._fit_ranges.get("epochs", (0, fit_kwargs.get("epochs", 1)))[1]
            trials = oracle.max_trials or "all combinations"
            parts = [f"{trials} trials", f"{self.executions_per_trial} executions"]
            parts += [f"{folds} folds"] if self.cv is not None else []
            yield "At most " + " x ".join([*parts, f"{top} epochs"])
        if oracle.trials:
            yield f"{len(oracle.end_order)} trials are there from before"

    # One trial

    def run_trial(self, trial, *fit_args, **fit_kwargs):
        """Builds and trains the model of a trial, once a fold and execution."""
        trial.hyperparameters = _space.Space.of(trial.hyperparameters)
        callbacks = fit_kwargs.pop("callbacks", None) or []
        best, results = _trial_runs.Best(), []
        for k, (args, kwargs) in enumerate(self._fits(trial, fit_args, fit_kwargs)):
            own = self._deepcopy_callbacks(callbacks)
            self._configure_tensorboard_dir(own, trial, k)
            own.append(_trial_runs.AfterEpoch(self, trial, best, first=k == 0))
            if self.seed is not None:
                chance = self.oracle.probability("weights", trial.trial_id, k)
                keras.utils.set_random_seed(int(chance * 2**31))
            result = self._build_and_fit_model(trial, *args, callbacks=own, **kwargs)
            results.append(result)
            if trial.trial_id in self.oracle.pruned:
                break
        return results

    def _fits(self, trial, args, kwargs):
        values = trial.hyperparameters.values
        kwargs = dict(kwargs)
        if "tuner/epochs" in values:  # Hyperband
            kwargs["epochs"] = values["tuner/epochs"]
            kwargs["initial_epoch"] = values["tuner/initial_epoch"]
        for _ in range(self.executions_per_trial):
            if self.cv is None:
                yield args, kwargs
            else:
                yield from _trial_runs.folds(self.cv, args, kwargs, self.seed or 0)

    def _build_and_fit_model(self, trial, *args, **kwargs):
        hp = trial.hyperparameters
        model = self._try_build(hp)
        plain = type(self.hypermodel).fit is keras_tuner.HyperModel.fit
        for name in FIT:
            # What a build function declares under these names is meant for `fit`.
            if name in hp.values and (plain or name in self._fit_ranges):
                kwargs.setdefault(name, hp.values[name])
        results = self.hypermodel.fit(hp, model, *args, **kwargs)
        path = self._get_build_config_fname(trial.trial_id)
        _trial_runs.write_build_config(path, model)
        return results

    def _build_hypermodel(self, hp):
        model = super()._build_hypermodel(hp)
        earlier = hp.values.get("tuner/trial_id")
        if earlier is not None:  # Hyperband goes on from there
            _trial_runs.read_weights(
                model,
                self._get_build_config_fname(earlier),
                self.checkpoint_path(earlier),
            )
        return model

    def _try_run_and_update_trial(self, trial, *fit_args, **fit_kwargs):
        try:
            self._run_and_update_trial(trial, *fit_args, **fit_kwargs)
            trial.status = TrialStatus.COMPLETED
        except errors.FatalError:
            raise
        except errors.FailedTrialError as error:
            trial.status, trial.message = TrialStatus.FAILED, str(error)
        except TrialError as error:
            trial.status, trial.message = TrialStatus.INVALID, str(error)
        except Exception:
            # Recorded in the trial; the search goes on.
            trial.status = TrialStatus.INVALID
            trial.message = traceback.format_exc()

    def _run_and_update_trial(self, trial, *fit_args, **fit_kwargs):
        _trial_runs.remove_checkpoint(self.checkpoint_path(trial.trial_id))
        if self._isolated is not None:
            metrics, epoch = self._isolated.run(trial)
        else:
            metrics, epoch = self._evaluate(trial, *fit_args, **fit_kwargs)
        self.oracle.update_trial(trial.trial_id, metrics, step=epoch)

    def _evaluate(self, trial, *fit_args, **fit_kwargs):
        """Runs a trial here; its metrics and its best epoch."""
        results = self.run_trial(trial, *fit_args, **fit_kwargs)
        return _trial_runs.reduced(results, self.oracle.objective)

    def on_trial_end(self, trial):
        super().on_trial_end(trial)
        if not self._is_worker():
            self._drop_checkpoints()

    def _drop_checkpoints(self):
        if self.max_checkpoints is None:
            return
        best = self.oracle.get_best_trials(self.max_checkpoints)
        keep = {t.trial_id for t in best}
        for trial_id in self.oracle.end_order:
            if trial_id not in keep:
                _trial_runs.remove_checkpoint(self.checkpoint_path(trial_id))
