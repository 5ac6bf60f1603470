"""The part that all learning-rate schedulers share: where and when to set what."""

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import (
    assign_optimizer_variables,
    held_learning_rate,
)
from keras_strategies.callbacks._base import updating_optimizers
from keras_strategies.callbacks._position import PositionCallback
from keras_strategies.callbacks._rates import rate_logs, read_rate
from keras_strategies.schedules import _curves as curves


class LearningRateCallback(PositionCallback):
    """Sets `base rate * factor(position)` in every optimizer below the model's.

    Subclasses give `_factor(position)`, a host-side float, 1 at position 0. The
    position counts epochs or, with `update="batch"`, batches.
    """

    # base_rates: undecayed rates, one for each optimizer; rates: the ones set last.
    _state_names = ("epoch", "step", "base_rates", "rates")

    def __init__(self, initial_learning_rate, update, warmup_steps):
        super().__init__(update)
        self.initial_learning_rate = checks.real(
            "initial_learning_rate",
            initial_learning_rate,
            low=0,
            low_open=True,
            optional=True,
        )
        self.warmup_steps = checks.integer("warmup_steps", warmup_steps, low=0)
        self._base_rates = None
        self._rates = None
        self._earlier_rates = None  # set before `rates`
        self._variables = None  # the learning-rate variables now being driven

    def set_state(self, state):
        super().set_state(state)
        self._variables = self._earlier_rates = None

    def on_train_begin(self, logs=None):
        variables = rate_variables(self.model, type(self).__name__)
        held = [read_rate(variable) for variable in variables]
        known = self._drove(variables)
        if self.initial_learning_rate is not None:
            base_rates = [self.initial_learning_rate] * len(variables)
        elif known and self._left_there(held):
            base_rates = self._base_rates
        else:
            base_rates = held
        self._check_length()
        self._begin(known)
        self._variables, self._base_rates, self._rates = variables, base_rates, held
        self._earlier_rates = None

    def _factor(self, position):
        raise NotImplementedError

    def _check_length(self):
        """Raises if the length of the fit does not suit; called at its begin."""

    def _set(self, position, unless_same=False):
        if position < self.warmup_steps:
            length = self.warmup_steps + 1
            factor = curves.warmup_fraction(position + 1.0, length, xp=np)
        else:
            factor = self._factor(float(position - self.warmup_steps))
        rates = [rate * float(factor) for rate in self._base_rates]
        if not (unless_same and rates == self._rates):
            assign_optimizer_variables(self._fit_model, self._variables, rates)
            self._earlier_rates, self._rates = self._rates, rates

    def _drove(self, variables):
        """Whether these are the rates of the last fit, or of the state given."""
        if self._rates is None or len(self._rates) != len(variables):
            return False
        pairs = zip(self._variables or variables, variables, strict=True)
        return all(old is new for old, new in pairs)

    def _left_there(self, held):
        """Whether nobody changed the rates since this callback set them.

        The last ones never arrived if the fit failed between setting and using.
        """
        left = [r for r in (self._rates, self._earlier_rates) if r is not None]
        tolerance = _tolerance()
        return any(np.allclose(rates, held, rtol=tolerance, atol=0) for rates in left)

    def _logged(self):
        return rate_logs(self._fit_model)


def _tolerance():
    return 1e-2 if keras.config.floatx() in ("float16", "bfloat16") else 1e-6


def rate_variables(model, name):
    """The learning-rate variable of each optimizer; refuses schedule objects."""
    variables = []
    for leaf in updating_optimizers(model, name):
        held = held_learning_rate(leaf)
        if not isinstance(held, keras.Variable):
            checks.fail(
                f"{name} needs an optimizer whose learning rate is a number. This "
                "optimizer was created with a `LearningRateSchedule`",
                fix="Compile the model with a float learning rate, or leave the "
                "callback out and let the schedule set the rate.",
                error=TypeError,
                learning_rate=held,
                optimizer=leaf.name,
            )
        variables.append(held)
    return variables
