"""Bayesian optimization with a Gaussian process."""

import warnings

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import TrialStatus

from keras_strategies._internal import checks
from keras_strategies.tuning._space import encoding as _moves
from keras_strategies.tuning._space import space as _space
from keras_strategies.tuning.oracles._base import RepairedOracle

RANDOM, NEAR, ROUNDS = 300, 30, 4


class BayesianOptimizationOracle(
    RepairedOracle, keras_tuner.oracles.BayesianOptimizationOracle
):
    """Gaussian process over the space, as KerasTuner's, with its faults repaired.

    The best use of few, costly trials over up to about ten numbers. It is a subclass
    of KerasTuner's oracle and differs in this: a length scale for each hyperparameter
    instead of one for all; a third of the random trials at the start; names get a
    column each instead of an invented order; the next point is the best of many
    candidates, drawn in the space itself, so that conditions hold and nothing is
    proposed twice; a changed `beta` holds after a resume; proposals take tens of
    milliseconds, not a second.

    The next point minimizes the lower bound $\\mu(x) - \\beta\\,\\sigma(x)$ of the
    process (a Matern 5/2 kernel with noise); results of trials that are still
    running in other processes are taken to be the prediction.

    Reference: Srinivas et al., 2010,
    [Gaussian Process Optimization in the Bandit Setting](https://arxiv.org/abs/0912.3995).

    Args:
        objective: Name of a metric, `keras_tuner.Objective`, or a list of these.
        max_trials: Trials at most. Default 10.
        num_initial_points: Random trials at the start, at least 1. `None` (default)
            for one more than the number of hyperparameters, between 5 and 12, and at
            most half of `max_trials`.
        alpha: Smallest variance of the noise, relative to the variance of the results,
            above 0. Default 1e-4.
        beta: Weight of the uncertainty, at least 0; larger explores more. Default 1.5.
        seed: Integer, or `None` (default) for a different search each time.
        hyperparameters: `keras_tuner.HyperParameters` to search, if known beforehand.
        allow_new_entries: Whether the model may ask for more. Default `True`.
        tune_new_entries: Whether these are searched too. Default `True`.
        max_retries_per_trial: Further attempts for a failed trial. Default 0.
        max_consecutive_failed_trials: Failures in a row that end the search, `None`
            (default) for no such end.

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

    def __init__(
        self,
        objective=None,
        max_trials=10,
        num_initial_points=None,
        alpha=1e-4,
        beta=1.5,
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
        self._kernel = None

    def _startup(self):
        if self.num_initial_points is not None:
            return self.num_initial_points
        count = min(12, max(5, len(_moves.searched(self.hyperparameters.space)) + 1))
        return min(count, max(2, self.max_trials // 2)) if self.max_trials else count

    def populate_space(self, trial_id):
        done = self.finished()
        space = self.hyperparameters.space
        if len(done) < self._startup() or not _moves.searched(space):
            return self.random_proposal()
        sign = -1 if self.objective.direction == "max" else 1
        y = sign * np.array([trial.score for trial in done])
        x = _moves.vectors(space, [t.hyperparameters.values for t in done])
        model = self._fitted(x, y)
        busy = [t.hyperparameters.values for t in self.ongoing_trials.values()]
        if busy:
            x_busy = _moves.vectors(space, busy)
            x = np.concatenate([x, x_busy])
            y = np.concatenate([y, model.predict(x_busy)])
            model = self._fitted(x, y, refine=False)
        best = [done[k].hyperparameters.values for k in np.argsort(y[: len(done)])[:3]]
        values = self._minimum(model, best)
        if values is None:
            return self.random_proposal()
        return {"status": TrialStatus.RUNNING, "values": values}

    def _fitted(self, x, y, refine=True):
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.gaussian_process import GaussianProcessRegressor, kernels
        from threadpoolctl import threadpool_limits

        kernel = self._kernel
        if kernel is None or np.size(kernel.k1.k2.length_scale) != x.shape[1]:
            scales = kernels.Matern(np.ones(x.shape[1]), (0.05, 20.0), nu=2.5)
            noise = kernels.WhiteKernel(1e-3, (self.alpha, 1.0))
            kernel = kernels.ConstantKernel(1.0, (0.05, 20.0)) * scales + noise
        spread = y.std()
        model = GaussianProcessRegressor(
            kernel,
            optimizer="fmin_l_bfgs_b" if refine else None,
            n_restarts_optimizer=int(refine and self._kernel is None),
            random_state=self.seed % 2**32,
        )
        # The matrices are small: threads would only wait for each other.
        with warnings.catch_warnings(), threadpool_limits(1):
            # A scale at its bound says that the hyperparameter does not matter.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(x, (y - y.mean()) / (spread if spread > 0 else 1.0))
        self._kernel = model.kernel_
        return _Scaled(model, y.mean(), spread if spread > 0 else 1.0)

    def _minimum(self, model, best):
        """The untried combination with the lowest bound."""
        space = self.hyperparameters.space
        rng = self.random_state("candidates", len(self.trials))
        pool = [
            _space.fill(space, {}, lambda hp: hp.prob_to_value(rng.random()))
            for _ in range(RANDOM)
        ]
        rate, scale = 0.5, 0.2
        centres = best
        for _ in range(ROUNDS):
            for centre in centres:
                pool += [
                    _moves.mutated(space, centre, rng, rate, scale) for _ in range(NEAR)
                ]
            bounds = model.bound(_moves.vectors(space, pool), self.beta)
            pool = [pool[k] for k in np.argsort(bounds)[:NEAR]]
            centres, scale = pool[:3], scale / 3
        return next((v for v in pool if not self._duplicate(v)), None)

    def set_state(self, state):
        own = {"alpha", "beta", "num_initial_points"}
        # The arguments of this run hold, not those of the run that is resumed.
        super().set_state({k: v for k, v in state.items() if k not in own})


class _Scaled:
    """A process fitted to standardized values, in the units of the values."""

    def __init__(self, model, shift, spread):
        self.model, self.shift, self.spread = model, shift, spread

    def predict(self, x):
        return self.model.predict(x) * self.spread + self.shift

    def bound(self, x, beta):
        mean, deviation = self.model.predict(x, return_std=True)
        return mean - beta * deviation
