"""Objectives written for Optuna as trials of a `Tuner`."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import keras_tuner
from keras_tuner import errors

from keras_strategies._internal import checks
from keras_strategies._internal.optional import require
from keras_strategies.tuning._space import Trial
from keras_strategies.tuning.search.tuner import Tuner

if TYPE_CHECKING:
    import optuna

OptunaDirection = Literal["minimize", "maximize"]


class ObjectiveTuner(Tuner):
    """A tuner whose trials call an objective of Optuna; see `Tuner.from_optuna`.

    Args:
        objective_function: The objective.
        directions: A direction for each value it returns.
        **kwargs: Arguments of `Tuner`.
    """

    def __init__(
        self,
        objective_function: Callable[[Any], Any],
        directions: Sequence[OptunaDirection] = ("minimize",),
        **kwargs: Any,
    ) -> None:
        require("optuna", "`Tuner.from_optuna`")
        self.objective_function = objective_function
        self.names: list[str] = ["value"]
        if len(directions) > 1:
            self.names = [f"value_{k}" for k in range(len(directions))]
        objectives = [
            keras_tuner.Objective(name, "max" if direction == "maximize" else "min")
            for name, direction in zip(self.names, directions, strict=True)
        ]
        objective = objectives if len(objectives) > 1 else objectives[0]
        super().__init__(None, objective, **kwargs)

    def run_trial(self, trial: Trial, *args: Any, **kwargs: Any) -> Any:
        import optuna

        adapter = TrialAdapter(self, trial)
        try:
            values = self.objective_function(adapter)
        except optuna.TrialPruned as error:
            if adapter.last is None:
                raise errors.FailedTrialError(
                    "The trial was pruned before it had reported a value."
                ) from error
            values = adapter.last
        values = values if isinstance(values, Sequence) else [values]
        if len(values) != len(self.names):
            raise errors.FatalValueError(
                checks.message(
                    "The objective must return a value for each direction",
                    {"values": list(values), "directions": len(self.names)},
                )
            )
        numbers = map(float, values)
        return dict(zip(self.names, numbers, strict=True))


class TrialAdapter:
    """The trial that an objective of Optuna gets.

    Args:
        tuner: The tuner.
        trial: The trial of the tuner.
    """

    def __init__(self, tuner: ObjectiveTuner, trial: Trial) -> None:
        self._tuner, self._trial = tuner, trial
        self._hp = trial.hyperparameters
        self._is_stopped = False
        self.last: float | None = None
        self.number: int = int(trial.trial_id)
        self.user_attrs: dict[str, Any] = {}

    @property
    def params(self) -> dict[str, Any]:
        """The values that were suggested, by name."""
        return {name: self._hp.get(name) for name in sorted(self._hp.used)}

    def suggest_float(
        self,
        name: str,
        low: float,
        high: float,
        *,
        step: float | None = None,
        log: bool = False,
    ) -> float:
        sampling = "log" if log else "linear"
        return self._hp.Float(name, low, high, step=step, sampling=sampling)

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        sampling = "log" if log else "linear"
        return self._hp.Int(
            name, low, high, step=None if step == 1 else step, sampling=sampling
        )

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self._hp.Choice(name, list(choices), ordered=False)

    def suggest_uniform(self, name: str, low: float, high: float) -> float:
        return self.suggest_float(name, low, high)

    def suggest_loguniform(self, name: str, low: float, high: float) -> float:
        return self.suggest_float(name, low, high, log=True)

    def suggest_discrete_uniform(
        self, name: str, low: float, high: float, q: float
    ) -> float:
        return self.suggest_float(name, low, high, step=q)

    def report(self, value: float, step: int) -> None:
        """Records a value after a step; the pruner of the tuner judges it."""
        self.last = float(value)
        logs = {self._tuner.names[0]: self.last}
        status = self._tuner.oracle.report(self._trial.trial_id, int(step), logs)
        self._is_stopped = status == "STOPPED"

    def should_prune(self) -> bool:
        return self._is_stopped

    def set_user_attr(self, key: str, value: Any) -> None:
        self.user_attrs[key] = value


def check_directions(
    direction: str | None, directions: Sequence[str] | None
) -> Sequence[OptunaDirection]:
    """Checks `direction` and `directions`, of which one is given."""
    if direction is not None and directions is not None:
        checks.fail(
            "Only one of `direction` and `directions` must be given",
            direction=direction,
            directions=directions,
        )
    names: list[Any] = [direction or "minimize"]
    if directions is not None:
        names = list(directions)
    return [checks.choice("direction", n, ("minimize", "maximize")) for n in names]


def make_tuner(
    objective: Callable[["optuna.Trial"], Any],
    direction: str | None,
    directions: Sequence[str] | None,
    arguments: Mapping[str, Any],
) -> ObjectiveTuner:
    """Makes the tuner of `Tuner.from_optuna`."""
    if not callable(objective):
        checks.fail(
            "`objective` must be a function of a trial",
            error=TypeError,
            objective=objective,
        )
    return ObjectiveTuner(
        objective, check_directions(direction, directions), **arguments
    )
