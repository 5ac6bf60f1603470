"""Grid search."""

from collections.abc import Iterator, Sequence
from typing import Any

import keras_tuner
from keras_tuner.engine import hyperparameters as kinds
from keras_tuner.engine.trial import TrialStatus

from keras_strategies._internal import checks
from keras_strategies.tuning import _space
from keras_strategies.tuning._private import bases
from keras_strategies.tuning.oracles._base import Objective, OracleBase


class GridSearchOracle(OracleBase, bases.GridSearchOracle):
    """Grid search: every combination once, as KerasTuner's `GridSearchOracle`.

    For a space so small that all of it can be tried. A range without a step is divided
    into `levels` points, both ends included (KerasTuner's own uses ten inner points in
    no order); `Float(step=)` reaches its maximum. A hyperparameter in a conditional
    scope is varied only where it is active. The defaults come first.

    Args:
        objective: Name of a metric, `keras_tuner.Objective`, or a list of these.
            Defaults to `None`: a trial returns the number to minimize.
        max_trials: Maximum number of trials, or `None` for the whole grid. Defaults to
            `None`.
        levels: Number of points of a range without a step, at least 2. Defaults to
            `10`.
        seed: Integer or `None`; the grid itself does not depend on it. Defaults to
            `None`.
        hyperparameters: `keras_tuner.HyperParameters` to search, if known in advance.
            Defaults to `None`.
        allow_new_entries: Whether the model may declare further hyperparameters.
            Defaults to `True`.
        tune_new_entries: Whether these are searched. Defaults to `True`.
        max_retries_per_trial: Further attempts for a failed trial. Defaults to `0`.
        max_consecutive_failed_trials: Number of failures in a row that end the search,
            or `None` for no limit. Defaults to `None`.

    Raises:
        ValueError: If `levels` is below 2.

    Example:

    ```python
    import keras_tuner
    from keras_strategies.tuning import GridSearchOracle

    space = keras_tuner.HyperParameters()
    space.Float("rate", 1e-3, 1e-1, sampling="log")
    oracle = GridSearchOracle("val_loss", levels=3, hyperparameters=space)
    assert [round(v["rate"], 6) for v in oracle.grid()] == [1e-3, 1e-2, 1e-1]
    ```
    """

    def __init__(
        self,
        objective: Objective | None = None,
        max_trials: int | None = None,
        levels: int = 10,
        seed: int | None = None,
        hyperparameters: keras_tuner.HyperParameters | None = None,
        allow_new_entries: bool = True,
        tune_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int | None = None,
    ) -> None:
        super().__init__(
            objective,
            max_trials=max_trials,
            seed=seed,
            hyperparameters=hyperparameters,
            allow_new_entries=allow_new_entries,
            tune_new_entries=tune_new_entries,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
        )
        self.levels: int = checks.integer("levels", levels, low=2)

    def grid(self) -> Iterator[dict[str, Any]]:
        """Returns an iterator over the combinations in their order."""
        return _space.combinations(self.hyperparameters.space, self._points)

    def _points(self, hp: Any) -> Sequence[Any]:
        values = _space.options(hp)
        is_stepless = isinstance(hp, kinds.Float | kinds.Int) and hp.step is None
        if values is not None and not (is_stepless and len(values) > self.levels):
            return values
        probabilities = [k / (self.levels - 1) for k in range(self.levels)]
        points = [hp.prob_to_value(p) for p in probabilities]
        # An integer range maps a probability of 1 to one above its maximum; rounding
        # may give two probabilities the same integer.
        return list(dict.fromkeys(min(p, hp.max_value) for p in points))

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        # The walk begins anew each time: the space may have grown.
        untried = (v for v in self.grid() if not self.is_refused(v))
        values = next(untried, None)
        if values is not None:
            return {"status": TrialStatus.RUNNING, "values": values}
        # A trial under way may still declare more.
        status = TrialStatus.IDLE if self.ongoing_trials else TrialStatus.STOPPED
        return {"status": status, "values": None}
