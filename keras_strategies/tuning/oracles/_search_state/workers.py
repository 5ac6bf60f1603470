"""Workers of an oracle: heartbeats, trials of dead workers, the end of a search."""

from keras_tuner.engine.trial import TrialStatus

from keras_strategies.tuning import _space
from keras_strategies.tuning._private import oracles as private
from keras_strategies.tuning._space import Trial
from keras_strategies.tuning.oracles._search_state.adopting import AdoptingOracle
from keras_strategies.tuning.oracles._search_state.stored import locked

# A trial whose worker has died so often has failed: it probably kills its process.
MAX_ORPHANED = 3


class WorkerOracle(AdoptingOracle):
    """Leases on trials: a worker that gives no heartbeat loses its trial to another.

    KerasTuner's chief waits for such a worker for ever. Every call of a worker counts
    as a heartbeat, the report after each epoch too.
    """

    ongoing_trials: dict[str, Trial]
    stop_reason: str | None

    @locked
    def heartbeat(self, tuner_id: str) -> bool:
        """Records that a worker is alive; `False` if another has its trial."""
        self._heartbeats[tuner_id] = self.clock()
        return tuner_id in self.ongoing_trials

    @locked
    def requeue_expired(self) -> None:
        """Enqueues the trials of workers whose heartbeat has timed out."""
        timeout = self.heartbeat_timeout
        if timeout is None:
            return
        now = self.clock()
        # A worker without a trial counts too: the search waits for it to end.
        for tuner_id in list(self.tuner_ids | set(self.ongoing_trials)):
            # One never seen, after a restart of the chief, has a whole timeout left.
            if now - self._heartbeats.setdefault(tuner_id, now) > timeout:
                self.drop_worker(tuner_id, f"no sign of life for {timeout:g} s")

    @locked
    def drop_worker(self, tuner_id: str, reason: str) -> None:
        """Forgets a worker; its trial is run again by another one."""
        self.tuner_ids.discard(tuner_id)
        self._heartbeats.pop(tuner_id, None)
        trial = self.ongoing_trials.pop(tuner_id, None)
        if trial is None:
            return
        count = self._times_orphaned.get(trial.trial_id, 0) + 1
        self._times_orphaned[trial.trial_id] = count
        if count < MAX_ORPHANED:
            trial.metrics = Trial(None).metrics
            private.retry_queue(self).append(trial.trial_id)
        else:
            trial.status = TrialStatus.FAILED
            trial.message = f"The worker was lost {count} times with it: {reason}."
            self._finish(trial)
        self._write_trial(trial)
        self.save()
        private.display(self).on_trial_orphaned(trial, reason)

    def _finish(self, trial: Trial) -> None:
        self.end_order.append(trial.trial_id)
        self.on_trial_finished(trial)
        limit = self.max_consecutive_failed_trials
        ended = [self.trials[trial_id] for trial_id in self.end_order]
        ended = [trial for trial in ended if not _space.is_infeasible(trial)]
        if not limit or len(ended) < limit:
            return
        if {trial.status for trial in ended[-limit:]} == {TrialStatus.FAILED}:
            self.stop_reason = f"{limit} trials in a row failed"

    def on_trial_finished(self, trial: Trial) -> None:
        """Called once for each trial that will not run again; for subclasses."""

    @locked
    def is_done(self) -> bool:
        """Returns whether no trial and no worker is left."""
        self.requeue_expired()
        return self.is_over() and not (self.ongoing_trials or self.tuner_ids)

    @locked
    def is_over(self) -> bool:
        """Returns whether no further trial will be proposed."""
        if private.retry_queue(self) and not self.stop_reason:
            return False
        is_full = self.max_trials and len(self.end_order) >= self.max_trials
        return bool(is_full or self._exhausted or self.stop_reason)

    def resume_ongoing(self) -> None:
        """Leaves trials under way to their workers, which survived a killed chief."""
        self.ongoing_trials = self._resumed_trials
        ongoing = {trial.trial_id for trial in self.ongoing_trials.values()}
        retries = private.retry_queue(self)
        retries[:] = [trial_id for trial_id in retries if trial_id not in ongoing]
        self.tuner_ids |= set(self.ongoing_trials)
