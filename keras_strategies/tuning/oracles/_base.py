"""What every oracle of this package adds to KerasTuner's, and repairs in it.

The mixin stands before an oracle class of KerasTuner 1.4.8, which keeps its way to
propose values (`populate_space`). It replaces the bookkeeping: failures are recorded
and end nothing by themselves; a lock is released whatever happens; a trial whose worker
has gone is run again; files are replaced in one step; seeds are independent; no
combination is proposed twice while another one is left.
"""

import hashlib
import math
import random
import threading
import time

import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus

from keras_strategies.tuning._space import space as _space
from keras_strategies.tuning.oracles._display import Display
from keras_strategies.tuning.oracles._persistence import Persistent, locked

# A trial whose worker died so often is given up.
MAX_LOST = 3


class RepairedOracle(Persistent):
    """Mixin before an oracle class of KerasTuner."""

    def __init__(self, objective=None, *args, **kwargs):
        seed = kwargs.get("seed")
        kwargs.setdefault("max_consecutive_failed_trials", None)
        super().__init__(objective, *args, **kwargs)
        self.hyperparameters = _space.Space.of(self.hyperparameters)
        if seed is not None:  # KerasTuner takes 0 for None
            self.seed = seed
        self._seed_state = 0
        self._lock = threading.RLock()
        self._display = Display(self)
        self.algorithm = None  # its name, if it was made from one
        self.pruner = None
        self.lease = None  # seconds without a sign of life
        self.clock = time.monotonic
        self.deadline = None  # on the clock
        self.stop_reason = None
        self._exhausted = False  # a worker was told that there is no further trial
        self._before_reload = {}
        self._curves = {}  # trial id -> {epoch: objective}
        self.pruned = {}  # trial id -> epoch
        self._started = {}  # trial id -> time.time()
        self.seconds = {}  # trial id -> how long it ran
        self.proposal_seconds = []
        self._seen = {}  # tuner id -> the clock
        self._lost = {}  # trial id -> times its worker was lost

    # Proposals

    def probability(self, *key):
        """A number in [0, 1) that depends on the seed and `key` only."""
        digest = hashlib.sha256(repr((self.seed, *key)).encode()).digest()
        return random.Random(digest).random()

    def random_state(self, *key):
        digest = hashlib.sha256(repr((self.seed, *key)).encode()).digest()
        return np.random.default_rng(int.from_bytes(digest[:8], "big"))

    def sample(self):
        """Random values for the active hyperparameters, whether tried or not."""

        def draw(hp):
            self._seed_state += 1
            return hp.prob_to_value(self.probability(self._seed_state))

        return _space.fill(self.hyperparameters.space, {}, draw)

    def _random_values(self):
        for _ in range(self._max_collisions):
            values = self.sample()
            if not self._duplicate(values):
                return values
        # A small space, nearly used up: choose among what is left.
        if _space.size(self.hyperparameters.space) is None:
            return None
        left = [
            values
            for values in _space.combinations(self.hyperparameters.space)
            if not self._duplicate(values)
        ]
        if not left:
            return None
        self._seed_state += 1
        return left[int(self.probability(self._seed_state) * len(left))]

    def random_proposal(self):
        values = self._random_values()
        status = TrialStatus.STOPPED if values is None else TrialStatus.RUNNING
        return {"status": status, "values": values}

    def finished(self):
        """The completed trials in the order in which they ended."""
        trials = [self.trials[trial_id] for trial_id in self.end_order]
        return [t for t in trials if t.status == TrialStatus.COMPLETED]

    # Trials

    @locked
    def create_trial(self, tuner_id):
        self.requeue_lost()
        self._seen[tuner_id] = self.clock()
        if tuner_id in self.ongoing_trials:
            return self.ongoing_trials[tuner_id]
        self.tuner_ids.add(tuner_id)
        if self.stop_reason is None and self._is_over():
            self.stop_reason = "time limit"
        if self.stop_reason is not None:
            return self._no_trial(tuner_id, TrialStatus.STOPPED)
        if self._retry_queue:
            trial = self.trials[self._retry_queue.pop(0)]
            trial.status = TrialStatus.RUNNING
            return self._begin(tuner_id, trial)
        trial_id = f"{len(self.trials):0{len(str(self.max_trials or 1000))}d}"
        return self._propose(tuner_id, trial_id)

    def _propose(self, tuner_id, trial_id):
        if self.max_trials and len(self.trials) >= self.max_trials:
            # A trial under way may still come back, should its worker be lost.
            waiting = self.lease is not None and self.ongoing_trials
            status = TrialStatus.IDLE if waiting else TrialStatus.STOPPED
            return self._no_trial(tuner_id, status)
        if not self.hyperparameters.space and self.ongoing_trials:
            # The space is declared inside a trial: wait for the first one.
            return self._no_trial(tuner_id, TrialStatus.IDLE)
        start = time.perf_counter()
        proposal = self.populate_space(trial_id)
        if proposal["status"] != TrialStatus.RUNNING:
            return self._no_trial(tuner_id, proposal["status"])
        self.proposal_seconds.append(time.perf_counter() - start)
        hyperparameters = self.hyperparameters.copy()
        hyperparameters.values = proposal.get("values") or {}
        trial = Trial(hyperparameters, trial_id=trial_id, status=TrialStatus.RUNNING)
        self._record_values(trial)
        self.trials[trial_id] = trial
        self.start_order.append(trial_id)
        return self._begin(tuner_id, trial)

    def _begin(self, tuner_id, trial):
        self.ongoing_trials[tuner_id] = trial
        self._curves.pop(trial.trial_id, None)
        self.pruned.pop(trial.trial_id, None)
        self._started[trial.trial_id] = time.time()
        self._save_trial(trial)
        self.save()
        self._display.on_trial_begin(trial)
        return trial

    def _no_trial(self, tuner_id, status):
        if status == TrialStatus.STOPPED:
            self._exhausted = True
            self.tuner_ids.discard(tuner_id)
            self._seen.pop(tuner_id, None)
        return Trial(self.hyperparameters.copy(), status=status)

    @locked
    def report(self, trial_id, epoch, logs):
        """Takes the metrics after an epoch; "STOPPED" if the trial shall end."""
        for tuner_id, trial in self.ongoing_trials.items():
            if trial.trial_id == trial_id:
                self._seen[tuner_id] = self.clock()
        curve = self._curves.setdefault(trial_id, {})
        if self.objective.has_value(logs):
            curve[epoch] = float(self.objective.get_value(logs))
        if self._is_over():
            self.pruned[trial_id] = epoch
            return TrialStatus.STOPPED
        if self.pruner is None or epoch not in curve:
            return TrialStatus.RUNNING
        others = self._rivals(trial_id)
        if not self.pruner.should_stop(curve, others, self.objective.direction):
            return TrialStatus.RUNNING
        self.pruned[trial_id] = epoch
        return TrialStatus.STOPPED

    def _rivals(self, trial_id):
        """The curves that the pruner compares with."""
        if self.pruner.compares == "all":
            keys = self._curves.keys() - {trial_id}
        else:
            keys = {t.trial_id for t in self.finished()} - self.pruned.keys()
        return [self._curves[key] for key in sorted(keys) if key in self._curves]

    def _is_over(self):
        return self.deadline is not None and self.clock() > self.deadline

    @locked
    def end_trial(self, trial):
        known = self.trials[trial.trial_id]
        if trial.trial_id in self.end_order:
            return  # ended by another worker meanwhile
        known.hyperparameters = _space.Space.of(trial.hyperparameters)
        known.status, known.message = trial.status, trial.message
        self.update_space(known.hyperparameters)
        if known.status == TrialStatus.COMPLETED:
            self._score(known)
        self._record_values(known)
        started = self._started.get(known.trial_id, time.time())
        self.seconds[known.trial_id] = time.time() - started
        self._run_times[known.trial_id] += 1
        self.ongoing_trials = {
            tuner_id: other
            for tuner_id, other in self.ongoing_trials.items()
            if other.trial_id != known.trial_id
        }
        if known.trial_id in self._retry_queue:
            self._retry_queue.remove(known.trial_id)
        if not self._retry(known):
            self._end(known)
        self._save_trial(known)
        self.save()
        self._display.on_trial_end(known)

    def _score(self, trial):
        value = trial.metrics.get_last_value(self.objective.name)
        if value is None or not math.isfinite(value):
            trial.status = TrialStatus.INVALID
            trial.message = f"The objective {self.objective.name} is {value}."
            return
        self.score_trial(trial)

    def _retry(self, trial):
        if trial.status != TrialStatus.INVALID:
            return False
        if self._run_times[trial.trial_id] > self.max_retries_per_trial:
            trial.status = TrialStatus.FAILED
            return False
        trial.metrics = Trial(None).metrics
        self._retry_queue.append(trial.trial_id)
        return True

    def _end(self, trial):
        self.end_order.append(trial.trial_id)
        self.ended(trial)
        limit = self.max_consecutive_failed_trials
        if not limit or len(self.end_order) < limit:
            return
        last = {self.trials[trial_id].status for trial_id in self.end_order[-limit:]}
        if last == {TrialStatus.FAILED}:
            self.stop_reason = f"{limit} trials in a row failed"

    def ended(self, trial):
        """Called once for each trial that has ended; for subclasses."""

    # Workers that went away

    @locked
    def alive(self, tuner_id):
        """A sign of life of a worker; `False` if its trial was given to another."""
        self._seen[tuner_id] = self.clock()
        return tuner_id in self.ongoing_trials

    @locked
    def requeue_lost(self):
        """Takes the trials of workers that were silent for longer than the lease."""
        if self.lease is None:
            return
        now = self.clock()
        for tuner_id in list(self.tuner_ids | set(self.ongoing_trials)):
            if now - self._seen.setdefault(tuner_id, now) > self.lease:
                self.forget(tuner_id, f"no sign of life for {self.lease:g} s")

    @locked
    def forget(self, tuner_id, reason):
        """Drops a worker; its trial is run again by another one."""
        self.tuner_ids.discard(tuner_id)
        self._seen.pop(tuner_id, None)
        trial = self.ongoing_trials.pop(tuner_id, None)
        if trial is None:
            return
        lost = self._lost[trial.trial_id] = self._lost.get(trial.trial_id, 0) + 1
        if lost < MAX_LOST:
            trial.metrics = Trial(None).metrics
            self._retry_queue.append(trial.trial_id)
        else:
            trial.status = TrialStatus.FAILED
            trial.message = f"The worker was lost {lost} times with it: {reason}."
            self._end(trial)
        self._save_trial(trial)
        self.save()
        self._display.on_trial_lost(trial, reason)

    @locked
    def is_done(self):
        """Whether no worker and no trial is left."""
        self.requeue_lost()
        return self.is_over() and not (self.ongoing_trials or self.tuner_ids)

    @locked
    def is_over(self):
        """Whether no further trial will be proposed."""
        if self._retry_queue and not self.stop_reason:
            return False
        full = self.max_trials and len(self.end_order) >= self.max_trials
        return bool(full or self._exhausted or self.stop_reason)

    def keep_ongoing(self):
        """After a reload: trials under way stay with the workers that live."""
        self.ongoing_trials = self._before_reload
        kept = {trial.trial_id for trial in self.ongoing_trials.values()}
        self._retry_queue = [key for key in self._retry_queue if key not in kept]
        self.tuner_ids |= set(self.ongoing_trials)

    # Space

    @locked
    def get_space(self):
        return self.hyperparameters.copy()

    @locked
    def update_space(self, hyperparameters):
        new = [
            _space.repaired(hp)
            for hp in hyperparameters.space
            if not self.hyperparameters._exists(hp.name, hp.conditions)
        ]
        if new and not self.allow_new_entries:
            raise RuntimeError(
                "`allow_new_entries` is False, but the hypermodel asked for "
                + ", ".join(hp.name for hp in new)
            )
        if self.tune_new_entries:
            self.hyperparameters.merge(new)

    @locked
    def update_trial(self, trial_id, metrics, step=0):
        trial = self.trials[trial_id]
        self._check_objective_found(metrics)
        for name, value in metrics.items():
            if not trial.metrics.exists(name):
                trial.metrics.register(name, direction=self._direction(name))
            # `MetricsTracker.update` would warn of a value that is not a number.
            trial.metrics.metrics[name].update(float(value), step)
        return trial

    def _direction(self, name):
        objectives = getattr(self.objective, "objectives", [self.objective])
        if name == self.objective.name:
            return self.objective.direction
        return next((o.direction for o in objectives if o.name == name), None)

    def metric(self, trial, name):
        """Value of a metric of a completed trial."""
        return float(trial.metrics.get_best_value(name))

    def get_best_trials(self, num_trials=1):
        """The best completed trials, the best first; fewer if fewer completed."""
        trials = [t for t in self.finished() if t.score is not None]
        trials.sort(key=lambda t: t.score, reverse=self.objective.direction == "max")
        return trials[:num_trials]
