"""What a search in a storage has in common for the processes that share it."""

from collections.abc import Mapping
from typing import Any

from keras_strategies.tuning import _space, _studies
from keras_strategies.tuning._space import Trial
from keras_strategies.tuning._studies import shared_trials as shared
from keras_strategies.tuning.oracles._search_state.stored import locked
from keras_strategies.tuning.oracles.optuna_oracle import OptunaOracle


class SharedSearchOracle(OptunaOracle):
    """Parts of an oracle over a storage that other oracles keep for themselves."""

    # Trials of another search would count for every process.
    uses_history: bool = False

    hyperparameters: _space.Space
    _given_space: _space.Space
    _finished_trials: dict[int, Trial]

    def reset_space(self) -> None:
        """Forgets what other processes have declared, to compare with it."""
        self.hyperparameters = self._given_space.copy()
        self._finished_trials.clear()  # to be read again, with what they declare

    @locked
    def enqueue(self, values: Mapping[str, Any]) -> None:
        """Enqueues values in the storage, for whichever process asks next.

        Args:
            values: Values by name; others are drawn. What the storage has already is
                not enqueued again.

        Raises:
            ValueError: If the space has no such name or value, or the values violate
                the constraints.
        """
        checked = self.checked_values(values)
        filled = _space.fill(
            self.hyperparameters.space,
            {},
            lambda hp: checked.get(hp.name, hp.default),
        )
        parameters = _studies.to_parameters(self.hyperparameters, filled)
        self.study.enqueue_trial(parameters, skip_if_exists=True)

    def on_space_changed(self) -> None:
        """Does nothing: the trials of the storage are those of all processes."""

    def _add_unknown(self, trial: Trial) -> None:
        """Adds nothing: another process has taken the trial over."""

    def shared_description(self, description: Mapping[str, Any]) -> dict[str, Any]:
        """Returns what the search in the storage is; this one if it is new."""
        stored = self.study.user_attrs.get(shared.DESCRIPTION)
        if stored is None:
            stored = shared.as_json(description)
            self.study.set_user_attr(shared.DESCRIPTION, stored)
        return stored
