"""Trials of a search, as a result."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from keras_strategies._internal.optional import require
from keras_strategies._internal.reports import Column, Report
from keras_strategies.tuning._private.oracles import project_name
from keras_strategies.tuning._space import format_duration, format_value
from keras_strategies.tuning.reports import _drawing, _page, _records

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

_FIRST = ("status", "score", "best_epoch", "seconds", "message")


class SearchReport(Report, Sequence[dict[str, Any]]):
    """The trials of a search, one row each; what `Tuner.results` returns.

    Print it for a table, the best trial first. It is a sequence of its rows: indices,
    `len()` and loops work as for a list. For another tuner of KerasTuner make it
    yourself. It is a copy: trials that end later are not in it.

    Args:
        tuner: A `Tuner`, any tuner of KerasTuner, or its oracle.
        title: Heading of the page that `save_report` writes. Defaults to `None`, the
            name of the project.

    Attributes:
        rows: One dict for each trial, in the order of their start: `trial`, `status`
            (`COMPLETED`, `PRUNED`, `FAILED`, `INVALID` or `RUNNING`; `INFEASIBLE` if
            the values violate the constraints, `OUTSIDE` if a resumed search has
            another space now), `score`, `best_epoch` (from 1), `seconds`, `message`,
            `value/NAME` for each hyperparameter that was active and `metric/NAME` for
            each metric.
        algorithm: Name of the algorithm, or of the class of the oracle.
        objectives: `{name: "min" or "max"}`.

    Raises:
        TypeError: If `tuner` is no tuner.

    Example:

    ```python
    import keras_tuner
    from keras_strategies import tuning

    class Search(tuning.Tuner):
        def run_trial(self, trial, **kwargs):
            return (trial.hyperparameters.get("x") - 1) ** 2

    hp = keras_tuner.HyperParameters()
    hp.Float("x", -4, 4)
    tuner = Search(max_trials=5, algorithm="random", hyperparameters=hp)
    tuner.search(verbose=0)
    print(tuner.results())
    ```
    """

    def __init__(self, tuner: _records.TunerOrOracle, title: str | None = None) -> None:
        oracle = _records.oracle_of(tuner)
        self.rows: list[dict[str, Any]] = _records.trial_rows(oracle)
        self.algorithm: str = (
            getattr(oracle, "algorithm", None) or type(oracle).__name__
        )
        self.objectives: dict[str, _records.Direction] = _records.objectives_of(oracle)
        self._searched = _records.hyperparameter_names(oracle, self.rows)
        self._source, self._heading = oracle, title

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...

    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...

    def __getitem__(self, index: int | slice) -> Any:
        return self.rows[index]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __eq__(self, other: object) -> bool:
        """Whether the rows are equal, to those of a report or of a list."""
        rows = other.rows if isinstance(other, SearchReport) else other
        return self.rows == rows

    @property
    def best(self) -> list[dict[str, Any]]:
        """The rows of the Pareto front; with one objective, of the best trials."""
        rows = [row for row in self.rows if _records.is_complete(row)]
        return _records.pareto_front(rows, self.objectives)

    @property
    def statuses(self) -> dict[str, int]:
        """Number of trials by their status in lower case."""
        statuses = [row["status"].lower() for row in self.rows]
        return {status: statuses.count(status) for status in dict.fromkeys(statuses)}

    @property
    def warnings(self) -> list[str]:
        """What to look at: failed trials, a best value at the end of its range."""
        return list(_page.search_warnings(self._source, self.rows))

    def _columns(self) -> tuple[Column, ...]:
        return (
            Column("trial", left=True),
            Column("status", form=str.lower, left=True),
            *(Column(f"metric/{n}", n, form=_optional) for n in self.objectives),
            Column("best_epoch", "epoch"),
            Column("seconds", "time", form=_duration),
            *(
                Column(f"value/{n}", n, form=_optional, left=True)
                for n in self._searched
            ),
        )

    def _shown_rows(self) -> list[dict[str, Any]]:
        return _page.ranked(self.rows, self.objectives)

    def _footer(self) -> list[str]:
        statuses = self.statuses.items()
        counts = ", ".join(f"{count} {status}" for status, count in statuses)
        lines = [f"{self.algorithm} search, {len(self)} trials: {counts or 'none yet'}"]
        return [*lines, *self.warnings]

    def _summary(self) -> dict[str, Any]:
        return {
            "algorithm": self.algorithm,
            "objectives": self.objectives,
            "trials": self.statuses,
        }

    def to_dataframe(self) -> "pandas.DataFrame":
        """Returns the rows as a Pandas data frame with the trials as its index.

        The columns are `status`, `score`, `best_epoch`, `seconds`, `message`, then
        `value/NAME` in the order of the space, then `metric/NAME`. What a trial does
        not have is missing (NaN).
        """
        pandas = require("pandas", "`SearchReport.to_dataframe`")
        values = [f"value/{name}" for name in self._searched]
        columns = {key for row in self.rows for key in row}
        remaining = sorted(columns - {"trial", *_FIRST, *values})
        # Hyperband's own entries, then the metrics.
        remaining.sort(key=lambda key: key.startswith("metric/"))
        trials = [row["trial"] for row in self.rows]
        frame = pandas.DataFrame(
            {
                key: [row.get(key) for row in self.rows]
                for key in (*_FIRST, *values, *remaining)
            },
            index=pandas.Index(trials, name="trial", dtype=object),
        )
        kinds = {"score": float, "best_epoch": "Int64", "seconds": float}
        metrics = {key: float for key in remaining if "metric/" in key}
        return frame.astype(kinds | metrics)

    def _draw(self, ax: "Axes") -> None:
        _drawing.draw_history(ax, self._source, None)

    def _figure_size(self) -> tuple[float, float]:
        return (6.4, 4.2)

    def _title(self) -> str:
        return self._heading or project_name(self._source) or "Search"

    def _page(self) -> str:
        return _page.build(self._source, self._title())


def _optional(value: Any) -> str:
    return "-" if value is None else format_value(value)


def _duration(seconds: float | None) -> str:
    return "-" if seconds is None else format_duration(seconds)
