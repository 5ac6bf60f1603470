"""Bookkeeping of trials: their start, their epochs, their end, the growing space."""

import math
import time
from collections.abc import Mapping

import keras_tuner
from keras_tuner.engine.trial import TrialStatus

from keras_strategies.tuning import _space
from keras_strategies.tuning._private import hyperparameters as private_space
from keras_strategies.tuning._private import oracles as private
from keras_strategies.tuning._space import Trial
from keras_strategies.tuning.oracles._search_state.requests import RequestsOracle
from keras_strategies.tuning.oracles._search_state.stored import locked
from keras_strategies.tuning.pruners import OptunaPruner, Pruner


class BookkeepingOracle(RequestsOracle):
    """Replaces the bookkeeping of KerasTuner's oracles (1.4.8).

    Failures are recorded and end nothing by themselves, a trial can be stopped at an
    epoch, and the life of a trial does not depend on the worker that runs it.
    """

    ongoing_trials: dict[str, Trial]
    stop_reason: str | None

    def completed_trials(self) -> list[Trial]:
        """Returns the completed trials in the order in which they ended.

        Those of before a resume that lie outside the present space are not among them.
        """
        trials = self._every_completed_trial()
        return [t for t in trials if t.trial_id not in self.outside]

    @locked
    def create_trial(self, tuner_id: str) -> Trial:
        """Returns the next trial of a worker; its status may be IDLE or STOPPED."""
        # Each request of a worker is the occasion to look for dead ones.
        self.requeue_expired()
        self._heartbeats[tuner_id] = self.clock()
        if tuner_id in self.ongoing_trials:
            # A repeated request: the answer to the first one was lost.
            return self.ongoing_trials[tuner_id]
        self.tuner_ids.add(tuner_id)
        if self.stop_reason is None and self._is_past_deadline():
            self.stop_reason = "time limit"
        if self.stop_reason is not None:
            return self._no_trial(tuner_id, TrialStatus.STOPPED)
        retries = private.retry_queue(self)
        if retries:
            trial = self.trials[retries.pop(0)]
            trial.status = TrialStatus.RUNNING
            return self._start(tuner_id, trial)
        return self._propose(tuner_id, self._next_id())

    def _next_id(self) -> str:
        """The smallest number that no trial has; a lost trial leaves a gap."""
        # Trials that a script has made itself have KerasTuner's own names.
        numbers = {int(name) for name in self.trials if name.isdecimal()}
        number = next(k for k in range(len(numbers) + 1) if k not in numbers)
        # As wide as the last id, so that the ids sort as their numbers.
        return f"{number:0{len(str(self.max_trials or 1000))}d}"

    def _propose(self, tuner_id: str, trial_id: str) -> Trial:
        if self.max_trials and len(self.trials) >= self.max_trials:
            # A trial under way may have to run again if its worker dies.
            waits = self.heartbeat_timeout is not None and self.ongoing_trials
            status = TrialStatus.IDLE if waits else TrialStatus.STOPPED
            return self._no_trial(tuner_id, status)
        if not self.hyperparameters.space and self.ongoing_trials:
            # The space is declared inside a trial: wait for the first one.
            return self._no_trial(tuner_id, TrialStatus.IDLE)
        start = time.perf_counter()
        values = self.next_enqueued()
        if values is None:
            proposal = self.populate_space(trial_id)
        else:
            proposal = self.propose_enqueued(trial_id, values)
        if proposal["status"] != TrialStatus.RUNNING:
            return self._no_trial(tuner_id, proposal["status"])
        self.proposal_seconds.append(time.perf_counter() - start)
        hyperparameters = self.hyperparameters.copy()
        hyperparameters.values = proposal.get("values") or {}
        trial = Trial(hyperparameters, trial_id=trial_id, status=TrialStatus.RUNNING)
        private.record_values(self, trial)
        self.trials[trial_id] = trial
        self.start_order.append(trial_id)
        return self._start(tuner_id, trial)

    def _start(self, tuner_id: str, trial: Trial) -> Trial:
        self.ongoing_trials[tuner_id] = trial
        # A trial that runs again begins from its first epoch, without the metrics
        # that an interrupted `run_trial` may have reported itself.
        trial.metrics = Trial(None).metrics
        self.curves.pop(trial.trial_id, None)
        self.pruned.pop(trial.trial_id, None)
        self._start_times[trial.trial_id] = time.time()
        self._write_trial(trial)
        self.save()
        private.display(self).on_trial_begin(trial)
        return trial

    def _no_trial(self, tuner_id: str, status: str) -> Trial:
        if status == TrialStatus.STOPPED:
            # The worker ends now: from here on it owes no heartbeat.
            self._exhausted = True
            self.tuner_ids.discard(tuner_id)
            self._heartbeats.pop(tuner_id, None)
        return Trial(self.hyperparameters.copy(), status=status)

    @locked
    def report(self, trial_id: str, epoch: int, logs: Mapping[str, float]) -> str:
        """Records the metrics after an epoch.

        Args:
            trial_id: Id of the trial.
            epoch: The epoch, from 0.
            logs: The metrics.

        Returns:
            `"STOPPED"` if the trial should end with this epoch, else `"RUNNING"`.
        """
        for tuner_id, trial in self.ongoing_trials.items():
            if trial.trial_id == trial_id:
                self._heartbeats[tuner_id] = self.clock()
        curve = self.curves.setdefault(trial_id, {})
        if self.objective.has_value(logs):
            curve[epoch] = float(self.objective.get_value(logs))
        if self._is_past_deadline():  # the trial ends as if it were pruned
            self.pruned[trial_id] = epoch
            return TrialStatus.STOPPED
        pruner = self.pruner
        if pruner is None or epoch not in curve:
            return TrialStatus.RUNNING
        if not self._is_pruned_now(pruner, trial_id, curve):
            return TrialStatus.RUNNING
        self.pruned[trial_id] = epoch
        return TrialStatus.STOPPED

    def _is_pruned_now(
        self, pruner: Pruner, trial_id: str, curve: dict[int, float]
    ) -> bool:
        direction = self.objective.direction
        if isinstance(pruner, OptunaPruner):
            started = {
                key: self.curves[key] for key in self.start_order if key in self.curves
            }
            curves = {**started, trial_id: curve}
            ended = set(self.end_order)
            return pruner.should_stop_trial(
                trial_id, curves, ended, self.pruned, direction
            )
        rivals = self._rivals(trial_id, pruner.compares)
        return pruner.should_stop(curve, rivals, direction)

    def _rivals(self, trial_id: str, compares: str) -> list[dict[int, float]]:
        """The curves that the pruner compares with."""
        if compares == "all":
            ids = self.curves.keys() - {trial_id}
        else:
            ids = {t.trial_id for t in self.completed_trials()} - self.pruned.keys()
        return [self.curves[key] for key in sorted(ids) if key in self.curves]

    def _is_past_deadline(self) -> bool:
        return self.deadline is not None and self.clock() > self.deadline

    @locked
    def end_trial(self, trial: Trial) -> None:
        """Records the end of a trial: its score, or its failure."""
        record = self.trials[trial.trial_id]
        if trial.trial_id in self.end_order:
            return  # ended by another worker meanwhile
        record.hyperparameters = _space.Space.of(trial.hyperparameters)
        record.status, record.message = trial.status, trial.message
        self.update_space(record.hyperparameters)
        self.adopt_declarations(record.hyperparameters)
        if record.status == TrialStatus.COMPLETED:
            self._score(record)
        # Again, as the model may have declared more during the trial.
        private.record_values(self, record)
        start = self._start_times.get(record.trial_id, time.time())
        self.seconds[record.trial_id] = time.time() - start
        private.run_counts(self)[record.trial_id] += 1
        self.ongoing_trials = {
            tuner_id: ongoing
            for tuner_id, ongoing in self.ongoing_trials.items()
            if ongoing.trial_id != record.trial_id
        }
        retries = private.retry_queue(self)
        if record.trial_id in retries:
            retries.remove(record.trial_id)
        if not self._requeue_failed(record):
            self._finish(record)
        self._write_trial(record)
        self.save()
        private.display(self).on_trial_end(record)

    def _score(self, trial: Trial) -> None:
        # KerasTuner asks for the best value, which ignores NaN.
        value = trial.metrics.get_last_value(self.objective.name)
        if value is None or not math.isfinite(value):
            trial.status = TrialStatus.INVALID
            trial.message = f"The objective {self.objective.name} is {value}."
            return
        self.score_trial(trial)

    def _requeue_failed(self, trial: Trial) -> bool:
        """Enqueues an invalid trial again, unless it has failed too often."""
        if trial.status != TrialStatus.INVALID:
            return False
        if private.run_counts(self)[trial.trial_id] > self.max_retries_per_trial:
            trial.status = TrialStatus.FAILED
            return False
        trial.metrics = Trial(None).metrics
        private.retry_queue(self).append(trial.trial_id)
        return True

    # The growing space, metrics and results

    @locked
    def get_space(self) -> keras_tuner.HyperParameters:
        """Returns a copy of the space as it is declared so far."""
        return self.hyperparameters.copy()

    @locked
    def update_space(self, hyperparameters: keras_tuner.HyperParameters) -> None:
        """Adds the hyperparameters that the space does not have yet."""
        new = [
            _space.repaired(hp)
            for hp in hyperparameters.space
            if not private_space.is_declared(self.hyperparameters, hp)
        ]
        if new and not self.allow_new_entries:
            raise RuntimeError(
                "`allow_new_entries` is False, but the hypermodel asked for "
                f"{', '.join(hp.name for hp in new)}. Declare them in "
                "`hyperparameters`, or give allow_new_entries=True."
            )
        if self.tune_new_entries:
            self.hyperparameters.merge(new)

    @locked
    def update_trial(
        self, trial_id: str, metrics: Mapping[str, float], step: int = 0
    ) -> Trial:
        """Records the metrics of a trial; `step` is its best epoch, from 0."""
        return self.add_metrics(self.trials[trial_id], metrics, step)

    def add_metrics(
        self, trial: Trial, metrics: Mapping[str, float], step: int
    ) -> Trial:
        """Adds metrics to a trial, which need not be one of this oracle."""
        private.check_objective_reported(self, metrics)
        for name, value in metrics.items():
            if not trial.metrics.exists(name):
                trial.metrics.register(name, direction=self._direction(name))
            # `MetricsTracker.update` would warn of a value that is not a number.
            trial.metrics.metrics[name].update(float(value), step)
        return trial

    def _direction(self, name: str) -> str | None:
        objectives = getattr(self.objective, "objectives", [self.objective])
        if name == self.objective.name:
            return self.objective.direction
        return next((o.direction for o in objectives if o.name == name), None)

    def metric(self, trial: Trial, name: str) -> float:
        """Returns the best value of a metric of a completed trial."""
        return float(trial.metrics.get_best_value(name))

    def get_best_trials(self, num_trials: int = 1) -> list[Trial]:
        """Returns the best completed trials, the best first; fewer if fewer completed.

        KerasTuner's own fills up with trials that have failed.
        """
        trials = [t for t in self.completed_trials() if t.score is not None]
        trials.sort(key=lambda t: t.score, reverse=self.objective.direction == "max")
        return trials[:num_trials]
