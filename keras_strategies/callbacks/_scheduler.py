"""The part that all learning-rate schedulers share: where and when to set what."""

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import (
    assign_optimizer_variables,
    batches_seen,
    held_learning_rate,
)
from keras_strategies._internal.walking import base_optimizers
from keras_strategies.callbacks._base import StatefulCallback, updating_optimizers
from keras_strategies.schedules import curves

_UPDATES = ("batch", "epoch")


class LearningRateCallback(StatefulCallback):
    """Sets `base rate * factor(position)` in every optimizer below the model's.

    Subclasses give `_factor(position)`, a host-side float, 1 at position 0. The
    position counts epochs or, with `update="batch"`, batches.

    Within an epoch the position is counted from the batch number, because reading
    the optimizer's counter would wait for the device; at each epoch it is aligned
    with that counter. The begin numbers of batches are exact for any
    `steps_per_execution`, unlike the end numbers.
    """

    # epoch: the one expected next; step: batches done; base_rates: undecayed
    # rates, one for each optimizer; rates: the ones set last.
    _state_names = ("epoch", "step", "base_rates", "rates")

    def __init__(self, initial_learning_rate, update, warmup_steps):
        super().__init__()
        self.initial_learning_rate = checks.real(
            "initial_learning_rate",
            initial_learning_rate,
            low=0,
            low_open=True,
            optional=True,
        )
        self.update = checks.choice("update", update, _UPDATES)
        self.warmup_steps = checks.integer("warmup_steps", warmup_steps, low=0)
        self._epoch = 0
        self._step = 0
        self._base_rates = None
        self._rates = None
        self._earlier_rates = None  # set before `rates`
        self._variables = None  # the learning-rate variables now being driven
        self._fit_model = None
        self._origin = None  # value of the batch counter at position 0
        self._known = False  # whether the state belongs to the current optimizers

    def set_state(self, state):
        super().set_state(state)
        self._variables = self._earlier_rates = None

    def on_train_begin(self, logs=None):
        self._fit_model = self.model
        variables = _rate_variables(self._fit_model, type(self).__name__)
        held = [_read(variable) for variable in variables]
        known = self._drove(variables)
        if self.initial_learning_rate is not None:
            base_rates = [self.initial_learning_rate] * len(variables)
        elif known and self._left_there(held):
            base_rates = self._base_rates
        else:
            base_rates = held
        self._check_length()
        if not known:
            self._epoch = self._step = 0
        self._known = known
        self._variables, self._base_rates, self._rates = variables, base_rates, held
        self._origin = self._earlier_rates = None

    def on_epoch_begin(self, epoch, logs=None):
        seen = int(keras.ops.convert_to_numpy(self._batch_counter()))
        if self._origin is None:
            self._origin = seen - self._first_step(epoch, seen)
        self._epoch, self._step = epoch, seen - self._origin
        if self.update == "epoch":
            self._set(epoch)

    def on_train_batch_begin(self, batch, logs=None):
        if self.update == "batch":
            self._set(self._step + batch, unless_same=batch > 0)

    def on_epoch_end(self, epoch, logs=None):
        self._fit_model = self.model  # JAX: puts the values back into the variables
        self._epoch = epoch + 1
        self._step = int(keras.ops.convert_to_numpy(self._batch_counter()))
        self._step -= self._origin
        if logs is not None:
            logs.update(self._logged())

    def _factor(self, position):
        raise NotImplementedError

    def _check_length(self):
        """Raises if the length of the fit does not suit; called at its begin."""

    def _total(self, unit_epochs):
        """Positions in `unit_epochs` epochs, None if Keras does not know them."""
        if self.update == "epoch":
            return unit_epochs
        steps = (self.params or {}).get("steps")
        return None if steps is None else unit_epochs * steps

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

    def _first_step(self, epoch, seen):
        """Position in batches at the begin of the first epoch of this fit."""
        if epoch == 0:
            return 0
        if self._known and epoch == self._epoch:
            return self._step
        steps = (self.params or {}).get("steps")
        if steps is not None:
            return epoch * steps
        if seen or self.update == "epoch":
            return seen  # a resumed optimizer has counted since epoch 0
        return checks.fail(
            "With update='batch' and a first epoch after 0, the steps done before "
            "must be known",
            fix="Give fit(steps_per_epoch=...), or set_state() with the state of "
            "the run that is continued.",
            initial_epoch=epoch,
            steps_per_epoch=None,
        )

    def _batch_counter(self):
        optimizer = self._fit_model.optimizer
        while getattr(optimizer, "inner_optimizer", None) is not None:
            optimizer = optimizer.inner_optimizer
        return batches_seen(optimizer)

    def _logged(self):
        optimizers = base_optimizers(self._fit_model.optimizer)
        rates = [_read(variable) for variable in self._variables]
        if len(optimizers) == 1:
            return {"learning_rate": rates[0]}
        names = [f"learning_rate_{optimizer.name}" for optimizer in optimizers]
        return dict(zip(names, rates, strict=True))


def _read(variable):
    return float(keras.ops.convert_to_numpy(variable))


def _tolerance():
    return 1e-2 if keras.config.floatx() in ("float16", "bfloat16") else 1e-6


def _rate_variables(model, name):
    """The learning-rate variable of each optimizer; refuses schedule objects."""
    variables = []
    for leaf in updating_optimizers(model, name):
        held = held_learning_rate(leaf)
        if not isinstance(held, keras.Variable):
            checks.fail(
                f"{name} needs an optimizer whose learning rate is a number",
                fix="Compile the model with a float learning rate, or leave the "
                "callback out and let the schedule set the rate.",
                error=TypeError,
                learning_rate=held,
                optimizer=leaf.name,
            )
        variables.append(held)
    return variables
