"""Base class of schedulers: epochs and batches counted on the host."""

from collections.abc import Sequence
from typing import Any, ClassVar

import keras

from keras_strategies._internal import checks
from keras_strategies.callbacks._common.batch_counter import BatchCounter, read_counter
from keras_strategies.callbacks._common.optimizers import ActedOn, OptimizerArgument
from keras_strategies.callbacks._common.stateful_callback import StatefulCallback

UPDATES = ("batch", "epoch")


class PositionCallback(StatefulCallback):
    """Calls `_set(position)` at each epoch or batch, depending on `update`.

    Within an epoch the position is counted from the batch number. Subclasses call
    `_begin(is_continued)` in `on_train_begin`.
    """

    async_safe: ClassVar[bool] = True  # `on_train_batch_end` notes a number only
    # _epoch: the epoch that runs or comes next; _step: batches trained before it.
    _state_names: ClassVar[tuple[str, ...]] = ("_epoch", "_step")

    def __init__(self, update: str, optimizer: OptimizerArgument = None):
        super().__init__()
        self.update: str = checks.choice("update", update, UPDATES)
        self._acted = ActedOn(self, optimizer)
        self.optimizer: OptimizerArgument = optimizer
        self._epoch = 0
        self._step = 0
        self._fit_model = None
        self._is_first_epoch = True  # of a fit
        self._is_continued = False  # whether the state belongs to the current model
        self._batches = BatchCounter()
        # {position: values} that were computed before their step.
        self._computed: dict[int, Any] = {}

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        self._forget_values()

    def values_for_steps(
        self, start: int, count: int
    ) -> list[tuple[keras.Variable, Sequence[Any]]] | None:
        """Returns the scheduled values of the next steps, as `StepValues` describes."""
        if self.update == "epoch":
            return []
        first = self._step + start
        rows = [self._value_at(first + index) for index in range(count)]
        variables = self._step_variables()
        return list(zip(variables, zip(*rows, strict=True), strict=True))

    def _value_at(self, position: int) -> Any:
        """What is assigned at a position, computed once."""
        if position not in self._computed:
            self._computed[position] = self._compute(position)
        return self._computed[position]

    def _forget_values(self, before: int | None = None) -> None:
        """Forgets what was computed, or only for the positions before one."""
        self._computed = {
            position: value
            for position, value in self._computed.items()
            if before is not None and position >= before
        }

    def _compute(self, position: int) -> Any:
        """Computes the values of `_step_variables` at a position."""
        raise NotImplementedError

    def _step_variables(self) -> list[keras.Variable]:
        """The variables that are assigned."""
        raise NotImplementedError

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._batches.begin_epoch(self._acted.roots(self._fit_model)[0])
        if self._is_first_epoch:
            self._step = self._first_step(epoch)
            self._is_first_epoch = False
        self._epoch = epoch
        self._forget_values()
        self._acted.begin_epoch(self._fit_model)
        if self.update == "epoch":
            self._set(epoch)

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        self._batches.begin(batch)
        if self.update == "batch":
            # At the first batch in any case: something else may have set the value
            # since.
            self._set(self._step + batch, unless_same=batch > 0)

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        self._batches.end(batch)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        # On JAX, `self.model` writes the trained values back into the variables.
        self._fit_model = self.model
        self._epoch = epoch + 1
        steps = (self.params or {}).get("steps")
        self._step += self._batches.total(self._fit_model, steps)
        self._acted.end_epoch(self._fit_model)
        if logs is not None:
            logs.update(self._logged())

    def _set(self, position: int, unless_same: bool = False) -> None:
        """Sets what is scheduled; `unless_same` allows to skip an equal value."""
        raise NotImplementedError

    def _logged(self) -> dict[str, Any]:
        return {}

    def _begin(self, is_continued: bool) -> None:
        """Starts at 0, or at the stored position if it belongs to this model."""
        self._fit_model = self.model
        self._acted.begin(self._fit_model)
        if not is_continued:
            self._epoch = self._step = 0
        self._is_continued = is_continued
        self._is_first_epoch = True

    def _positions_in(self, epochs: int) -> int | None:
        """Number of positions in some epochs, `None` if Keras does not know it."""
        if self.update == "epoch":
            return epochs
        steps = (self.params or {}).get("steps")
        return None if steps is None else epochs * steps

    def _first_step(self, epoch):
        """Position in batches at the beginning of the first epoch of this fit."""
        if epoch == 0:
            return 0
        if self._is_continued and epoch == self._epoch:
            return self._step
        steps = (self.params or {}).get("steps")
        if steps is not None:
            return epoch * steps
        count = read_counter(self._acted.roots(self._fit_model)[0])
        if count or self.update == "epoch":
            return count  # a resumed optimizer has counted since epoch 0
        return checks.fail(
            "With update='batch' and a first epoch after 0, the number of steps before "
            "it must be known",
            fix="Give fit(steps_per_epoch=...), or set_state() with the state of "
            "the run that is continued.",
            initial_epoch=epoch,
            steps_per_epoch=None,
        )
