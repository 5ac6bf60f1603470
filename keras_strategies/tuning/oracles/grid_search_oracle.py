"""Grid search."""

import keras_tuner
from keras_tuner.engine import hyperparameters as kinds
from keras_tuner.engine.trial import TrialStatus

from keras_strategies._internal import checks
from keras_strategies.tuning._space import space as _space
from keras_strategies.tuning.oracles._base import RepairedOracle


class GridSearchOracle(RepairedOracle, keras_tuner.oracles.GridSearchOracle):
    """Every combination once, as KerasTuner's `GridSearchOracle`.

    For a space so small that all of it can be tried. Values that have no step are cut
    into `levels` points, the ends included (KerasTuner's own takes ten inner points in
    no order); `Float(step=)` reaches its maximum. What stands in a conditional scope is
    varied only where it is active. The defaults come first.

    Args:
        objective: Name of a metric, `keras_tuner.Objective`, or a list of these.
        max_trials: Trials at most; `None` (default) for the whole grid.
        levels: Points of a range without a step, at least 2. Default 10.
        seed: Integer or `None`; the grid itself does not depend on it.
        hyperparameters: `keras_tuner.HyperParameters` to search, if known beforehand.
        allow_new_entries: Whether the model may ask for more. Default `True`.
        tune_new_entries: Whether these are searched too. Default `True`.
        max_retries_per_trial: Further attempts for a failed trial. Default 0.
        max_consecutive_failed_trials: Failures in a row that end the search, `None`
            (default) for no such end.

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
        objective=None,
        max_trials=None,
        levels=10,
        seed=None,
        hyperparameters=None,
        allow_new_entries=True,
        tune_new_entries=True,
        max_retries_per_trial=0,
        max_consecutive_failed_trials=None,
    ):
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
        self.levels = checks.integer("levels", levels, low=2)

    def grid(self):
        """Yields the combinations in their order."""
        return _space.combinations(self.hyperparameters.space, self._points)

    def _points(self, hp):
        values = _space.options(hp)
        stepless = isinstance(hp, kinds.Float | kinds.Int) and hp.step is None
        if values is not None and not (stepless and len(values) > self.levels):
            return values
        probabilities = [k / (self.levels - 1) for k in range(self.levels)]
        points = [hp.prob_to_value(p) for p in probabilities]
        return list(dict.fromkeys(min(p, hp.max_value) for p in points))

    def populate_space(self, trial_id):
        untried = (v for v in self.grid() if not self._duplicate(v))
        values = next(untried, None)
        if values is not None:
            return {"status": TrialStatus.RUNNING, "values": values}
        # A trial under way may still declare more.
        status = TrialStatus.IDLE if self.ongoing_trials else TrialStatus.STOPPED
        return {"status": status, "values": None}
