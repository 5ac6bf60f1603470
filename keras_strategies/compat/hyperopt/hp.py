"""Distributions of the hyperparameters of a space, each under a label of its own."""

from collections.abc import Sequence
from typing import Any

from keras_strategies._internal import checks
from keras_strategies.compat.hyperopt import _nodes

__all__ = [
    "choice",
    "lognormal",
    "loguniform",
    "normal",
    "pchoice",
    "qlognormal",
    "qloguniform",
    "qnormal",
    "quniform",
    "randint",
    "uniform",
    "uniformint",
]


def choice(label: str, options: Sequence[Any]) -> Any:
    """One of `options`, each of which may be a space; `fmin` returns its index."""
    return _nodes.Choice(label, options)


def pchoice(label: str, p_options: Sequence[tuple[float, Any]]) -> Any:
    """One of the options of pairs `(probability, option)`."""
    probabilities, options = zip(*p_options, strict=True)
    return _nodes.Choice(label, options, probabilities)


def uniform(label: str, low: float, high: float) -> Any:
    """A number in `[low, high]`."""
    return _nodes.uniform(label, low, high)


def quniform(label: str, low: float, high: float, q: float) -> Any:
    """`round(uniform(low, high) / q) * q`."""
    return _nodes.rounded(_nodes.uniform(label, low, high), q)


def uniformint(label: str, low: float, high: float) -> Any:
    """`quniform` with steps of 1, as an integer."""
    return _nodes.rounded(_nodes.uniform(label, low, high), 1, int)


def loguniform(label: str, low: float, high: float) -> Any:
    """`exp(uniform(low, high))`."""
    return _nodes.loguniform(label, low, high)


def qloguniform(label: str, low: float, high: float, q: float) -> Any:
    """`round(loguniform(low, high) / q) * q`."""
    return _nodes.rounded(_nodes.loguniform(label, low, high), q)


def normal(label: str, mu: float, sigma: float) -> Any:
    """A number of the normal distribution."""
    return _nodes.normal(label, mu, sigma)


def qnormal(label: str, mu: float, sigma: float, q: float) -> Any:
    """`round(normal(mu, sigma) / q) * q`."""
    return _nodes.rounded(_nodes.normal(label, mu, sigma), q)


def lognormal(label: str, mu: float, sigma: float) -> Any:
    """`exp(normal(mu, sigma))`."""
    return _nodes.lognormal(label, mu, sigma)


def qlognormal(label: str, mu: float, sigma: float, q: float) -> Any:
    """`round(lognormal(mu, sigma) / q) * q`."""
    return _nodes.rounded(_nodes.lognormal(label, mu, sigma), q)


def randint(label: str, low: int, high: int | None = None) -> Any:
    """An integer in `[low, high)`, or in `[0, low)` without `high`."""
    low, high = (0, low) if high is None else (low, high)
    checks.integer("low", low)
    checks.integer("high", high)
    return _nodes.integer(label, low, high - 1)
