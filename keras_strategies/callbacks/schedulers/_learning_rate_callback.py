"""Base class of learning-rate decays: when to set which optimizer to what."""

from typing import Any, ClassVar

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import assign_optimizer_variables
from keras_strategies.callbacks._common.learning_rates import (
    learning_rate_logs,
    learning_rate_variables,
    read_learning_rate,
)
from keras_strategies.callbacks.schedulers._position_callback import PositionCallback
from keras_strategies.schedules import _curves as curves


class LearningRateCallback(PositionCallback):
    """Sets `base rate * factor(position)` in every optimizer below the model's.

    Subclasses define `_factor(position)`, a float on the host, 1 at position 0. The
    position counts epochs or, with `update="batch"`, batches.
    """

    # base_rates: undecayed rates, one for each optimizer; rates: those set last.
    _state_names: ClassVar[tuple[str, ...]] = ("epoch", "step", "base_rates", "rates")

    def __init__(
        self, initial_learning_rate: float | None, update: str, warmup_steps: int
    ):
        super().__init__(update)
        self.initial_learning_rate: float | None = checks.real(
            "initial_learning_rate",
            initial_learning_rate,
            low=0,
            low_open=True,
            optional=True,
        )
        self.warmup_steps: int = checks.integer("warmup_steps", warmup_steps, low=0)
        self._base_rates = None
        self._rates = None
        self._previous_rates = None  # set before `rates`
        self._variables = None  # the learning-rate variables of the current model

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        self._variables = self._previous_rates = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        variables = learning_rate_variables(self.model, type(self).__name__)
        current = [read_learning_rate(variable) for variable in variables]
        is_continued = self._has_driven(variables)
        if self.initial_learning_rate is not None:
            base_rates = [self.initial_learning_rate] * len(variables)
        elif is_continued and self._is_unchanged(current):
            base_rates = self._base_rates
        else:
            base_rates = current
        self._check_length()
        self._begin(is_continued)
        self._variables, self._base_rates, self._rates = variables, base_rates, current
        self._previous_rates = None

    def _factor(self, position: float) -> float:
        raise NotImplementedError

    def _check_length(self) -> None:
        """Raises if the length of the fit does not suit; called at its beginning."""

    def _set(self, position: int, unless_same: bool = False) -> None:
        if position < self.warmup_steps:
            length = self.warmup_steps + 1
            factor = curves.warmup_fraction(position + 1.0, length, xp=np)
        else:
            factor = self._factor(float(position - self.warmup_steps))
        rates = [rate * float(factor) for rate in self._base_rates]
        if not (unless_same and rates == self._rates):
            assign_optimizer_variables(self._fit_model, self._variables, rates)
            self._previous_rates, self._rates = self._rates, rates

    def _has_driven(self, variables):
        """Whether these are the rates of the last fit, or of the restored state."""
        if self._rates is None or len(self._rates) != len(variables):
            return False
        pairs = zip(self._variables or variables, variables, strict=True)
        return all(old is new for old, new in pairs)

    def _is_unchanged(self, current):
        """Whether nobody changed the rates since this callback set them.

        If a fit failed between the assignment and the next step, the rates set last
        have not reached the variables: then those before them are compared.
        """
        candidates = [r for r in (self._rates, self._previous_rates) if r is not None]
        tolerance = _tolerance()
        return any(
            np.allclose(rates, current, rtol=tolerance, atol=0) for rates in candidates
        )

    def _logged(self) -> dict[str, Any]:
        return learning_rate_logs(self._fit_model)


def _tolerance():
    """Relative error of a float that was stored in a variable of `floatx`."""
    return 1e-2 if keras.config.floatx() in ("float16", "bfloat16") else 1e-6
