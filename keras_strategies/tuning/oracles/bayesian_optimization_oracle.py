"""Bayesian optimization with a Gaussian process."""

from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import TrialStatus

from keras_strategies._internal import checks
from keras_strategies.tuning import _space
from keras_strategies.tuning._private import bases
from keras_strategies.tuning.oracles._base import Objective, OracleBase
from keras_strategies.tuning.oracles._gaussian_process import (
    GaussianProcess,
    Hyperparameters,
)

# Candidates for the best acquisition.
_NUM_RANDOM, _NUM_NEAR, _NUM_ROUNDS, _NUM_CENTRES = 200, 20, 5, 3
# Results from which the process is fitted again with every fifth one only.
_FEW_RESULTS, _FIT_INTERVAL = 30, 5
# Of the sequence that the first trials come from.
_DESIGN_POINTS, _MAX_DESIGN_DIMENSIONS = 64, 200


class BayesianOptimizationOracle(OracleBase, bases.BayesianOptimizationOracle):
    """Bayesian optimization: a Gaussian process models the objective.

    The best use of few, expensive trials over up to about twenty hyperparameters of any
    kind. It is a subclass of KerasTuner's oracle with these differences: a length scale
    for each hyperparameter, with a prior, in place of one for all; a third of the
    trials at the start, which cover the space; choices are one-hot encoded instead of
    ordered; results that are far worse than the median are drawn near; the next point
    is the best of many candidates, drawn from the space itself, so that conditions hold
    and no combination is proposed twice; a changed `beta` is used after a resume;
    proposals take tens of milliseconds instead of a second.

    The next point maximizes the expected improvement over the best prediction
    $\\mu^*$, with the mean $\\mu(x)$ and the deviation $\\sigma(x)$ of the process (a
    Matern 5/2 kernel with noise):

    $$\\sigma(x)\\,\\bigl(\\varphi(z) + z\\,\\Phi(z)\\bigr), \\qquad
    z = \\frac{\\mu^* - \\mu(x)}{\\sigma(x)}$$

    or, with a `beta`, minimizes the bound $\\mu(x) - \\beta\\,\\sigma(x)$. Trials that
    are still running in other processes are assumed to give the predicted value.

    Reference:

    - [Jones et al., 1998, Efficient Global Optimization of Expensive Black-Box
      Functions](https://doi.org/10.1023/A:1008306431147)
    - [Hvarfner et al., 2024, Vanilla Bayesian Optimization Performs Great in High
      Dimensions](https://arxiv.org/abs/2402.02229), the prior of the length scales
    - [Srinivas et al., 2010, Gaussian Process Optimization in the Bandit
      Setting](https://arxiv.org/abs/0912.3995), the bound
    - [Ginsbourger et al., 2010, Kriging Is Well-Suited to Parallelize
      Optimization](https://doi.org/10.1007/978-3-642-10701-6_6), the assumption about
      running trials

    Args:
        objective: Name of a metric, `keras_tuner.Objective`, or a list of these.
            Defaults to `None`: a trial returns the number to minimize.
        max_trials: Maximum number of trials. Defaults to `10`.
        num_initial_points: Number of trials at the start, at least 1. Defaults
            to `None`: one more than the number of hyperparameters, between 5 and 12,
            and at most half of `max_trials`.
        alpha: Smallest variance of the noise, relative to the variance of the results,
            greater than 0. Defaults to `1e-4`.
        beta: Weight of the uncertainty in the bound, at least 0; larger values explore
            more. Defaults to `None`: the expected improvement.
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
        ValueError: If a number is outside its range.
        ImportError: If scikit-learn is missing (extra `tuning`).

    Example:

    ```python
    import keras_tuner
    from keras_strategies.tuning import BayesianOptimizationOracle

    space = keras_tuner.HyperParameters()
    space.Float("rate", 1e-4, 1e-1, sampling="log")
    oracle = BayesianOptimizationOracle("val_loss", seed=1, hyperparameters=space)
    assert 1e-4 <= oracle.populate_space("0")["values"]["rate"] <= 1e-1
    ```
    """

    uses_history: bool = True

    def __init__(
        self,
        objective: Objective | None = None,
        max_trials: int | None = 10,
        num_initial_points: int | None = None,
        alpha: float = 1e-4,
        beta: float | None = None,
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
            num_initial_points=checks.integer(
                "num_initial_points", num_initial_points, low=1, optional=True
            ),
            alpha=checks.real("alpha", alpha, low=0, low_open=True),
            beta=checks.real("beta", beta, low=0, optional=True),
            seed=seed,
            hyperparameters=hyperparameters,
            allow_new_entries=allow_new_entries,
            tune_new_entries=tune_new_entries,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
        )

        # What the hyperparameters of the process were fitted to, and they.
        self._fitted: tuple[Any, Hyperparameters] | None = None

    def _num_random(self) -> int:
        """Number of random trials before the first model."""
        if self.num_initial_points is not None:
            return self.num_initial_points
        count = len(_space.searched(self.hyperparameters.space)) + 1
        count = min(12, max(5, count))
        return min(count, max(2, self.max_trials // 2)) if self.max_trials else count

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        completed, scores = self.known_results()
        space = self.hyperparameters.space
        if len(completed) < self._num_random() or not _space.searched(space):
            return self._initial_proposal()
        # The process models what is minimized.
        sign = -1 if self.objective.direction == "max" else 1
        results = sign * np.array(scores)
        y = standard_values(results)
        x = _space.encode_all(space, completed)
        process = self._process(x, y, self._hyperparameters(x, results))
        ongoing = [t.hyperparameters.values for t in self.ongoing_trials.values()]
        if ongoing:
            # "Kriging believer": trials under way are taken to give what is predicted
            # for them, so that parallel workers do not get neighbouring proposals.
            x_ongoing = _space.encode_all(space, ongoing)
            x = np.concatenate([x, x_ongoing])
            y = np.concatenate([y, process.mean(x_ongoing)])
            process = self._process(x, y, process.hyperparameters)
        # By what is predicted: a good value may be noise.
        ranking = np.argsort(process.mean(x[: len(completed)]))[:_NUM_CENTRES]
        best = [completed[k] for k in ranking]
        values = self._best_candidate(process, best)
        if values is None:
            return self.random_proposal()
        return {"status": TrialStatus.RUNNING, "values": values}

    def _initial_proposal(self) -> dict[str, Any]:
        """Returns a point of a scrambled Sobol sequence, which covers the space."""
        space = self.hyperparameters.space
        names = [hp.name for hp in _space.searched(space)]
        number = len(self.trials)
        if not names or number >= _DESIGN_POINTS or len(names) > _MAX_DESIGN_DIMENSIONS:
            return self.random_proposal()
        from scipy.stats import qmc

        seed = self.random_state("design", len(names))
        design = qmc.Sobol(len(names), seed=seed).random(_DESIGN_POINTS)[number]
        # Names may repeat in several scopes: only one of them is active.
        positions = dict(zip(names, np.minimum(design, 1 - 1e-9), strict=True))

        def value_of(hp: Any) -> Any:
            return hp.prob_to_value(positions.get(hp.name, 0.5))

        values = _space.fill(space, {}, value_of)
        if self.is_refused(values):
            return self.random_proposal()
        return {"status": TrialStatus.RUNNING, "values": values}

    def _hyperparameters(self, x: np.ndarray, results: np.ndarray) -> Hyperparameters:
        """Fits the hyperparameters of the process to the results, not each time all.

        To part of the results and not to those of an earlier proposal: a search that
        goes on after an interruption proposes the same.
        """
        count = len(results)
        if count > _FEW_RESULTS:
            count -= count % _FIT_INTERVAL
        x, results = x[:count], results[:count]
        key = x.shape, x.tobytes(), results.tobytes()
        if self._fitted is None or self._fitted[0] != key:
            process = self._process(x, standard_values(results))
            self._fitted = key, process.hyperparameters
        return self._fitted[1]

    def _process(
        self, x: np.ndarray, y: np.ndarray, known: Hyperparameters | None = None
    ) -> GaussianProcess:
        """Makes the process; its hyperparameters are fitted unless they are known."""
        from threadpoolctl import threadpool_limits

        groups = _space.column_groups(self.hyperparameters.space)
        # The matrices are small: threads would only wait for each other.
        with threadpool_limits(1):
            return GaussianProcess(x, y, groups, self.alpha, known, known is None)

    def _acquisition(self, process: GaussianProcess, x: np.ndarray) -> np.ndarray:
        """What the next point maximizes."""
        if self.beta is None:
            return process.log_expected_improvement(x)
        mean, deviation = process.predict(x)
        return self.beta * deviation - mean

    def _best_candidate(
        self, process: GaussianProcess, best: list[dict[str, Any]]
    ) -> dict[str, Any] | None:
        """Returns the best untried combination, `None` if all are tried.

        The acquisition has many local maxima and choices have no gradients, so it is
        maximized over candidates: random ones, and mutations of the best trials and
        then of the best candidates, whose steps shrink by 3 from round to round.
        """
        space = self.hyperparameters.space
        rng = self.random_state("candidates", len(self.trials))
        candidates = [
            _space.fill(space, {}, lambda hp: hp.prob_to_value(rng.random()))
            for _ in range(_NUM_RANDOM)
        ]
        values = self._acquisition(process, _space.encode_all(space, candidates, True))
        rate, scale = 0.5, 0.2
        centres = best
        for _ in range(_NUM_ROUNDS):
            new = [
                _space.mutate(space, centre, rng, rate, scale)
                for centre in centres
                for _ in range(_NUM_NEAR)
            ]
            candidates += new
            acquired = self._acquisition(process, _space.encode_all(space, new, True))
            values = np.concatenate([values, acquired])
            order = np.argsort(-values)[:_NUM_NEAR]
            candidates, values = [candidates[k] for k in order], values[order]
            centres, scale = candidates[:_NUM_CENTRES], scale / 3
        return next((v for v in candidates if not self.is_refused(v)), None)

    def set_state(self, state: dict[str, Any]) -> None:
        arguments = {"alpha", "beta", "num_initial_points"}
        # The arguments of this run hold, not those of the run that is resumed.
        super().set_state({k: v for k, v in state.items() if k not in arguments})


def standard_values(y: np.ndarray) -> np.ndarray:
    """Returns values with mean 0 and variance 1, far and bad ones drawn near.

    What is a hundred times worse than the median need not be modelled: beyond the
    median by more than the median is from the best, values grow with the logarithm.
    """
    middle = np.median(y)
    width = middle - y.min()
    if width > 0:
        beyond = np.maximum(y - middle, 0.0) / width
        y = np.minimum(y, middle) + width * np.log1p(beyond)
    deviation = y.std()
    return (y - y.mean()) / (deviation if deviation > 0 else 1.0)
