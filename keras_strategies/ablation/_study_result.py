"""The result of a study."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.reports import Column, Report
from keras_strategies.ablation import _code, _drawing
from keras_strategies.ablation._best_result import BestResult, interval_text
from keras_strategies.ablation._runs.training import FIRST_CONFIRMATION
from keras_strategies.ablation._strategy_result import StrategyResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from keras_strategies.ablation._engine import Engine

_ORDER = ("helps", "undecided", "no difference", "hurts", "not applicable")


def _signed(value):
    return "-" if value is None else f"{value:+.4f}"


def _p(value):
    if value is None:
        return "-"
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}"


def _extra(value):
    return "-" if value is None else f"{value:+,d}"


class StudyResult(Report):
    """What a study found out: a table, pictures, the best combination, its code.

    Attributes:
        strategies: A `StrategyResult` for each strategy, by name.
        metric: Name of the metric.
        direction: `"max"` if more of it is better, else `"min"`.
        design: The design of the study.
        baseline: Mean score of the arm that strategies are compared to (the plain
            baseline, or all strategies together with `"leave_one_out"`).
        baseline_deviation: Its standard deviation from run to run.
        trainings: Trainings that the result is based on.
        interactions: Interactions of pairs, with `design="factorial"`.
        seed: Seed of the study.
        warnings: What to know before relying on the result.
        rows: The table as dicts.
    """

    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("strategy", left=True),
        Column("verdict", left=True),
        Column("difference", form=_signed),
        Column("interval", form=interval_text),
        Column("p_value", "p", form=_p),
        Column("seeds"),
        Column("time_ratio", "time", form=".2f"),
        Column("extra_parameters", form=_extra),
        Column("inference_ratio", "inference", form=".2f"),
        Column("reason", left=True),
    )

    def __init__(
        self,
        engine: "Engine",
        strategies: Mapping[str, StrategyResult],
        *,
        design: str,
        direction: str,
        reference: Mapping[str, Any],
        interactions: Sequence[Mapping[str, Any]] = (),
        warnings: Sequence[str] = (),
    ):
        self._engine = engine
        self.strategies: dict[str, StrategyResult] = dict(
            sorted(strategies.items(), key=lambda item: _ORDER.index(item[1].verdict))
        )
        self.metric: str = engine.setup.metric
        self.seed: int = engine.setup.seed
        self.design = design
        self.direction = direction
        self.baseline: float = reference["mean"]
        self.baseline_deviation: float | None = reference["deviation"]
        self.interactions: list[dict[str, Any]] = [dict(row) for row in interactions]
        self.trainings: int = engine.log.count(FIRST_CONFIRMATION)
        self.warnings: tuple[str, ...] = tuple(warnings)
        self.rows: list[dict[str, Any]] = [
            _row(result) for result in self.strategies.values()
        ]

    @property
    def helpful(self) -> list[str]:
        """Names of the strategies that help, the most helpful first."""
        names = [n for n, item in self.strategies.items() if item.verdict == "helps"]
        return sorted(names, key=lambda n: -abs(self.strategies[n].difference))

    def _footer(self):
        reference = "all strategies" if self.design == "leave_one_out" else "baseline"
        deviation = self.baseline_deviation
        lines = [
            f"{self.metric} on the test part ({self.direction} is better); "
            f"{reference}: {self.baseline:.4f}"
            + ("" if deviation is None else f", {deviation:.4f} from run to run")
            + f"; {self.trainings} trainings; seed {self.seed}",
            "difference: with the strategy less without it; intervals and p hold for "
            "all strategies and looks together (95 %)",
        ]
        for result in self.strategies.values():
            line = _outlook(result, self._engine.looks[-1])
            if line:
                lines.append(f"{result.name}: {line}")
        for row in self.interactions:
            lines.append(
                f"interaction {row['interaction']}: {row['difference']:+.4f} "
                f"({row['low']:+.4f} to {row['high']:+.4f})"
            )
        return [*lines, *self.warnings]

    def _summary(self):
        return {
            "metric": self.metric,
            "direction": self.direction,
            "design": self.design,
            "baseline": self.baseline,
            "baseline_deviation": self.baseline_deviation,
            "trainings": self.trainings,
            "seed": self.seed,
            "interactions": self.interactions,
            "warnings": list(self.warnings),
        }

    def to_dict(self) -> dict[str, Any]:
        """Returns all of the result as a dict that `json.dumps` takes."""
        return json.loads(json.dumps(super().to_dict()))

    def plot(
        self,
        ax: "Axes | None" = None,
        *,
        kind: Literal["forest", "curves"] = "forest",
        strategies: Sequence[str] | None = None,
    ) -> "Axes":
        """Draws the result; returns the Matplotlib `Axes`.

        Args:
            ax: The `Axes` to draw on. Defaults to those of a new figure.
            kind: `"forest"`: differences with their intervals, seeds and test set told
                apart. `"curves"`: the metric on the validation part after each epoch,
                as mean and standard deviation over the runs. Defaults to `"forest"`.
            strategies: Names of the strategies in `"curves"`. Defaults to `None`:
                those decided, at most six.
        """
        checks.choice("kind", kind, ("forest", "curves"))
        for name in strategies or ():
            checks.choice("strategies", name, tuple(self.strategies))
        self._kind, self._chosen = kind, strategies
        try:
            return super().plot(ax)
        finally:
            self._kind, self._chosen = "forest", None

    _kind: str = "forest"
    _chosen: Sequence[str] | None = None

    def _draw(self, ax):
        if self._kind == "forest":
            _drawing.forest(self, ax)
        else:
            _drawing.curves(self, self._engine, ax, self._chosen)

    def _pictures(self, title: str) -> str:
        pictures = self._picture("Differences", "Differences from the baseline")
        self._kind = "curves"
        try:
            curves = "Metric of each strategy by epoch"
            return pictures + self._picture("Learning curves", curves)
        finally:
            self._kind = "forest"

    def best(self, seeds: int | None = None, *, verbose: int = 1) -> BestResult:
        """Trains the combination of what helped afresh and confirms it.

        A combination may be worse than its parts, and what looked best in a table of
        many has been lucky too. So new seeds are trained, of the baseline, of each
        helpful strategy and of all of them together, and scored on the third of the
        test part that nothing has looked at. The best of those that are better there
        (Holm's procedure, 5 % for all together) is the result.

        Args:
            seeds: New runs of each, at least 3. Defaults to `None`: as many as the
                study began with, but at least 5.
            verbose: `0` is silent. Defaults to `1`, a bar.

        Returns:
            A `BestResult`.
        """
        from keras_strategies.ablation._confirmation import confirm

        if seeds is None:
            seeds = max(5, self._engine.looks[0])
        checks.integer("seeds", seeds, low=3, high=1000)
        return confirm(self._engine, self, seeds, verbose)

    def code(self, strategies: Sequence[str] | None = None) -> str:
        """Python lines that apply strategies in a script of your own.

        They stand behind the making of `model` (as `build_fn` returns it), `x_train`,
        `y_train`, `x_val` and `y_val` (with sample weights also `w_train` and
        `w_val`), and end with its `fit`.

        Args:
            strategies: Names of strategies. Defaults to `None`: those that help.
        """
        setup = self._engine.setup
        names = self.helpful if strategies is None else list(strategies)
        for name in names:
            checks.choice("strategies", name, tuple(self.strategies))
        from keras_strategies.ablation._runs import applying

        with applying.clean_keras(setup.keras_settings):
            model = applying.built(setup.build_fn, setup.splits.samples, 0)
            chosen = [setup.strategies[name] for name in names]
            samples = setup.splits.samples.rows(setup.splits.of(0).training)
            return _code.script(chosen, model, samples, setup.epochs, setup.batch_size)


def _row(result):
    keys = (
        *("verdict", "difference", "interval", "p_value", "seeds", "time_ratio"),
        *("extra_parameters", "inference_ratio", "reason", "seed_error"),
        *("test_error", "error", "failures", "more_seeds", "detectable"),
        *("smallest_tolerance", "screening", "why", "source"),
    )
    return {"strategy": result.name, **{key: getattr(result, key) for key in keys}}


def _outlook(result, max_seeds):
    """What it would take to decide an open strategy."""
    if result.verdict != "undecided" or result.difference is None:
        return ""
    parts = []
    if result.more_seeds is not None:
        seeds = (
            "1 more seed"
            if result.more_seeds == 1
            else f"{result.more_seeds} more seeds"
        )
        parts.append(f"about {seeds} would decide it")
    elif result.test_error and result.error and not result.failures:
        share = result.test_error / result.error
        if share > np.sqrt(0.5):
            parts.append("most of its error is that of the test set: add test samples")
    if result.detectable is not None:
        parts.append(
            f"{max_seeds} seeds would find a difference of {result.detectable:.4f}"
        )
    if result.smallest_tolerance is not None:
        parts.append(
            f"with tolerance={result.smallest_tolerance:.4f} it would be no difference"
        )
    return "; ".join(parts)
