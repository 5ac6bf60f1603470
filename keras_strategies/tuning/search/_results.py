"""What a search has found."""

import os

from keras_strategies._internal.files import write_json
from keras_strategies.tuning._space import space as _space
from keras_strategies.tuning.reports import _records, _trial_log
from keras_strategies.tuning.search import _trial_runs


class Results:
    """The part of `Tuner` that answers questions."""

    def _get_tuner_fname(self):
        # One name for every process, so that any of them finds what another did.
        return os.path.join(str(self.project_dir), "tuner.json")

    def save(self):
        if not self._is_worker():
            self.oracle.save()
        write_json(self._get_tuner_fname(), self.get_state())

    def _configure_tensorboard_dir(self, callbacks, trial, execution=0):
        _trial_log.prepare(callbacks, trial, execution, self.oracle)

    def checkpoint_path(self, trial_id):
        """File with the weights of a trial's best epoch."""
        return os.path.join(
            self.oracle._get_trial_dir(trial_id), "checkpoint.weights.h5"
        )

    def load_model(self, trial):
        trial.hyperparameters = _space.Space.of(trial.hyperparameters)
        model = self._try_build(trial.hyperparameters)
        _trial_runs.read_weights(
            model,
            self._get_build_config_fname(trial.trial_id),
            self.checkpoint_path(trial.trial_id),
        )
        return model

    def _best(self, number):
        best = self.oracle.get_best_trials(number)
        if not best:
            raise RuntimeError(f"No trial has completed yet. {self._failures()}")
        return best

    def get_best_models(self, num_models=1):
        """The models of the best trials with the weights of their best epochs."""
        return [self.load_model(trial) for trial in self._best(num_models)]

    def get_best_hyperparameters(self, num_trials=1):
        """The `HyperParameters` of the best trials, the best first."""
        return [trial.hyperparameters for trial in self._best(num_trials)]

    def pareto_front(self):
        """The completed trials that no other one beats in every objective.

        With one objective these are the best trial and those equal to it. They come in
        the order of the first objective, the best first.
        """
        rows = [row for row in self.results() if _records.is_complete(row)]
        front = _records.front(rows, _records.objectives(self.oracle))
        return [self.oracle.trials[row["trial"]] for row in front]

    def results(self):
        """One dict a trial, in the order of their start.

        The keys are `trial`, `status` (`COMPLETED`, `PRUNED`, `FAILED` or `RUNNING`),
        `score`, `best_epoch` (from 1), `seconds`, `message`, a `value/` for each
        hyperparameter that was active and a `metric/` for each metric.
        """
        return _records.rows(self.oracle)
