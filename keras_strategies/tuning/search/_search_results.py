"""Results of a search: its report, its best models, their weights."""

import os

import keras
import keras_tuner

from keras_strategies.tuning import _space
from keras_strategies.tuning._private import tuners as private
from keras_strategies.tuning._space import Trial
from keras_strategies.tuning.reports import SearchReport
from keras_strategies.tuning.search._trials.trial_loop import TrialLoop


class SearchResults(TrialLoop):
    """The part of `Tuner` that returns what a search has led to."""

    def results(self) -> SearchReport:
        """Returns the trials as a `SearchReport`: a sequence of one dict for each."""
        return SearchReport(self)

    def pareto_front(self) -> list[Trial]:
        """Returns the completed trials that no other trial dominates.

        A trial dominates another if it is nowhere worse and better in one objective.
        With one objective these are the best trial and those equal to it. They are
        sorted by the first objective, the best first.
        """
        return [self.oracle.trials[row["trial"]] for row in self.results().best]

    def get_best_models(self, num_models: int = 1) -> list[keras.Model]:
        """Returns the models of the best trials with the weights of their best epochs.

        Args:
            num_models: Maximum number of models. Defaults to `1`.
        """
        return [self.load_model(trial) for trial in self._best_trials(num_models)]

    def get_best_hyperparameters(
        self, num_trials: int = 1
    ) -> list[keras_tuner.HyperParameters]:
        """Returns the hyperparameters of the best trials, the best first.

        Args:
            num_trials: Maximum number of trials. Defaults to `1`.
        """
        return [trial.hyperparameters for trial in self._best_trials(num_trials)]

    def _best_trials(self, count: int) -> list[Trial]:
        best = self.oracle.get_best_trials(count)
        if not best:
            raise RuntimeError(f"No trial has completed yet. {self._failures()}")
        return best

    def load_model(self, trial: Trial) -> keras.Model:
        """Returns the model of a trial with the weights of its best epoch.

        Args:
            trial: A trial of this search, for example from `pareto_front`.
        """
        trial.hyperparameters = _space.Space.of(trial.hyperparameters)
        model = private.build(self, trial.hyperparameters)
        self._load_weights(model, trial.trial_id)
        return model

    def checkpoint_path(self, trial_id: str) -> str:
        """Returns the path of the file with the weights of a trial's best epoch.

        Args:
            trial_id: Id of the trial.
        """
        folder = self.oracle.trial_folder(trial_id)
        return os.path.join(folder, "checkpoint.weights.h5")

    def _state_path(self) -> str:
        # One name for every process: each continues what another has begun.
        return os.path.join(str(self.project_dir), "tuner.json")
