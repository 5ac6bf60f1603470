"""Live display of a search: a table on a terminal, elsewhere one line a trial."""

from collections.abc import Iterable
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import TrialStatus

from keras_strategies.tuning._space import Trial, format_duration, format_value

_MAX_ROWS = 10


class SearchDisplay:
    """Replaces the display of KerasTuner's oracles, under the same methods."""

    def __init__(self, oracle: keras_tuner.Oracle, verbose: int = 1) -> None:
        self.oracle: Any = oracle
        self.verbose = verbose
        self._live: Any = None
        self._console: Any = None
        self._running: dict[str, Trial] = {}

    def get_state(self) -> dict[str, Any]:
        # The keys of KerasTuner, whose tuners can open the same folder.
        return {"search_start": None, "trial_start": {}, "trial_number": {}}

    def set_state(self, state: dict[str, Any]) -> None:
        """Does nothing: a resumed search needs none of it."""

    def on_search_begin(self, lines: Iterable[str] = ()) -> None:
        if self.verbose < 1:
            return
        from rich.console import Console

        self._console = Console(highlight=False, soft_wrap=True)
        # Not as markup: names and messages may contain brackets.
        for line in lines:
            self._console.print(line, markup=False)
        if self._console.is_terminal and self.verbose == 1:
            from rich.live import Live

            self._live = Live(self._fitting_table(), console=self._console)
            self._live.start()

    def on_search_end(self) -> None:
        if self._live is not None:
            self._live.update(self._table(), refresh=True)
            self._live.stop()
        self._live = self._console = None

    def on_trial_begin(self, trial: Trial) -> None:
        self._running[trial.trial_id] = trial
        if self._live is not None:
            self._live.update(self._fitting_table())
        elif self._console is not None and self.verbose > 1:
            values = ", ".join(
                f"{name} {format_value(value)}"
                for name, value in trial.hyperparameters.values.items()
            )
            self._print(f"trial {trial.trial_id}: {values}")

    def on_trial_end(self, trial: Trial) -> None:
        self._running.pop(trial.trial_id, None)
        if self._live is not None:
            self._live.update(self._fitting_table())
            return
        best = self.oracle.get_best_trials(1)
        text = f"trial {trial.trial_id}: {self._outcome(trial)}"
        if best:
            text += f", best {format_value(best[0].score)} (trial {best[0].trial_id})"
        duration = format_duration(self.oracle.seconds[trial.trial_id])
        self._print(f"{text}, {duration}")

    def on_trial_orphaned(self, trial: Trial, reason: str) -> None:
        self._running.pop(trial.trial_id, None)
        self._print(f"trial {trial.trial_id}: its worker was lost ({reason})")

    def on_note(self, text: str) -> None:
        """Shows a line about the search."""
        self._print(text)

    def _print(self, text: str) -> None:
        if self._console is not None and self.verbose > 0:
            self._console.print(text, markup=False)

    def _outcome(self, trial: Trial) -> str:
        if trial.status == TrialStatus.COMPLETED:
            text = f"{self.oracle.objective.name} {format_value(trial.score)}"
            epoch = self.oracle.pruned.get(trial.trial_id)
            return text if epoch is None else f"{text}, stopped after epoch {epoch + 1}"
        lines = (trial.message or "").strip().splitlines() or ["no message"]
        return f"{trial.status.lower()}: {lines[-1]}"

    def _fitting_table(self) -> Any:
        """The table with as many of the last trials as the terminal has room for.

        Rich cuts what is too high at its end, where the running trials are.
        """
        for count in range(_MAX_ROWS, -1, -1):
            table = self._table(count)
            lines = self._console.render_lines(table, pad=False)
            if len(lines) < self._console.height:
                break
        return table

    def _table(self, count: int = _MAX_ROWS) -> Any:
        """The best trial, the last `count` that ended, and those that run."""
        from rich.table import Table

        oracle = self.oracle
        best = oracle.get_best_trials(1)
        best_id = best[0].trial_id if best else None
        table = Table(
            title=f"{len(oracle.end_order)} of {oracle.max_trials or '?'} trials"
        )
        for column in ("trial", "result", "time", "values"):
            table.add_column(column, overflow="fold")
        ended = [oracle.trials[key] for key in oracle.end_order]
        recent = [t for t in ended if t.trial_id != best_id]
        recent = recent[max(len(recent) - count, 0) :]
        for trial in [*best, *recent, *self._running.values()]:
            is_running = trial.trial_id in self._running
            seconds = oracle.seconds.get(trial.trial_id, 0)
            values = trial.hyperparameters.values.items()
            table.add_row(
                trial.trial_id,
                "running" if is_running else self._outcome(trial),
                "" if is_running else format_duration(seconds),
                " ".join(f"{name}={format_value(value)}" for name, value in values),
                style="bold green" if trial.trial_id == best_id else None,
            )
        return table
