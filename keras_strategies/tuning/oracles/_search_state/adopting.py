"""Changes of the space of a search that goes on: what its old trials are worth."""

from collections.abc import Collection
from typing import Any

from keras_strategies.tuning import _space
from keras_strategies.tuning._private import hyperparameters as private_space
from keras_strategies.tuning._private import oracles as private
from keras_strategies.tuning._space import Trial
from keras_strategies.tuning.oracles._search_state.stored import StoredOracle, locked


class AdoptingOracle(StoredOracle):
    """Takes over another space, without mistaking old trials for trials of it.

    A trial with a value that the present space does not have stays among the trials,
    as `OUTSIDE`: it is no parent, no data of a model and never the best one.
    """

    hyperparameters: _space.Space
    outside: set[str]
    superseded: set[str]
    curves: dict[str, dict[int, float]]

    @locked
    def adopt_space(
        self,
        declared: _space.Space,
        removed: Collection[str] = (),
        adopts: bool = False,
    ) -> None:
        """Replaces the space from the disk by the one that is declared now.

        Args:
            declared: What the user and the model declare before the first trial.
            removed: Scoped names of what they declared then and not any more.
            adopts: Whether trials may change types and conditions of what is
                declared in them only.
        """
        keys = {_space.scoped_name(hp) for hp in declared.space}
        stored = self.hyperparameters
        before = {_space.scoped_name(hp): _space.domain(hp) for hp in stored.space}
        space = declared.copy()
        space.values = {}
        grown = []
        for hp in stored.space:
            key = _space.scoped_name(hp)
            if key not in keys and key not in removed:
                private_space.append(space, hp)
                grown.append(hp)
        # What is declared inside a trial is compared when the first trial declares it.
        space.unconfirmed = {_space.scoped_name(hp) for hp in grown}
        space.expected = {
            _space.scoped_name(hp) for hp in grown if self._had_all_trials(hp)
        }
        space.adopts = adopts
        self.hyperparameters = space
        if keys - before.keys():
            # The trials there did not ask for it because it did not exist.
            self.superseded |= self.trials.keys()
        after = {_space.scoped_name(hp): _space.domain(hp) for hp in space.space}
        self._update_outside(before != after)

    def _had_all_trials(self, hp: Any) -> bool:
        values = [t.hyperparameters.values for t in self._every_completed_trial()]
        values = [v for v in values if _space.is_active(hp, v)]
        return bool(values) and all(hp.name in v for v in values)

    @locked
    def adopt_declarations(self, trial: _space.Space) -> None:
        """Takes over what the first trial after a resume has declared otherwise."""
        space = self.hyperparameters
        stored = {_space.scoped_name(hp): hp for hp in space.space}
        for hp in trial.space:
            key = _space.scoped_name(hp)
            if key in trial.redeclared & space.unconfirmed:
                new = type(hp).from_config(hp.get_config())
                private_space.replace(space, stored[key], _space.repaired(new))
        for key in trial.removed & stored.keys():
            private_space.replace(space, stored[key], None)
        changed = bool(trial.redeclared & space.unconfirmed or trial.removed)
        space.unconfirmed &= trial.unconfirmed - trial.removed
        space.expected &= space.unconfirmed
        trial.redeclared, trial.removed = set(), set()
        if changed:
            self._update_outside(True)

    def _update_outside(self, is_changed: bool) -> None:
        self.outside = {
            trial_id
            for trial_id, trial in self.trials.items()
            if self._is_outside(trial) and trial_id not in self.ongoing_ids()
        }
        # What waits to run again and cannot be run now: its number is free again.
        retries = private.retry_queue(self)
        for trial_id in self.outside.intersection(retries):
            retries.remove(trial_id)
            self.start_order.remove(trial_id)
            del self.trials[trial_id]
            self.outside.discard(trial_id)
        if is_changed:
            self.on_space_changed()

    def ongoing_ids(self) -> set[str]:
        """Returns the ids of the trials that run now."""
        return {trial.trial_id for trial in self.ongoing_trials.values()}

    def adopt_objective(self) -> None:
        """Scores the trials by the present objective, where they have measured it."""
        names = [o.name for o in getattr(self.objective, "objectives", ())]
        name = self.objective.name
        for trial in self._every_completed_trial():
            metrics = trial.metrics
            if names and all(map(metrics.exists, names)) and not metrics.exists(name):
                values = {n: metrics.get_best_value(n) for n in names}
                metrics.register(name, direction=self.objective.direction)
                metrics.update(name, self.objective.get_value(values), trial.best_step)
            if metrics.exists(name):
                metrics.metrics[name].direction = self.objective.direction
                self.score_trial(trial)
        self.curves = {}  # of the other objective

    def stage_options(self) -> dict[str, Any]:
        """Returns the options that the trials of a search must have in common."""
        return {}

    def _is_outside(self, trial: Trial) -> bool:
        values = trial.hyperparameters.values
        is_scored = trial.metrics.exists(self.objective.name)
        if trial.status == "COMPLETED" and not is_scored:
            return True  # of a search with another objective
        return any(
            hp.name in values
            and _space.is_active(hp, values)
            and not _space.is_legal(hp, values[hp.name])
            for hp in self.hyperparameters.space
        )

    def on_space_changed(self) -> None:
        """Called when a resumed search has another space; for subclasses."""

    def _every_completed_trial(self) -> list[Trial]:
        trials = [self.trials[trial_id] for trial_id in self.end_order]
        return [t for t in trials if t.status == "COMPLETED"]
