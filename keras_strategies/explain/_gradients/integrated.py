"""Integrated gradients, with as many points as the sum needs."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies.explain._engine.explained import Explained
from keras_strategies.explain._engine.positions import substitute
from keras_strategies.explain._gradients.plain import packed

# Where the scores at both ends are nearly the same, the error is taken relative to this
# part of what was added and subtracted on the path.
_FLOOR = 0.01


def integrated_gradients(
    model: keras.Model,
    inputs: Any,
    target: Any = None,
    *,
    baseline: Any = 0.0,
    points: int | None = None,
    tolerance: float = 0.01,
    max_points: int = 256,
    return_error: bool = False,
    logits: bool = True,
    batch_size: int = 32,
) -> Any:
    """Maps of how much each input value adds to the output, that add up.

    The gradient is averaged on the straight line from a baseline, an input that says
    nothing, to the sample. The attributions of a sample then add up to the difference
    of the scores at both ends (completeness): nothing is left unexplained, and the
    sum tells how exact the integral is.

        a = (x - x') * integral from 0 to 1 of dy/dx at x' + t (x - x') dt

    by Gauss-Legendre points. The error of a sample is `|sum(a) - (f(x) - f(x'))|` by
    `|f(x) - f(x')|`, or by a hundredth of `sum(|a|)` where the scores nearly agree.
    With `points=None` the points are doubled, from 8, for the samples whose error is
    more than `tolerance`.

    Source: Sundararajan, Taly and Yan (2017), "Axiomatic Attribution for Deep
    Networks", https://arxiv.org/abs/1703.01365.

    Args:
        model: Any built Keras model; it is run at inference, once a point.
        inputs: Its inputs, samples first; for several inputs in their structure, which
            are moved together. Inputs of integers stay as they are.
        target: What is explained, as for `saliency`. Defaults to `None`, the highest
            output of each sample.
        baseline: A number, an array of one sample's shape or of the inputs' shape, for
            several inputs in their structure; in the units of the inputs, for example
            the mean image. Defaults to `0.0`.
        points: Points on the line, at least 1. Defaults to `None`, as many as are
            needed.
        tolerance: The error to reach with `points=None`, in (0, 1). Defaults to `0.01`.
        max_points: The most points of a sample then. Defaults to `256`.
        return_error: Whether the error of each sample is returned too. Defaults to
            `False`.
        logits: Whether the values before a last softmax or sigmoid are explained.
            Defaults to `True`.
        batch_size: Points of samples that the model is run on at once. Defaults to
            `32`.

    Returns:
        float32 array of the shape of the inputs, with signs; for several inputs in
        their structure, with `None` for those of integers. With `return_error=True` a
        tuple of that and the errors, `(samples,)`. A warning says how many samples
        missed the tolerance.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is out of range, or as for `saliency`.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import explain

    model = keras.Sequential([
        keras.Input((6,)),
        keras.layers.Dense(8, activation="tanh"),
        keras.layers.Dense(3, activation="softmax"),
    ])
    x = np.random.default_rng(0).random((5, 6))
    shares, error = explain.integrated_gradients(model, x, return_error=True)
    error.max() <= 0.01  # True
    ```
    """
    checks.integer("points", points, low=1, optional=True)
    checks.integer("max_points", max_points, low=1)
    checks.real("tolerance", tolerance, low=0, high=1, low_open=True, high_open=True)
    checks.boolean("return_error", return_error)
    explained = Explained(model, inputs, target, logits=logits, batch_size=batch_size)
    explained.inputs.check_differentiable()
    explained.fix_target()
    line = _Line(explained, baseline)
    found = [np.zeros_like(line.ends[i]) for i in explained.inputs.differentiable]
    errors = refine(found, line, points, tolerance, max_points)
    if points is None and not return_error:
        warn_of_errors(errors, tolerance, max_points)
    result = packed(explained, found)
    return (result, errors) if return_error else result


def refine(
    found: list[np.ndarray],
    line: Any,
    points: int | None,
    tolerance: float,
    max_points: int,
) -> np.ndarray:
    """Fills `found` with attributions; returns the error of each sample.

    Args:
        found: Arrays for the attributions, samples first.
        line: What has `integral(rows, count)`, the attributions of some samples, and
            `difference`, that of the scores at the ends.
        points: A number of points, or `None` for as many as are needed.
        tolerance: The error to reach.
        max_points: The most points.
    """
    count, rows = (points or min(8, max_points)), np.arange(len(found[0]))
    errors = np.zeros(len(rows))
    while len(rows):
        for total, part in zip(found, line.integral(rows, count), strict=True):
            total[rows] = part
        errors[rows] = completeness_errors(found, line.difference)[rows]
        if points is not None or count >= max_points:
            break
        # Only the samples that do not add up yet get twice as many points.
        rows = np.flatnonzero(errors > tolerance)
        count = min(2 * count, max_points)
    return errors


def warn_of_errors(errors: np.ndarray, tolerance: float, max_points: int) -> None:
    """Warns of samples whose attributions do not add up."""
    missed = int((errors > tolerance).sum())
    if missed:
        warnings.warn(
            f"The attributions of {missed} of {len(errors)} samples add up with an "
            f"error of more than {tolerance:g} (at most {errors.max():.3g}) at "
            f"{max_points} points. Raise `max_points`, or choose another baseline.",
            stacklevel=3,
        )


def quadrature(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre points in [0, 1] and their weights, which add up to 1."""
    # Exact for polynomials of degree 2 count - 1, where a Riemann sum is off by 1 /
    # count.
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return ((nodes + 1) / 2).astype("float32"), weights / 2


def averaged(
    gradients: Callable[[np.ndarray, np.ndarray], Sequence[np.ndarray]],
    rows: np.ndarray,
    count: int,
    batch_size: int,
) -> list[np.ndarray]:
    """The gradients of some samples, averaged over their lines by `count` points.

    Args:
        gradients: From rows and a parameter in [0, 1] for each to the gradients there.
        rows: Which samples.
        count: Points on the line of each.
        batch_size: Points that are evaluated at once.
    """
    parameters, weights = quadrature(count)
    parts = []
    # A few batches at a time: all points of many images would not fit in memory.
    step = max(1, 8 * batch_size // count)
    for begin in range(0, len(rows), step):
        part = rows[begin : begin + step]
        at_points = gradients(np.repeat(part, count), np.tile(parameters, len(part)))
        grouped = [x.reshape(len(part), count, *x.shape[1:]) for x in at_points]
        parts.append([np.tensordot(weights, x, axes=(0, 1)) for x in grouped])
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


class _Line:
    """The straight line from the baseline to each sample."""

    def __init__(self, explained: Explained, baseline: Any) -> None:
        self.explained: Explained = explained
        self.ends: list[np.ndarray] = explained.inputs.flat
        self.starts: list[np.ndarray] = _starts(explained, baseline)
        self.difference: np.ndarray = explained.scores() - explained.scores(
            explained.count, lambda rows: ([x[rows] for x in self.starts], rows)
        )

    def integral(self, rows: np.ndarray, count: int) -> list[np.ndarray]:
        """The attributions of some samples by `count` points."""
        means = averaged(self._gradients, rows, count, self.explained.batch_size)
        return [
            (mean * (self.ends[i][rows] - self.starts[i][rows])).astype("float32")
            for mean, i in zip(means, self.explained.inputs.differentiable, strict=True)
        ]

    def _gradients(self, rows, parameters):
        def make(positions):
            samples = rows[positions]
            return self._at(samples, parameters[positions]), samples

        return self.explained.gradients(len(rows), make)[1]

    def _at(self, rows, parameters):
        """The inputs at points of the line."""
        flat = []
        for position, (start, end) in enumerate(
            zip(self.starts, self.ends, strict=True)
        ):
            if position in self.explained.inputs.differentiable:
                shape = (len(rows), *[1] * (end.ndim - 1))
                low, t = start[rows], parameters.reshape(shape)
                flat.append(low + t * (end[rows] - low))
            else:
                flat.append(end[rows])
        return flat


def completeness_errors(found: list[np.ndarray], difference: np.ndarray) -> np.ndarray:
    """The error of each sample relative to the difference of the scores."""
    flat = np.concatenate([x.reshape(len(x), -1) for x in found], axis=1)
    flat = flat.astype("float64")
    # Attributions must add up to the difference of the scores (completeness,
    # Sundararajan et al., 2017).
    scale = np.maximum(np.abs(difference), _FLOOR * np.abs(flat).sum(axis=1))
    missing = np.abs(flat.sum(axis=1) - difference)
    return np.where(scale > 0, missing / np.where(scale > 0, scale, 1), 0.0)


def _starts(explained, baseline):
    inputs = explained.inputs
    several = len(inputs.flat) > 1 and not np.isscalar(baseline)
    given = keras.tree.flatten(baseline) if several else [baseline] * len(inputs.flat)
    if len(given) != len(inputs.flat):
        checks.fail(
            "`baseline` must have an array or number for each input",
            inputs=len(inputs.flat),
            baselines=len(given),
        )
    starts = []
    for position, (value, array) in enumerate(zip(given, inputs.flat, strict=True)):
        if position not in inputs.differentiable:
            starts.append(array)
            continue
        starts.append(np.ascontiguousarray(substitute(array, value)))
    return starts
