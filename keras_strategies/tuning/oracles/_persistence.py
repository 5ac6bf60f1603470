"""Files of an oracle: replaced in one step, reloaded with nothing lost."""

import functools
import json
import os

from keras_tuner.engine.trial import Trial

from keras_strategies._internal import files
from keras_strategies.tuning._space import space as _space


def locked(method):
    """One call at a time on an object; the lock is released whatever happens."""

    @functools.wraps(method)
    def guarded(self, *args, **kwargs):
        with self._lock:
            return method(self, *args, **kwargs)

    return guarded


class Persistent:
    """The part of `RepairedOracle` that writes and reads."""

    @property
    def _project_dir(self):
        folder = os.path.join(str(self._directory), self._project_name)
        os.makedirs(folder, exist_ok=True)
        return folder

    def _get_trial_dir(self, trial_id):
        folder = os.path.join(self._project_dir, f"trial_{trial_id}")
        os.makedirs(folder, exist_ok=True)
        return folder

    def _save_trial(self, trial):
        path = os.path.join(self._get_trial_dir(trial.trial_id), "trial.json")
        files.write_json(path, trial.get_state())

    @locked
    def save(self):
        files.write_json(self._get_oracle_fname(), self.get_state())

    @locked
    def reload(self):
        for name in sorted(os.listdir(self._project_dir)):
            path = os.path.join(self._project_dir, name, "trial.json")
            if name.startswith("trial_") and os.path.isfile(path):
                trial = Trial.load(path)
                trial.hyperparameters = _space.Space.of(trial.hyperparameters)
                self.trials[trial.trial_id] = trial
        with open(self._get_oracle_fname(), encoding="utf-8") as file:
            self.set_state(json.load(file))
        # What ran when the process ended runs again, also a trial that was written
        # just before the oracle would have been.
        for trial_id, trial in sorted(self.trials.items()):
            if trial_id not in self.start_order:
                self.start_order.append(trial_id)
                self._record_values(trial)
            open_ = trial_id not in self.end_order
            if open_ and trial_id not in self._retry_queue:
                trial.metrics = Trial(None).metrics
                self._retry_queue.append(trial_id)
        self._before_reload, self.ongoing_trials = self.ongoing_trials, {}

    def get_state(self):
        state = super().get_state()
        return {
            **state,
            "algorithm": self.algorithm,
            "curves": {k: sorted(c.items()) for k, c in self._curves.items()},
            "pruned": self.pruned,
            "seconds": self.seconds,
            "lost": self._lost,
        }

    def set_state(self, state):
        # `set_state` of KerasTuner's classes expects every key of their own.
        super().set_state({**self.get_state(), **state})
        self.hyperparameters = _space.Space.of(self.hyperparameters)
        curves = state.get("curves", {})
        self._curves = {k: {int(e): v for e, v in c} for k, c in curves.items()}
        self.pruned = dict(state.get("pruned", {}))
        self.seconds = dict(state.get("seconds", {}))
        self._lost = dict(state.get("lost", {}))
