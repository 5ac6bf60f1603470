"""Trials of `fmin`, as hyperopt's scripts read them."""

import math
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from keras_strategies._internal import checks

if TYPE_CHECKING:
    from keras_strategies.tuning import SearchReport

STATUS_OK = "ok"
STATUS_FAIL = "fail"
JOB_STATE_DONE = 2
JOB_STATE_ERROR = 3


class AllTrialsFailed(Exception):
    """No trial of `fmin` had a loss."""


class Trials:
    """The trials of `fmin`, in memory and, if named, in a folder.

    A second `fmin` with the same object goes on to its `max_evals`. With a folder a
    script that is started again goes on as well.

    Args:
        directory: Folder of the search. Defaults to `None`, in memory only.
        project_name: Folder of this search in it. Defaults to `"fmin"`.

    Attributes:
        trials: One dict for each trial, as in hyperopt: `tid`, `state`, `result` (what
            the objective returned), `misc` with `vals` and `idxs` by label.
        tuner: The `Tuner` that ran them, once `fmin` has begun.
        temporary: Folder of the search if none was named, as long as this exists.

    Example:

    ```python
    from keras_strategies.compat.hyperopt import Trials, fmin, hp, rand

    trials = Trials()
    fmin(lambda x: x**2, hp.uniform("x", -1, 1), rand.suggest, 5, trials=trials,
         show_progressbar=False)
    assert len(trials) == 5 and trials.best_trial["result"]["loss"] >= 0
    ```
    """

    def __init__(
        self,
        directory: str | os.PathLike[str] | None = None,
        project_name: str = "fmin",
    ) -> None:
        self.directory: str | os.PathLike[str] | None = directory
        self.project_name: str = project_name
        self.trials: list[dict[str, Any]] = []
        self.tuner: Any = None
        self.temporary: str | None = None

    def __len__(self) -> int:
        return len(self.trials)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.trials)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.trials[index]

    @property
    def tids(self) -> list[int]:
        """Numbers of the trials."""
        return [trial["tid"] for trial in self.trials]

    @property
    def results(self) -> list[dict[str, Any]]:
        """What the objective returned, for each trial."""
        return [trial["result"] for trial in self.trials]

    @property
    def miscs(self) -> list[dict[str, Any]]:
        """The values and numbers of each trial."""
        return [trial["misc"] for trial in self.trials]

    @property
    def vals(self) -> dict[str, list[Any]]:
        """The values by label, those of the trials that had one."""
        values: dict[str, list[Any]] = {}
        for misc in self.miscs:
            for label, entries in misc["vals"].items():
                values.setdefault(label, []).extend(entries)
        return values

    def losses(self) -> list[float | None]:
        """Returns the loss of each trial, `None` of those that failed."""
        return [result.get("loss") for result in self.results]

    def statuses(self) -> list[str]:
        """Returns `"ok"` or `"fail"` for each trial."""
        return [result["status"] for result in self.results]

    @property
    def best_trial(self) -> dict[str, Any]:
        """The trial with the smallest loss.

        Raises:
            AllTrialsFailed: If no trial has one.
        """
        done = [
            trial
            for trial in self.trials
            if trial["result"]["status"] == STATUS_OK
            and not math.isnan(trial["result"]["loss"])
        ]
        if not done:
            raise AllTrialsFailed(
                f"None of the {len(self)} trials has a loss. {self._message()}"
            )
        return min(done, key=lambda trial: trial["result"]["loss"])

    def _message(self) -> str:
        messages = [result.get("failure") for result in self.results]
        return next((text for text in reversed(messages) if text), "")

    @property
    def argmin(self) -> dict[str, Any]:
        """The values of the best trial by label; a choice as its index."""
        vals = self.best_trial["misc"]["vals"]
        return {label: entries[0] for label, entries in vals.items() if entries}

    def report(self) -> "SearchReport":
        """Returns the results as `Tuner.results` does: a table, plots, a page."""
        if self.tuner is None:
            checks.fail("`fmin` must have run with these trials", trials=len(self))
        return self.tuner.results()
