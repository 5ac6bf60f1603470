"""Ranges of activations from blocks of values: which part of the axis int8 covers.

Pure NumPy. A reducer sees blocks with `update(values)` and answers `range()`.
"""

import numpy as np

# Below are masks, not values.
MASK = -1e8
# Struck out scores stay this far below the least score: exp(-16) is 1e-7.
MASK_ROOM = 16.0
METHODS = ("minmax", "percentile", "moving_average")
# Change of a range, relative to its width, above which it still moves.
MOVED = 0.05
# Of the tensors: beyond this share, more samples would change the result.
SETTLED = 0.1

_ROW = 128  # mantissa steps an octave
_SPECIAL = 255  # exponent of infinity and NaN


class _Reducer:
    """Keeps finite values only and remembers whether there were others."""

    def __init__(self):
        self.non_finite = False

    def update(self, values):
        """Takes in a float32 array of any shape."""
        low, high = float(values.min()), float(values.max())
        if not np.isfinite(high - low):
            keep = np.isfinite(values)
            self.non_finite = self.non_finite or not keep.all()
            values = values[keep]
            if not values.size:
                return
            low, high = float(values.min()), float(values.max())
        self._take(values, low, high)


class MinMax(_Reducer):
    """Smallest and largest value: nothing is clipped, one outlier costs levels."""

    low, high = np.inf, -np.inf

    def _take(self, values, low, high):
        self.low, self.high = min(self.low, low), max(self.high, high)

    def range(self):
        """Returns `(low, high)`, or None before any value."""
        return (self.low, self.high) if self.low <= self.high else None


class MovingAverage(_Reducer):
    """Average of each block's extremes, later ones weighing more.

    `r <- decay * r + (1 - decay) * extreme`, from the first block on.
    """

    def __init__(self, decay):
        super().__init__()
        self.decay = decay
        self.extremes = None

    def _take(self, values, low, high):
        new = np.array([low, high])
        old = new if self.extremes is None else self.extremes
        self.extremes = self.decay * old + (1 - self.decay) * new

    def range(self):
        """Returns `(low, high)`, or None before any value."""
        if self.extremes is None:
            return None
        return tuple(float(value) for value in self.extremes)


class Percentile(MinMax):
    """Both tails cut at a percentile of all values, from a logarithmic histogram.

    A bin is the upper half of a float32: sign, exponent and 7 bits of mantissa.
    So a percentile is off by at most 1/128 of its own magnitude however far the
    outliers lie (bins of equal width would lose the bulk beside an outlier), and
    counting is one shift and one `bincount`. Memory: 1 KB for each octave seen.
    """

    def __init__(self, percentile):
        super().__init__()
        self.percentile = percentile
        self.rows = {}

    def _take(self, values, low, high):
        super()._take(values, low, high)
        bits = np.ascontiguousarray(values, "float32").reshape(-1).view("uint32")
        counts = np.bincount((bits >> 16).astype("uint16"), minlength=65536)
        table = counts.reshape(-1, _ROW)
        for row in np.flatnonzero(table.any(axis=1)):
            self.rows[int(row)] = self.rows.get(int(row), 0) + table[row]

    def range(self):
        """Returns `(low, high)`, or None before any value."""
        if not self.rows:
            return None
        # From the most negative value to the largest: magnitudes falling, rising.
        rows = sorted(row for row in self.rows if row % 256 != _SPECIAL)
        negative = [row for row in rows[::-1] if row >= 256]
        positive = [row for row in rows if row < 256]
        counts = [self.rows[row][::-1] for row in negative]
        counts += [self.rows[row] for row in positive]
        codes = [row * _ROW + np.arange(_ROW)[::-1] for row in negative]
        codes += [row * _ROW + np.arange(_ROW) for row in positive]
        total = np.cumsum(np.concatenate(counts))
        codes = np.concatenate(codes)
        shares = 1 - self.percentile / 100, self.percentile / 100
        found = [self._value(share, total, codes) for share in shares]
        return tuple(min(max(value, self.low), self.high) for value in found)

    def _value(self, share, total, codes):
        rank = share * (total[-1] - 1)
        if share in (0, 1):
            return self.high if share else self.low
        index = int(np.searchsorted(total, rank, side="right"))
        index = min(index, len(total) - 1)
        before = total[index - 1] if index else 0
        part = (rank - before + 0.5) / (total[index] - before)
        code = np.uint32(codes[index])
        edges = np.array([code, code + np.uint32(1)], "uint32") << np.uint32(16)
        first, second = edges.view("float32").astype("float64")
        if first == 0 or not np.isfinite(second):  # zeros need no width
            second = first
        if code >> 15:  # negative: the magnitude falls along the axis
            first, second = second, first
        return float(first + min(part, 1.0) * (second - first))


def reducer(method, percentile, decay):
    """Returns a new reducer for one tensor."""
    if method == "percentile":
        return Percentile(percentile)
    return MovingAverage(decay) if method == "moving_average" else MinMax()


def unmasked(values):
    """Returns the entries of `values` that no attention mask struck out.

    A mask puts a huge negative number where attention must not look: -1e9, or near
    the least float32. A range that reaches there has no level left for the scores
    themselves, and attention becomes a plain mean.

    Returns:
        `(entries, masked)`: `values` itself and `False` if nothing was masked.
    """
    if values.dtype.kind != "f" or not values.min() < MASK:
        return values, False
    return values[values >= MASK], True


def convergence(early, late):
    """Says which ranges still moved between `early` and `late`.

    A range moves if its ends together changed by more than 5 % of its width.

    Args:
        early: Name -> `(low, high)` after three quarters of the samples, or None
            if there were too few blocks to say.
        late: Name -> `(low, high)` after all of them.

    Returns:
        Dict with `moving` (share of the tensors, None if unknown),
        `moving_tensors` (the worst five names) and `settled`.
    """
    if early is None or not late:
        return {"moving": None, "moving_tensors": [], "settled": False}
    changes = {name: _change(early.get(name), value) for name, value in late.items()}
    moved = [name for name, change in changes.items() if change > MOVED]
    moved.sort(key=changes.get, reverse=True)
    share = len(moved) / len(changes)
    return {
        "moving": share,
        "moving_tensors": moved[:5],
        "settled": share <= SETTLED,
    }


def _change(early, late):
    if early is None:
        return np.inf
    change = abs(early[0] - late[0]) + abs(early[1] - late[1])
    width = late[1] - late[0]
    return change / width if width > 0 else np.inf if change else 0.0
