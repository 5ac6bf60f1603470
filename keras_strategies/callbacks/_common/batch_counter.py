"""How many batches of an epoch were trained, without asking the optimizer."""

from typing import Any

import keras

from keras_strategies._internal.keras_private import (
    iterations_variable,
    steps_between_hooks,
)
from keras_strategies._internal.traversal import innermost_optimizer


class BatchCounter:
    """Counts the batches of an epoch by the numbers that the hooks are given.

    The counter of the optimizer is no measure: a training step may call it twice or
    not at all, and a roll-back sets it back. The numbers of `on_train_batch_begin` are
    exact for any `steps_per_execution`, those of `on_train_batch_end` are not; but on
    TensorFlow the former is called once more when data without a length run out, and
    elsewhere the latter may come late, from a thread.
    """

    def __init__(self) -> None:
        self._begun, self._ended, self._counter_at_begin = -1, 0, 0

    def begin_epoch(self, optimizer: Any) -> None:
        """Starts at 0; the optimizer's variables must be in sync."""
        self._begun, self._ended = -1, 0
        self._counter_at_begin = read_counter(optimizer)

    def begin(self, batch: int) -> None:
        """Notes the number in `on_train_batch_begin`."""
        self._begun = batch

    def end(self, batch: int) -> None:
        """Notes the number in `on_train_batch_end`."""
        self._ended = batch + 1

    @property
    def so_far(self) -> int:
        """Batches trained so far, in the middle of an epoch."""
        return max(self._begun, self._ended, 0)

    def total(self, model: keras.Model, steps: int | None) -> int:
        """Batches of the epoch that has ended.

        Args:
            model: The model; its variables must be in sync.
            steps: Steps in an epoch, if Keras knows it.
        """
        if self._begun < 0:
            return 0
        execution = steps_between_hooks(model)
        batches = self._begun + execution  # if the last execution was a full one
        if steps is not None:
            batches = min(batches, steps)
        elif execution > 1:
            # Where Keras does not know the length either, the optimizer's counter
            # does, if it makes one step a batch.
            counted = read_counter(model.optimizer) - self._counter_at_begin
            batches = counted if self._begun < counted <= batches else batches
        if keras.backend.backend() == "tensorflow":
            batches = min(batches, self._ended)
        return batches


def read_counter(optimizer: Any) -> int:
    """Returns the number of batches that an optimizer has received."""
    counter = iterations_variable(innermost_optimizer(optimizer))
    return int(keras.ops.convert_to_numpy(counter))
