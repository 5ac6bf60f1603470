"""Base class of learning-rate decays: when to set which optimizer to what."""

from typing import Any, ClassVar

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import assign_optimizer_variables
from keras_strategies.callbacks._common.batch_counter import read_counter
from keras_strategies.callbacks._common.learning_rates import (
    compiled_rates,
    learning_rate_logs,
    learning_rate_variables,
    rates_before_training,
    read_learning_rate,
)
from keras_strategies.callbacks._common.optimizers import OptimizerArgument
from keras_strategies.callbacks._common.rate_setter import RateSetter
from keras_strategies.callbacks.schedulers._position_callback import PositionCallback
from keras_strategies.schedules import _curves as curves


class LearningRateCallback(PositionCallback, RateSetter):
    """Sets `base rate * factor(position)` in every optimizer below the model's.

    Subclasses define `_factor(position)`, a float on the host, 1 at position 0. The
    position counts epochs or, with `update="batch"`, batches.
    """

    # _base_rates: undecayed rates, one for each optimizer; _rates: those set last;
    # _scales: product of the reductions by other callbacks.
    _state_names: ClassVar[tuple[str, ...]] = (
        "_epoch",
        "_step",
        "_base_rates",
        "_rates",
        "_scales",
    )

    def __init__(
        self,
        initial_learning_rate: float | None,
        update: str,
        warmup_steps: int,
        optimizer: OptimizerArgument = None,
    ):
        super().__init__(update, optimizer)
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
        self._scales = None
        self._previous_rates = None  # set before `rates`
        self._end_rates: list[list[float]] = []  # at the ends of the last epochs
        self._rate_variables = None  # the learning-rate variables of the current model
        self._noted: list[tuple[keras.Variable, float]] = []  # before training begins
        self._noted_count = 0
        self._is_guessed = False

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        self._previous_rates = None
        if self._resumed:
            self._rate_variables = None

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        self._noted = compiled_rates(model, self._acted)
        if self._noted:
            self._noted_count = read_counter(self._acted.roots(model)[0])

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        variables = learning_rate_variables(self.model, self._acted)
        self._refuse_other_setters(variables)
        current = [read_learning_rate(variable) for variable in variables]
        is_continued = self._has_driven(variables)
        self._is_guessed = False
        # The same object in a later fit: the rate in the optimizer is decayed and no
        # initial one, unless somebody has set another.
        if is_continued and (self._resumed or self._is_unchanged(current)):
            base_rates = self._base_rates
        else:
            self._scales = None
            base_rates = rates_before_training(self._noted, variables, current)
            self._is_guessed = True
        if self.initial_learning_rate is not None:
            base_rates = [self.initial_learning_rate] * len(variables)
            self._is_guessed = False
        self._check_length()
        self._begin(is_continued)
        self._rate_variables, self._base_rates = variables, base_rates
        self._rates, self._previous_rates, self._end_rates = current, None, []
        self._scales = self._scales or [1.0] * len(variables)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._is_first_epoch:
            if epoch == 0 and not self._resumed:  # the schedule starts anew
                self._scales = [1.0] * len(self._scales)
            self._resumed = False
            self._refuse_guess(epoch)
        super().on_epoch_begin(epoch, logs)

    def _factor(self, position: float) -> float:
        raise NotImplementedError

    def _check_length(self) -> None:
        """Raises if the length of the fit does not suit; called at its beginning."""

    def _step_variables(self) -> list[keras.Variable]:
        return list(self._rate_variables)

    def _compute(self, position: int) -> list[float]:
        if position < self.warmup_steps:
            length = self.warmup_steps + 1
            # From 1 / (n + 1) on: a first step at the rate 0 would train nothing.
            factor = curves.warmup_fraction(position + 1.0, length, xp=np)
        else:
            factor = self._factor(float(position - self.warmup_steps))
        pairs = zip(self._base_rates, self._scales, strict=True)
        return [base * scale * float(factor) for base, scale in pairs]

    def _set(self, position: int, unless_same: bool = False) -> None:
        rates = self._value_at(position)[: len(self._rate_variables)]
        self._forget_values(before=position)
        if not (unless_same and rates == self._rates):
            assign_optimizer_variables(self._fit_model, self._rate_variables, rates)
            self._previous_rates, self._rates = self._rates, rates

    def _rate_changed(self, index: int, factor: float) -> None:
        self._rates = list(self._rates)
        self._rates[index] *= factor
        self._forget_values()

    def _refuse_guess(self, epoch):
        """Refuses to take the rate of a training that goes on for the initial one."""
        if self._is_guessed and epoch > 0 and self._noted_count > 0:
            checks.fail(
                f"`initial_learning_rate` must be given to go on at epoch {epoch} with "
                "an optimizer that has trained: its rate may be decayed already",
                fix="Give it, or set_state() with the state of the run that is "
                "continued.",
                initial_learning_rate=None,
                initial_epoch=epoch,
                iterations=self._noted_count,
            )

    def _has_driven(self, variables):
        """Whether these are the rates of the last fit, or of the restored state."""
        if self._rates is None or len(self._rates) != len(variables):
            return False
        pairs = zip(self._rate_variables or variables, variables, strict=True)
        return all(old is new for old, new in pairs)

    def _is_unchanged(self, current):
        """Whether nobody changed the rates since this callback set them.

        If a fit failed between the assignment and the next step, the rates set last
        have not reached the variables: then those before them are compared. A callback
        that restores the best state restores the rate of an earlier epoch.
        """
        candidates = [self._rates, self._previous_rates, *self._end_rates]
        candidates = [rates for rates in candidates if rates is not None]
        tolerance = _tolerance()
        return any(
            np.allclose(rates, current, rtol=tolerance, atol=0) for rates in candidates
        )

    def _logged(self) -> dict[str, Any]:
        self._end_rates.append([read_learning_rate(v) for v in self._rate_variables])
        return learning_rate_logs(self._fit_model, self._acted)


def _tolerance():
    """Relative error of a float that was stored in a variable of `floatx`."""
    return 1e-2 if keras.config.floatx() in ("float16", "bfloat16") else 1e-6
