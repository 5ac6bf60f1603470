"""Requests of a user beside the algorithm: start values, constraints, data."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from keras_tuner.engine.trial import TrialStatus

from keras_strategies._internal import checks
from keras_strategies.tuning import _space
from keras_strategies.tuning._private import oracles as private
from keras_strategies.tuning.oracles._search_state.stored import locked
from keras_strategies.tuning.oracles._search_state.workers import WorkerOracle

#: A function of the values of a trial that says whether they are allowed.
Constraints = Callable[[dict[str, Any]], bool]


class RequestsOracle(WorkerOracle):
    """Start values, constraints and the results of earlier searches.

    Attributes:
        constraints: The constraints, or `None`.
        enqueued: Values of the next trials.
        history: Results of another search as `(values, results)`, the data of models
            but no trials of this search.
    """

    #: Whether the models of this algorithm take results of another search.
    uses_history: bool = False
    #: Whether trials go on from the last epoch of another one, not from its best.
    continues_from_last: bool = False
    #: What grows from round to round, of algorithms with rounds.
    fidelity: str = "epochs"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.constraints: Constraints | None = None
        self.enqueued: list[dict[str, Any]] = []
        self.history: list[tuple[dict[str, Any], list[float]]] = []
        self._tried_paths: tuple[Any, dict[Any, set[Any]]] = (None, {})

    # Values that are not proposed

    def is_refused(self, values: Mapping[str, Any]) -> bool:
        """Returns whether values were tried already or violate the constraints."""
        if private.is_duplicate(self, values) or self._repeats_a_path(values):
            return True
        return not self.is_feasible(values)

    def is_feasible(self, values: Mapping[str, Any]) -> bool:
        """Returns whether values satisfy the constraints.

        Constraints that ask for a value that is not there (it is not active, or no
        trial has declared it yet) hold.
        """
        return satisfies(self.constraints, values)

    def _repeats_a_path(self, values: Mapping[str, Any]) -> bool:
        """Whether a completed trial asked for no other values than these.

        Where a plain `if` leaves hyperparameters out, combinations that differ in
        those only are the same model: what a program asks for next depends on the
        values it has got so far.
        """
        trials = self._every_completed_trial()
        key = (len(trials), len(self.superseded))
        if self._tried_paths[0] != key:
            paths: dict[Any, set[Any]] = {}
            for trial in trials:
                if (
                    trial.trial_id in self.superseded
                    or not trial.hyperparameters.values
                ):
                    continue
                path = own_values(trial.hyperparameters.values)
                names = tuple(sorted(path))
                paths.setdefault(names, set()).add(_key(path, names))
            self._tried_paths = key, paths
        return any(
            all(name in values for name in names) and _key(values, names) in tried
            for names, tried in self._tried_paths[1].items()
            if names
        )

    # Start values

    @locked
    def enqueue(self, values: Mapping[str, Any]) -> None:
        """Enqueues values to be tried before what the algorithm proposes.

        Args:
            values: Values by name; others get their defaults. What was tried or
                enqueued already is not tried again.

        Raises:
            ValueError: If the space has no such name or value, or the values violate
                the constraints.
        """
        labelled = self.checked_values(values)
        if labelled not in self.enqueued:
            self.enqueued.append(labelled)

    def checked_values(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns values as trials hold them, or raises as `enqueue` does."""
        space = self.hyperparameters.space
        labelled = {}
        for name, value in values.items():
            declared = [hp for hp in space if hp.name == name]
            if space and not declared:
                names = sorted({hp.name for hp in space})
                checks.choice("name", name, names, fix="Name a hyperparameter.")
            labelled[name] = _space.legal_value(declared, value) if declared else value
        if not self.is_feasible(labelled):
            checks.fail("`values` must satisfy the constraints", values=dict(values))
        return labelled

    def next_enqueued(self) -> dict[str, Any] | None:
        """Returns and removes the next enqueued values that were not tried."""
        while self.enqueued:
            start = self.enqueued.pop(0)
            values = _space.fill(
                self.hyperparameters.space,
                {},
                lambda hp, start=start: start.get(hp.name, hp.default),
            )
            values = {**start, **values} if not self.hyperparameters.space else values
            if not private.is_duplicate(self, values):
                return values
        return None

    def propose_enqueued(self, trial_id: str, values: dict[str, Any]) -> dict[str, Any]:
        """Returns the answer of `populate_space` for enqueued values."""
        return {"status": TrialStatus.RUNNING, "values": values}

    # Results of another search

    def add_history(self, rows: Iterable[tuple[dict[str, Any], list[float]]]) -> None:
        """Adds results of another search to the data of the models.

        Args:
            rows: Pairs of values by name, and a result for each objective.
        """
        if not self.uses_history:
            checks.fail(
                "`warm_start` needs an algorithm with a model or parents",
                algorithm=self.algorithm or type(self).__name__,
                fix='Name "bayesian", "tpe", "gp", "cmaes", "nsga2" or "evolution", or '
                "enqueue the best values with `tuner.enqueue`.",
            )
        self.history = list(rows)
        self.on_space_changed()

    def known_results(self) -> tuple[list[dict[str, Any]], list[float]]:
        """Returns values and scores: those of another search, then those of this one.

        The scores of this search are in the order in which its trials ended.
        """
        trials = self.completed_trials()
        values = [values for values, _ in self.history]
        scores = [self._score_of(results) for _, results in self.history]
        values += [trial.hyperparameters.values for trial in trials]
        return values, scores + [trial.score for trial in trials]

    def _score_of(self, results: Sequence[float]) -> float:
        objectives = getattr(self.objective, "objectives", None) or [self.objective]
        if len(objectives) == 1:
            return results[0]
        # The sum by which KerasTuner replaces several objectives.
        return sum(
            -value if objective.direction == "max" else value
            for value, objective in zip(results, objectives, strict=True)
        )

    def get_state(self) -> dict[str, Any]:
        """Returns the state as JSON values."""
        return {
            **super().get_state(),
            "enqueued": self.enqueued,
            "history": self.history,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Sets what `get_state` returned."""
        self.enqueued = list(state.get("enqueued", ()))
        self.history = [(dict(v), list(r)) for v, r in state.get("history", ())]
        super().set_state(state)


def satisfies(constraints: Constraints | None, values: Mapping[str, Any]) -> bool:
    """Whether values satisfy constraints; see `RequestsOracle.is_feasible`."""
    if constraints is None:
        return True
    try:
        own = own_values(values)
        return bool(constraints({k: _space.from_label(v) for k, v in own.items()}))
    except KeyError:
        return True


def own_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the hyperparameters alone, without the entries of the algorithm.

    Hyperband and population based training add `tuner/epochs`, `tuner/trial_id` and
    the like.
    """
    return {k: v for k, v in values.items() if not k.startswith("tuner/")}


def _key(values: Mapping[str, Any], names: Sequence[str]) -> tuple[Any, ...]:
    # 1, 1.0 and True are equal, but not the same value of a choice.
    return tuple((type(values[name]).__name__, values[name]) for name in names)
