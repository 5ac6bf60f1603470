"""Bayesian optimization with a Gaussian process."""

import warnings
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import TrialStatus

from keras_strategies._internal import checks
from keras_strategies.tuning import _space
from keras_strategies.tuning._private import bases
from keras_strategies.tuning.oracles._base import Objective, OracleBase

# Candidates for the minimum of the bound.
_NUM_RANDOM, _NUM_NEAR, _NUM_ROUNDS = 300, 30, 4


class BayesianOptimizationOracle(OracleBase, bases.BayesianOptimizationOracle):
    """Bayesian optimization: a Gaussian process models the objective.

    The best use of few, expensive trials over up to about ten numbers. It is a
    subclass of KerasTuner's oracle with these differences: one length scale for each
    hyperparameter instead of one for all; a third of the random trials at the start;
    choices are one-hot encoded instead of ordered; the next point is the best of many
    candidates, drawn from the space itself, so that conditions hold and no combination
    is proposed twice; a changed `beta` is used after a resume; proposals take tens of
    milliseconds instead of a second.

    The next point minimizes the lower confidence bound
    $\\mu(x) - \\beta\\,\\sigma(x)$ of the process (a Matern 5/2 kernel with noise).
    Trials that are still running in other processes are assumed to give the predicted
    value.

    Reference:

    - [Srinivas et al., 2010, Gaussian Process Optimization in the Bandit
      Setting](https://arxiv.org/abs/0912.3995)
    - [Ginsbourger et al., 2010, Kriging Is Well-Suited to Parallelize
      Optimization](https://doi.org/10.1007/978-3-642-10701-6_6), the assumption about
      running trials

    Args:
        objective: Name of a metric, `keras_tuner.Objective`, or a list of these.
            Defaults to `None`: a trial returns the number to minimize.
        max_trials: Maximum number of trials. Defaults to `10`.
        num_initial_points: Number of random trials at the start, at least 1. Defaults
            to `None`: one more than the number of hyperparameters, between 5 and 12,
            and at most half of `max_trials`.
        alpha: Smallest variance of the noise, relative to the variance of the results,
            greater than 0. Defaults to `1e-4`.
        beta: Weight of the uncertainty, at least 0; larger values explore more.
            Defaults to `1.5`.
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
        beta: float = 1.5,
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
            beta=checks.real("beta", beta, low=0),
            seed=seed,
            hyperparameters=hyperparameters,
            allow_new_entries=allow_new_entries,
            tune_new_entries=tune_new_entries,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
        )
        self._kernel: Any = None  # of the last fit, where the next one begins

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
            return self.random_proposal()
        # The process models what is minimized.
        sign = -1 if self.objective.direction == "max" else 1
        y = sign * np.array(scores)
        x = _space.encode_all(space, completed)
        model = self._fit_process(x, y)
        ongoing = [t.hyperparameters.values for t in self.ongoing_trials.values()]
        if ongoing:
            # "Kriging believer": trials under way are taken to give what is predicted
            # for them, so that parallel workers do not get neighbouring proposals.
            x_ongoing = _space.encode_all(space, ongoing)
            x = np.concatenate([x, x_ongoing])
            y = np.concatenate([y, model.predict(x_ongoing)])
            model = self._fit_process(x, y, refine=False)
        ranking = np.argsort(y[: len(completed)])[:3]
        best = [completed[k] for k in ranking]
        values = self._minimize_bound(model, best)
        if values is None:
            return self.random_proposal()
        return {"status": TrialStatus.RUNNING, "values": values}

    def _fit_process(
        self, x: np.ndarray, y: np.ndarray, refine: bool = True
    ) -> "_GaussianProcess":
        """Fits a Gaussian process; `refine` its length scales and noise, too."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.gaussian_process import GaussianProcessRegressor, kernels
        from threadpoolctl import threadpool_limits

        kernel = self._kernel
        # The space may have grown during the trials.
        if kernel is None or np.size(kernel.k1.k2.length_scale) != x.shape[1]:
            scales = kernels.Matern(np.ones(x.shape[1]), (0.05, 20.0), nu=2.5)
            noise = kernels.WhiteKernel(1e-3, (self.alpha, 1.0))
            kernel = kernels.ConstantKernel(1.0, (0.05, 20.0)) * scales + noise
        deviation = y.std() if y.std() > 0 else 1.0
        regressor = GaussianProcessRegressor(
            kernel,
            optimizer="fmin_l_bfgs_b" if refine else None,
            # The first fit has no good start; later ones begin at the last optimum.
            n_restarts_optimizer=int(refine and self._kernel is None),
            random_state=self.seed % 2**32,
        )
        # The matrices are small: threads would only wait for each other.
        with warnings.catch_warnings(), threadpool_limits(1):
            # A scale at its bound means that the hyperparameter does not matter.
            warnings.simplefilter("ignore", ConvergenceWarning)
            regressor.fit(x, (y - y.mean()) / deviation)
        self._kernel = regressor.kernel_
        return _GaussianProcess(regressor, y.mean(), deviation)

    def _minimize_bound(
        self, model: "_GaussianProcess", best: list[dict[str, Any]]
    ) -> dict[str, Any] | None:
        """Returns the untried combination with the lowest bound, `None` if all tried.

        The bound has many local minima and choices have no gradients, so it is
        minimized over candidates: random ones, and mutations of the best trials and
        then of the best candidates, whose steps shrink by 3 from round to round.
        """
        space = self.hyperparameters.space
        rng = self.random_state("candidates", len(self.trials))
        candidates = [
            _space.fill(space, {}, lambda hp: hp.prob_to_value(rng.random()))
            for _ in range(_NUM_RANDOM)
        ]
        rate, scale = 0.5, 0.2
        centres = best
        for _ in range(_NUM_ROUNDS):
            for centre in centres:
                candidates += [
                    _space.mutate(space, centre, rng, rate, scale)
                    for _ in range(_NUM_NEAR)
                ]
            bounds = model.lower_bound(_space.encode_all(space, candidates), self.beta)
            candidates = [candidates[k] for k in np.argsort(bounds)[:_NUM_NEAR]]
            centres, scale = candidates[:3], scale / 3
        return next((v for v in candidates if not self.is_refused(v)), None)

    def set_state(self, state: dict[str, Any]) -> None:
        arguments = {"alpha", "beta", "num_initial_points"}
        # The arguments of this run hold, not those of the run that is resumed.
        super().set_state({k: v for k, v in state.items() if k not in arguments})


class _GaussianProcess:
    """A process fitted to standardized values, in the units of the values."""

    def __init__(self, regressor: Any, mean: float, deviation: float) -> None:
        self.regressor, self.mean, self.deviation = regressor, mean, deviation

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.regressor.predict(x) * self.deviation + self.mean

    def lower_bound(self, x: np.ndarray, beta: float) -> np.ndarray:
        """The confidence bound `mean - beta * deviation`, in standardized units."""
        mean, deviation = self.regressor.predict(x, return_std=True)
        return mean - beta * deviation
