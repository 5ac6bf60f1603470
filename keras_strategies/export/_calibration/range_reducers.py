"""Reduction of blocks of values to the range that integers cover (NumPy only).

A reducer gets blocks with `update(values)` and returns `range()`. `"minmax"` and
`"percentile"` are the calibrations of Wu et al., 2020
(https://arxiv.org/abs/2004.09602), `"moving_average"` that of Jacob et al., 2018
(https://arxiv.org/abs/1712.05877).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

# Values below are attention masks.
MASK_THRESHOLD = -1e8
# Masked scores stay this far below the smallest score: exp(-16) is 1e-7.
MASK_ROOM = 16.0
METHODS = ("minmax", "percentile", "moving_average")
# Change of a range, relative to its width, above which it still moves.
MOVING_CHANGE = 0.05
# Fraction of moving tensors above which more samples would change the result.
MAX_MOVING = 0.1

# A row of the histogram is one octave: sign and exponent of a float32, nine bits.
_ROW = 128  # bins in it, the upper seven bits of the mantissa
_SPECIAL = 255  # exponent of infinity and NaN


class _Reducer:
    """Base that drops NaN and infinity and remembers whether there were any."""

    def __init__(self) -> None:
        self.non_finite = False

    def update(self, values: np.ndarray) -> None:
        """Adds a float32 array of any shape."""
        low, high = float(values.min()), float(values.max())
        if not np.isfinite(high - low):
            is_finite = np.isfinite(values)
            self.non_finite = self.non_finite or not is_finite.all()
            values = values[is_finite]
            if not values.size:
                return
            low, high = float(values.min()), float(values.max())
        self._reduce(values, low, high)


class MinMax(_Reducer):
    """Smallest and largest value: nothing is clipped, one outlier costs levels."""

    low, high = np.inf, -np.inf

    def _reduce(self, values, low, high):
        self.low, self.high = min(self.low, low), max(self.high, high)

    def range(self) -> tuple[float, float] | None:
        """Returns `(low, high)`, or None before any value."""
        return (self.low, self.high) if self.low <= self.high else None


class MovingAverage(_Reducer):
    """Average of each block's extremes, later ones weighing more.

    `r <- decay * r + (1 - decay) * extreme`, from the first block on.
    """

    def __init__(self, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.extremes: np.ndarray | None = None

    def _reduce(self, values, low, high):
        new = np.array([low, high])
        old = new if self.extremes is None else self.extremes
        self.extremes = self.decay * old + (1 - self.decay) * new

    def range(self) -> tuple[float, float] | None:
        """Returns `(low, high)`, or None before any value."""
        if self.extremes is None:
            return None
        low, high = self.extremes
        return float(low), float(high)


class Percentile(MinMax):
    """Both tails cut at a percentile of all values, from a logarithmic histogram.

    A bin is the upper half of a float32: sign, exponent and 7 bits of mantissa.
    So a percentile is off by at most 1/128 of its own magnitude however far the
    outliers are (with bins of equal width, an outlier would put all other values into
    one bin), and counting is one shift and one `bincount`. Memory: 1 KB for each
    octave that occurs.
    """

    def __init__(self, percentile: float) -> None:
        super().__init__()
        self.percentile = percentile
        self.rows: dict[int, np.ndarray] = {}  # octave -> counts of its bins

    def _reduce(self, values, low, high):
        super()._reduce(values, low, high)
        bits = np.ascontiguousarray(values, "float32").reshape(-1).view("uint32")
        counts = np.bincount((bits >> 16).astype("uint16"), minlength=65536)
        table = counts.reshape(-1, _ROW)
        for row in np.flatnonzero(table.any(axis=1)):
            self.rows[int(row)] = self.rows.get(int(row), 0) + table[row]

    def range(self) -> tuple[float, float] | None:
        """Returns `(low, high)`, or None before any value."""
        if not self.rows:
            return None
        # From the most negative value to the largest: magnitudes falling, rising.
        # The sign bit is the highest, so rows from 256 on are negative.
        rows = sorted(row for row in self.rows if row % 256 != _SPECIAL)
        negative = [row for row in rows[::-1] if row >= 256]
        positive = [row for row in rows if row < 256]
        counts = [self.rows[row][::-1] for row in negative]
        counts += [self.rows[row] for row in positive]
        codes = [row * _ROW + np.arange(_ROW)[::-1] for row in negative]
        codes += [row * _ROW + np.arange(_ROW) for row in positive]
        cumulative, codes = np.cumsum(np.concatenate(counts)), np.concatenate(codes)
        upper = self.percentile / 100
        low, high = (
            min(max(self._quantile(level, cumulative, codes), self.low), self.high)
            for level in (1 - upper, upper)
        )
        return low, high

    def _quantile(self, level, cumulative, codes):
        """The value at `level` in [0, 1], interpolated inside its bin."""
        if level in (0, 1):
            return self.high if level else self.low
        rank = level * (cumulative[-1] - 1)
        index = int(np.searchsorted(cumulative, rank, side="right"))
        index = min(index, len(cumulative) - 1)
        before = cumulative[index - 1] if index else 0
        fraction = (rank - before + 0.5) / (cumulative[index] - before)
        # The edges of a bin are its code and the next one as the upper half of a float.
        code = np.uint32(codes[index])
        edges = np.array([code, code + np.uint32(1)], "uint32") << np.uint32(16)
        first, second = edges.view("float32").astype("float64")
        if first == 0 or not np.isfinite(second):  # zeros need no width
            second = first
        if code >> 15:  # negative: the magnitude falls along the axis
            first, second = second, first
        return float(first + min(fraction, 1.0) * (second - first))


def create_reducer(
    method: str, percentile: float, decay: float
) -> MinMax | MovingAverage:
    """Returns a new reducer for one tensor."""
    if method == "percentile":
        return Percentile(percentile)
    return MovingAverage(decay) if method == "moving_average" else MinMax()


def remove_masks(values: np.ndarray) -> tuple[np.ndarray, bool]:
    """Returns the entries of `values` that no attention mask covers.

    A mask adds a huge negative number to the scores that attention must ignore: -1e9,
    or near the least float32. A range that reaches so far has no level for the scores
    themselves, and attention becomes a plain mean.

    Returns:
        `(entries, masked)`: `values` itself and `False` if nothing was masked.
    """
    if values.dtype.kind != "f" or not values.min() < MASK_THRESHOLD:
        return values, False
    return values[values >= MASK_THRESHOLD], True


def measure_convergence(
    early: Mapping[str, Any] | None, late: Mapping[str, Any]
) -> dict[str, Any]:
    """Reports the ranges that still moved between `early` and `late`.

    A range moves if its ends together changed by more than 5 % of its width.

    Args:
        early: Name -> `(low, high)` after three quarters of the samples, or None
            if there were too few blocks to say.
        late: Name -> `(low, high)` after all of them.

    Returns:
        Dict with `moving` (fraction of the tensors, None if unknown),
        `moving_tensors` (the worst five names) and `settled`.
    """
    if early is None or not late:
        return {"moving": None, "moving_tensors": [], "settled": False}
    changes = {name: _change(early.get(name), value) for name, value in late.items()}
    moved = [name for name, change in changes.items() if change > MOVING_CHANGE]
    moved.sort(key=lambda name: changes[name], reverse=True)
    fraction = len(moved) / len(changes)
    return {
        "moving": fraction,
        "moving_tensors": moved[:5],
        "settled": fraction <= MAX_MOVING,
    }


def _change(early, late):
    if early is None:
        return np.inf
    change = abs(early[0] - late[0]) + abs(early[1] - late[1])
    width = late[1] - late[0]
    return change / width if width > 0 else np.inf if change else 0.0
