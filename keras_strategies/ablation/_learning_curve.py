"""Scores by training-set size, and what they say of more data."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.reports import Column, Report
from keras_strategies.ablation._statistics.power_law import PowerLaw, fit, forecast

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MULTIPLES = (2, 4)
# Below a point of a share, or a hundredth of another score, more data are not worth it.
_WORTHWHILE = 0.01


class LearningCurve(Report):
    """Scores by training-set size and their extrapolation; made by `learning_curve`.

    Args:
        sizes: Numbers of training samples, increasing, at least 4.
        scores: Scores, one row a size and one column a seed, at least 2 seeds.
        metric: Name of the score.
        direction: `"max"` if more of it is better, else `"min"`.
        seed: Seed of the resampling. Defaults to `0`.

    Attributes:
        sizes: Numbers of training samples.
        scores: The scores.
        fit: The curve, a function of the size with the attributes `limit`, `factor`
            and `exponent`.
        predicted: `(low, middle, high)` of the score with 2 and 4 times the data, by
            this factor (95 %).
        gain: The same of the gain on the score with all data; above 0 is better.
        more_data_helps: `True` if twice the data gains something for certain, `False`
            if it gains less than a point (0.01 of a share, 1 % of another score),
            `None` if the data do not tell.
        check: The largest size as the others predict it: `size`, `score` and
            `interval` of the mean score, and whether it is `inside`.
        rows: One dict a size, measured and predicted.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    ```python
    import numpy as np
    from keras_strategies import ablation

    sizes = np.array([100, 200, 400, 800])
    scores = 0.95 - 2 * sizes[:, None] ** -0.5 + np.array([[-0.01, 0.0, 0.01]])
    curve = ablation.LearningCurve(sizes, scores, "accuracy", "max", seed=0)
    print(curve.more_data_helps)  # True
    ```
    """

    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("size", form=",d"),
        Column("score", form=".4f"),
        Column("deviation", form=".4f"),
        Column("curve", form=".4f"),
        Column(
            "interval",
            form=lambda v: "-" if v is None else f"{v[0]:.4f} to {v[1]:.4f}",
        ),
    )

    def __init__(
        self,
        sizes: Sequence[int] | np.ndarray,
        scores: np.ndarray,
        metric: str,
        direction: str,
        seed: int = 0,
    ):
        checks.choice("direction", direction, ("min", "max"))
        self.sizes: np.ndarray = np.asarray(sizes, int)
        self.scores: np.ndarray = np.asarray(scores, float)
        _check(self.sizes, self.scores)
        self.metric: str = metric
        self.direction: str = direction
        self.seed: int = seed
        self._sign = -1 if direction == "max" else 1
        self._best = _best_possible(self.scores, self._sign)
        points = np.repeat(self.sizes, self.scores.shape[1]).astype(float)
        self.fit: PowerLaw = fit(
            points, self.scores.reshape(-1), self._sign, self._best
        )
        self._extrapolate()
        self.check: dict[str, Any] = self._checked()
        self.rows: list[dict[str, Any]] = self._make_rows()

    def _extrapolate(self):
        targets = self.sizes.max() * np.array(_MULTIPLES, float)
        seen = self._forecast(self.sizes, self.scores, targets)
        columns = list(enumerate(_MULTIPLES))
        self.predicted: dict[int, tuple[float, float, float]] = {
            m: (float(seen.low[i]), float(seen.middle[i]), float(seen.high[i]))
            for i, m in columns
        }
        self.gain: dict[int, tuple[float, float, float]] = {
            m: (
                float(seen.gain_low[i]),
                float(seen.gain_middle[i]),
                float(seen.gain_high[i]),
            )
            for i, m in columns
        }
        low, _, high = self.gain[2]
        self.more_data_helps: bool | None = None
        if high < self._worthwhile():
            self.more_data_helps = False
        elif low > 0:
            self.more_data_helps = True

    def _worthwhile(self):
        if _is_share(self.scores):
            return _WORTHWHILE
        return _WORTHWHILE * abs(float(self.scores[-1].mean()))

    def _forecast(self, sizes, scores, targets):
        return forecast(sizes, scores, targets, self._sign, self._best, self.seed)

    def _checked(self) -> dict[str, Any]:
        """Predicts the largest size from the others."""
        target = self.sizes[-1:].astype(float)
        seen = self._forecast(self.sizes[:-1], self.scores[:-1], target)
        # The score measured has an error of its own.
        last = self.scores[-1]
        reach = 2 * float(np.std(last, ddof=1)) / np.sqrt(len(last))
        low, high = float(seen.low[0]) - reach, float(seen.high[0]) + reach
        score = float(last.mean())
        return {
            "size": int(target[0]),
            "score": score,
            "interval": (low, high),
            "inside": low <= score <= high,
        }

    def _make_rows(self):
        rows = [
            {
                "size": int(size),
                "score": float(scores.mean()),
                "deviation": float(scores.std(ddof=1)),
                "curve": float(self.fit(size)),
                "interval": None,
            }
            for size, scores in zip(self.sizes, self.scores, strict=True)
        ]
        for multiple, (low, middle, high) in self.predicted.items():
            rows.append(
                {
                    "size": int(self.sizes[-1]) * multiple,
                    "score": None,
                    "deviation": None,
                    "curve": middle,
                    "interval": (low, high),
                }
            )
        return rows

    def _footer(self):
        low, middle, high = self.gain[2]
        verdict = {
            True: "More data would help.",
            False: "More data would not help: that is less than a point.",
            None: "The data do not tell whether more data would help.",
        }[self.more_data_helps]
        size = self.check["size"]
        first, last = self.check["interval"]
        place = "inside" if self.check["inside"] else "outside"
        return [
            f"{self.metric} ({self.direction} is better) = {self.fit.limit:.4f} "
            f"{'-' if self._sign < 0 else '+'} {self.fit.factor:.4g} * size ** "
            f"-{self.fit.exponent:.3f}",
            f"Twice the data would gain {middle:+.4f} ({low:+.4f} to {high:+.4f}). "
            f"{verdict}",
            f"Check: the other sizes predict {first:.4f} to {last:.4f} at {size:,}; "
            f"measured {self.check['score']:.4f}, {place}.",
        ]

    def _warnings(self):
        if self.check["inside"]:
            return ()
        return (
            "The largest size is not where the others predict it: the curve may not "
            "be a power law.",
        )

    def _summary(self):
        return {
            "metric": self.metric,
            "direction": self.direction,
            "more_data_helps": self.more_data_helps,
            "fit": self.fit._asdict(),
            "predicted": self.predicted,
            "gain": self.gain,
            "check": self.check,
            "scores": self.scores,
        }

    def _draw(self, ax: "Axes") -> None:
        grid = np.geomspace(self.sizes[0], self.sizes[-1] * max(_MULTIPLES), 100)
        ax.plot(grid, self.fit(grid), color="#0b6e99", label="power law")
        points = np.repeat(self.sizes, self.scores.shape[1])
        ax.plot(
            points, self.scores.reshape(-1), ".", color="#6e7781", label="trainings"
        )
        ax.plot(self.sizes, self.scores.mean(axis=1), "o", color="#0b6e99")
        for multiple, (low, middle, high) in self.predicted.items():
            size = self.sizes[-1] * multiple
            ax.plot([size, size], [low, high], color="#9a6700")
            ax.plot(size, middle, "s", color="#9a6700")
        ax.set_xscale("log")
        ax.set_xlabel("training samples")
        ax.set_ylabel(self.metric)
        ax.legend(loc="best", fontsize="small")


def _check(sizes, scores):
    if sizes.ndim != 1 or len(sizes) < 4 or np.any(np.diff(sizes) <= 0) or sizes[0] < 1:
        checks.fail(
            "`sizes` must be at least 4 increasing numbers of samples",
            sizes=sizes.tolist(),
        )
    if scores.ndim != 2 or len(scores) != len(sizes) or scores.shape[1] < 2:
        checks.fail(
            "`scores` must have a row for each size and a column for each of at least "
            "2 seeds",
            shape=scores.shape,
            sizes=len(sizes),
        )
    if not np.isfinite(scores).all():
        checks.fail("`scores` must be finite", scores=scores.tolist())


def _is_share(scores):
    return bool(scores.min() >= 0 and scores.max() <= 1)


def _best_possible(scores, sign):
    """1 for shares, of which more is better; 0 for losses that are never below 0."""
    if sign < 0:
        return 1.0 if _is_share(scores) else None
    return 0.0 if scores.min() >= 0 else None
