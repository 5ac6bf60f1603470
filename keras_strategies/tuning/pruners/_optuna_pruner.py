"""Pruners of Optuna on the curves of a search."""

import sys
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Literal

from keras_strategies.tuning.pruners._curves import Curve, Direction

if TYPE_CHECKING:
    import optuna


def is_optuna_pruner(value: Any) -> bool:
    """Whether a value is a pruner of Optuna, which is not imported for the question."""
    optuna = sys.modules.get("optuna")
    return optuna is not None and isinstance(value, optuna.pruners.BasePruner)


class OptunaPruner:
    """Asks a pruner of Optuna.

    Such pruners compare trials of a study, and some write to them what they have
    decided, so this mirrors the trials in a study in memory: each epoch is reported
    once, in the order of the epochs, as a study that had run them would have seen it.

    Args:
        pruner: The pruner of Optuna.
    """

    compares: Literal["completed", "all"] = "all"

    def __init__(self, pruner: "optuna.pruners.BasePruner") -> None:
        self.pruner = pruner
        self._study: optuna.Study | None = None
        self._trials: dict[str, optuna.trial.Trial] = {}
        self._reported: dict[str, list[tuple[int, float]]] = {}
        self._decisions: dict[str, bool] = {}
        self._told: set[str] = set()

    def should_stop_trial(
        self,
        trial_id: str,
        curves: Mapping[str, Curve],
        ended: Collection[str],
        pruned: Collection[str],
        direction: Direction,
    ) -> bool:
        """Returns whether a trial stops after the last epoch of its curve.

        Args:
            trial_id: Id of the trial.
            curves: The curves of all trials, this one's too, by id.
            ended: Ids of the trials that have ended.
            pruned: Ids of those that were stopped.
            direction: `"min"` or `"max"`, whichever is better.
        """
        for key, curve in curves.items():
            if key != trial_id:
                self._follow(key, curve, direction)
                if key in ended:
                    self._tell(key, curve, key in pruned)
        self._follow(trial_id, curves[trial_id], direction)
        return self._decisions.get(trial_id, False)

    def should_stop(self, curve: Curve, others: Any, direction: Direction) -> bool:
        """Returns whether a trial with this curve stops among completed others."""
        fresh = OptunaPruner(self.pruner)
        curves = {str(k): rival for k, rival in enumerate(others)}
        ended = set(curves)
        return fresh.should_stop_trial(
            "this", {**curves, "this": curve}, ended, (), direction
        )

    def _follow(self, key: str, curve: Curve, direction: Direction) -> None:
        """Reports the epochs of a trial that its mirror does not have yet."""
        epochs = sorted(curve.items())
        reported = self._reported.get(key, [])
        if key not in self._trials or epochs[: len(reported)] != reported:
            # New, or a trial that runs again from its first epoch.
            self._tell_failed(key)
            self._trials[key] = self._open(direction).ask()
            self._told.discard(key)
            reported = []
        live = self._trials[key]
        for epoch, value in epochs[len(reported) :]:
            live.report(value, epoch)
            self._decisions[key] = live.should_prune()
        self._reported[key] = epochs

    def _open(self, direction: Direction) -> "optuna.Study":
        if self._study is None:
            import optuna

            previous = optuna.logging.get_verbosity()
            optuna.logging.set_verbosity(optuna.logging.WARNING)
            try:
                self._study = optuna.create_study(
                    direction="maximize" if direction == "max" else "minimize",
                    pruner=self.pruner,
                    # Hyperband draws the bracket of a trial by this name.
                    study_name="search",
                )
            finally:
                optuna.logging.set_verbosity(previous)
        return self._study

    def _tell(self, key: str, curve: Curve, is_pruned: bool) -> None:
        if key in self._told or self._study is None:
            return
        import optuna

        self._told.add(key)
        state = optuna.trial.TrialState
        if is_pruned:
            self._study.tell(self._trials[key], state=state.PRUNED)
        else:
            self._study.tell(self._trials[key], curve[max(curve)])

    def _tell_failed(self, key: str) -> None:
        if key in self._trials and key not in self._told and self._study is not None:
            import optuna

            self._study.tell(self._trials[key], state=optuna.trial.TrialState.FAIL)
