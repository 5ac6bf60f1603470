"""Base class of schedulers: epochs and batches counted without a device sync."""

from typing import Any, ClassVar

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import iterations_variable
from keras_strategies._internal.traversal import innermost_optimizer
from keras_strategies.callbacks._common.stateful_callback import StatefulCallback

UPDATES = ("batch", "epoch")


class PositionCallback(StatefulCallback):
    """Calls `_set(position)` at each epoch or batch, depending on `update`.

    Within an epoch the position is counted from the batch number, because reading
    the optimizer's counter would wait for the device; at each epoch it is aligned
    with that counter. The batch numbers of `on_train_batch_begin` are exact for any
    `steps_per_execution`, unlike those of `on_train_batch_end`.

    Subclasses call `_begin(is_continued)` in `on_train_begin`.
    """

    # epoch: the next epoch; step: batches trained so far.
    _state_names: ClassVar[tuple[str, ...]] = ("epoch", "step")

    def __init__(self, update: str):
        super().__init__()
        self.update: str = checks.choice("update", update, UPDATES)
        self._epoch = 0
        self._step = 0
        self._fit_model = None
        self._origin = None  # value of the batch counter at position 0
        self._is_continued = False  # whether the state belongs to the current model

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        count = int(keras.ops.convert_to_numpy(self._batch_counter()))
        if self._origin is None:
            self._origin = count - self._first_step(epoch, count)
        self._epoch, self._step = epoch, count - self._origin
        if self.update == "epoch":
            self._set(epoch)

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        if self.update == "batch":
            self._set(self._step + batch, unless_same=batch > 0)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        # On JAX, `self.model` writes the trained values back into the variables.
        self._fit_model = self.model
        self._epoch = epoch + 1
        self._step = int(keras.ops.convert_to_numpy(self._batch_counter()))
        self._step -= self._origin
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
        if not is_continued:
            self._epoch = self._step = 0
        self._is_continued = is_continued
        self._origin = None

    def _positions_in(self, epochs: int) -> int | None:
        """Number of positions in some epochs, `None` if Keras does not know it."""
        if self.update == "epoch":
            return epochs
        steps = (self.params or {}).get("steps")
        return None if steps is None else epochs * steps

    def _first_step(self, epoch, count):
        """Position in batches at the beginning of the first epoch of this fit.

        `count` is the value of the optimizer's batch counter.
        """
        if epoch == 0:
            return 0
        if self._is_continued and epoch == self._epoch:
            return self._step
        steps = (self.params or {}).get("steps")
        if steps is not None:
            return epoch * steps
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

    def _batch_counter(self):
        return iterations_variable(innermost_optimizer(self._fit_model.optimizer))
