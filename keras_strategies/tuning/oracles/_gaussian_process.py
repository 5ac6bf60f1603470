"""Gaussian process of few points, with priors, and its expected improvement."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

_SQRT5 = 5**0.5
# Nugget of the correlation matrix, for its factorization.
_JITTER = 1e-8
# Standard deviations of the logarithms of length scales and of the noise, and its mean
# (Hvarfner et al., 2024, and the noise of BoTorch).
_SCALE_DEVIATION, _NOISE_MEAN, _NOISE_DEVIATION = 3**0.5, -4.0, 1.0


@dataclasses.dataclass
class Hyperparameters:
    """Logarithms of the length scale of each group of columns, and of the noise."""

    scales: np.ndarray
    noise: float


class GaussianProcess:
    """A Matern 5/2 process whose length scales have a prior, fitted to standard values.

    The prior of Hvarfner et al. (2024, [Vanilla Bayesian Optimization Performs Great in
    High Dimensions](https://arxiv.org/abs/2402.02229)): the logarithm of a length scale
    is normal around $\\sqrt2 + \\log(d)/2$, so that few points say that few of the `d`
    hyperparameters matter, and not that each value is new. The columns of a one-hot
    encoded choice share their scale. The variance of the process is 1, that of the
    standardized values.

    Args:
        x: Points, one a row, numbers in [0, 1].
        y: Values, with mean 0 and variance 1.
        groups: Number of the hyperparameter of each column.
        smallest_noise: Lower bound of the variance of the noise.
        start: Where the search for the hyperparameters begins. Defaults to `None`: at
            the mode of the prior.
        refines: Whether they are searched. Defaults to `True`.
    """

    def __init__(
        self,
        x: np.ndarray,
        y: np.ndarray,
        groups: Sequence[int],
        smallest_noise: float,
        start: Hyperparameters | None = None,
        refines: bool = True,
    ) -> None:
        self._x, self._y = x, y
        self._groups = np.asarray(groups)
        count = int(self._groups.max()) + 1
        self._mean_scale = 2**0.5 + np.log(count) / 2
        # One distance for each hyperparameter: the columns of a group are added.
        squares = (x[:, None, :] - x[None, :, :]) ** 2
        sums = [squares[..., self._groups == g].sum(-1) for g in range(count)]
        self._squares = np.stack(sums)
        if start is None or len(start.scales) != count:
            mode = self._mean_scale - _SCALE_DEVIATION**2
            start = Hyperparameters(np.full(count, mode), _NOISE_MEAN)
        low = float(np.log(smallest_noise))
        self.hyperparameters: Hyperparameters = start
        if refines:
            self.hyperparameters = self._fitted(start, low)
        self._factor, self._alpha = self._solved()

    def _fitted(self, start, low):
        from scipy.optimize import minimize

        first = np.append(start.scales, max(start.noise, low))
        bounds = [(-4.0, 8.0)] * len(start.scales) + [(low, 1.0)]
        found = minimize(
            self._loss,
            first,
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": 40},
        ).x
        return Hyperparameters(found[:-1], float(found[-1]))

    def _loss(self, parameters):
        """Minus the logarithm of likelihood times prior, and its gradient."""
        from scipy.linalg import cho_factor, cho_solve

        scales, noise = parameters[:-1], parameters[-1]
        parts = self._squares * np.exp(-2 * scales)[:, None, None]
        r = np.sqrt(parts.sum(0))
        decay = np.exp(-_SQRT5 * r)
        kernel = (1 + _SQRT5 * r + 5 / 3 * r**2) * decay
        count = len(self._y)
        kernel[np.diag_indices(count)] += np.exp(noise) + _JITTER
        factor = cho_factor(kernel, lower=True, check_finite=False)
        alpha = cho_solve(factor, self._y, check_finite=False)
        inverse = cho_solve(factor, np.eye(count), check_finite=False)
        loss = 0.5 * self._y @ alpha + np.log(np.diag(factor[0])).sum()
        # The derivative of the likelihood by the kernel, then by each parameter.
        outer = 0.5 * (inverse - np.outer(alpha, alpha))
        # dk / d(r^2) = -5/6 (1 + sqrt(5) r) exp(-sqrt(5) r), and r^2 falls by twice its
        # part when the logarithm of a scale grows.
        by_square = 5 / 3 * (1 + _SQRT5 * r) * decay * outer
        gradient = np.append(
            (by_square * parts).sum((1, 2)), np.exp(noise) * np.trace(outer)
        )
        for which, mean, deviation in (
            (slice(0, -1), self._mean_scale, _SCALE_DEVIATION),
            (slice(-1, None), _NOISE_MEAN, _NOISE_DEVIATION),
        ):
            # Of the log-normal density, which the step to logarithms leaves as it is.
            z = (parameters[which] - mean) / deviation
            loss += (0.5 * z**2 + parameters[which]).sum()
            gradient[which] += z / deviation + 1
        return loss, gradient

    def _kernel(self, squares):
        r = np.sqrt(squares)
        return (1 + _SQRT5 * r + 5 / 3 * r**2) * np.exp(-_SQRT5 * r)

    def _solved(self):
        from scipy.linalg import cho_factor, cho_solve

        factors = np.exp(-2 * self.hyperparameters.scales)[:, None, None]
        kernel = self._kernel((self._squares * factors).sum(0))
        noise = np.exp(self.hyperparameters.noise) + _JITTER
        kernel[np.diag_indices(len(kernel))] += noise
        factor = cho_factor(kernel, lower=True)
        return factor, cho_solve(factor, self._y)

    def _cross(self, x):
        weights = np.exp(-self.hyperparameters.scales)[self._groups]
        a, b = x * weights, self._x * weights
        # One matrix product in place of all differences; rounding may make it negative.
        squares = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
        return self._kernel(np.maximum(squares, 0.0))

    def mean(self, x: np.ndarray) -> np.ndarray:
        """Returns the predicted value of each row."""
        return self._cross(x) @ self._alpha

    def predict(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns mean and standard deviation, without noise, of each row."""
        from scipy.linalg import solve_triangular

        cross = self._cross(x)
        root = solve_triangular(self._factor[0], cross.T, lower=True)
        variance = np.maximum(1 - (root**2).sum(0), 1e-12)
        return cross @ self._alpha, np.sqrt(variance)

    def log_expected_improvement(self, x: np.ndarray) -> np.ndarray:
        """Returns the logarithm of the expected improvement of each row.

        Over the smallest predicted value of the points known, not the smallest value,
        which noise may have made. The logarithm is exact where the improvement itself
        would be 0 in floating point (Ament et al., 2023,
        [Unexpected Improvements to Expected
        Improvement](https://arxiv.org/abs/2310.20708)).
        """
        best = self.mean(self._x).min()
        mean, deviation = self.predict(x)
        return np.log(deviation) + _log_h((best - mean) / deviation)


def _log_h(z: np.ndarray) -> Any:
    """The logarithm of `pdf(z) + z * cdf(z)` of the standard normal distribution."""
    from scipy.special import log_ndtr, ndtr

    density = -0.5 * z**2 - 0.5 * np.log(2 * np.pi)
    near = np.exp(density) + z * ndtr(z)
    # pdf + z cdf = pdf (1 - t), t = |z| cdf / pdf: for small z by its expansion.
    far = np.minimum(z, -1.0)
    rest = 1 - np.exp(np.log(-far) + log_ndtr(far) + 0.5 * (far**2 + np.log(2 * np.pi)))
    series = 1 / far**2 - 3 / far**4
    rest = np.where(far < -30, series, np.maximum(rest, series))
    return np.where(z > -1, np.log(np.maximum(near, 1e-300)), density + np.log(rest))
