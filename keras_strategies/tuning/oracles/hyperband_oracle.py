"""Hyperband."""

from typing import Any, Literal

import keras_tuner

from keras_strategies._internal import checks
from keras_strategies.tuning._private import bases
from keras_strategies.tuning._private import oracles as private
from keras_strategies.tuning.oracles._base import Objective, OracleBase


class HyperbandOracle(OracleBase, bases.HyperbandOracle):
    """Hyperband: many short trials, the best of them trained longer.

    A subclass of KerasTuner's `HyperbandOracle`, for training whose early epochs tell
    how it will end. It chooses the number of epochs itself, so `epochs` in `search` is
    ignored; `trials_and_epochs` returns in advance what a complete run costs.

    Reference: Li et al., 2018, [Hyperband](https://arxiv.org/abs/1603.06560).

    Args:
        objective: Name of a metric, `keras_tuner.Objective`, or a list of these.
            Defaults to `None`: a trial returns the number to minimize.
        max_epochs: Number of epochs of the longest trials, at least 1. Defaults to
            `100`.
        factor: From round to round the number of trials is divided by it and that of
            epochs multiplied, at least 2. Defaults to `3`.
        hyperband_iterations: How often all brackets are repeated, at least 1. Defaults
            to `1`.
        fidelity: What grows from round to round: `"epochs"`, or `"data"`: a trial
            trains on `epochs / max_epochs` of the examples, always the first of one
            order, for all the epochs given to `search`. Defaults to `"epochs"`.
        max_trials: Maximum number of trials, each round of a trial counted, or `None`
            for all brackets. Defaults to `None`.
        seed: Integer, or `None` for a different search each time. Defaults to `None`.
        hyperparameters: `keras_tuner.HyperParameters` to search, if known in advance.
            Defaults to `None`.
        allow_new_entries: Whether the model may declare further hyperparameters.
            Defaults to `True`.
        tune_new_entries: Whether these are searched. Defaults to `True`.
        max_retries_per_trial: Further attempts for a failed trial. Defaults to `0`.
        max_consecutive_failed_trials: Number of failures in a row that end the search,
            or `None` for no limit. Defaults to `None`.

    Raises:
        ValueError: If a number is too small.

    Example:

    ```python
    from keras_strategies.tuning import HyperbandOracle

    oracle = HyperbandOracle("val_loss", max_epochs=9, factor=3)
    trials, epochs = oracle.trials_and_epochs()
    assert trials > 9 and epochs > 27
    ```
    """

    def __init__(
        self,
        objective: Objective | None = None,
        max_epochs: int = 100,
        factor: int = 3,
        hyperband_iterations: int = 1,
        fidelity: Literal["epochs", "data"] = "epochs",
        max_trials: int | None = None,
        seed: int | None = None,
        hyperparameters: keras_tuner.HyperParameters | None = None,
        allow_new_entries: bool = True,
        tune_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int | None = None,
    ) -> None:
        super().__init__(
            objective,
            max_epochs=checks.integer("max_epochs", max_epochs, low=1),
            factor=checks.integer("factor", factor, low=2),
            hyperband_iterations=checks.integer(
                "hyperband_iterations", hyperband_iterations, low=1
            ),
            seed=seed,
            hyperparameters=hyperparameters,
            allow_new_entries=allow_new_entries,
            tune_new_entries=tune_new_entries,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
        )
        self.fidelity: str = checks.choice("fidelity", fidelity, ("epochs", "data"))
        # KerasTuner's constructor does not take it.
        self.max_trials: int | None = max_trials

    def _draw_untried(self) -> dict[str, Any] | None:
        # Enqueued values start where a bracket takes new ones.
        values = super().next_enqueued() or super()._draw_untried()
        if values == {}:
            # A space that the first trial will declare. KerasTuner takes empty values
            # for the end of the search; it sets this entry itself.
            return {"tuner/initial_epoch": 0}
        return values

    def next_enqueued(self) -> dict[str, Any] | None:
        return None

    def stage_options(self) -> dict[str, Any]:
        """Returns the options that the trials of a search must have in common."""
        names = ("max_epochs", "factor", "hyperband_iterations", "fidelity")
        return {name: getattr(self, name) for name in names}

    def set_state(self, state: dict[str, Any]) -> None:
        """Sets what `get_state` returned.

        The brackets only if they are of this search: another `factor` has others.
        """
        names = ("max_epochs", "factor", "hyperband_iterations")
        if any(
            state.get(name, getattr(self, name)) != getattr(self, name)
            for name in names
        ):
            own = (*names, "brackets", "current_bracket", "current_iteration")
            state = {key: value for key, value in state.items() if key not in own}
        super().set_state(state)

    def _rebuild(self) -> None:
        super()._rebuild()
        private.rebuild_brackets(self)

    def trials_and_epochs(self) -> tuple[int, int]:
        """Returns the number of trials and of epochs of a complete run."""
        trials = epochs = 0
        for rounds in private.hyperband_rounds(self):
            # Each round continues from the weights of the one before.
            previous = 0
            for count, until in rounds:
                trials += count
                epochs += count * (until - previous)
                previous = until
        return trials * self.hyperband_iterations, epochs * self.hyperband_iterations
