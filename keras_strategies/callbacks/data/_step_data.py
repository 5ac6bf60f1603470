"""Base class of callbacks that transform batches inside the training step."""

from collections.abc import Callable
from typing import Any, ClassVar

import keras

from keras_strategies._internal.keras_private import changed_step
from keras_strategies._internal.keras_private.callbacks import (
    unwrap_method,
    wrap_method,
)
from keras_strategies.callbacks._common.schedule_values import (
    Schedule,
    evaluate_schedule,
    validate_schedule,
)
from keras_strategies.callbacks._common.stateful_callback import StatefulCallback


class StepDataCallback(StatefulCallback):
    """Transforms each training batch by a value that is fixed for an epoch.

    This happens at the beginning of the model's `train_step`, on the device, so that it
    works with arrays, `tf.data`, `PyDataset` and generators alike and does not change
    evaluation and prediction. A new value changes shapes, so that the step is traced
    again.

    Subclasses define `_log_name`, `_checked(value)` and
    `_transformed(x, y, sample_weight, value)`.
    """

    _log_name: ClassVar[str] = ""

    def __init__(self, schedule: Schedule):
        super().__init__()
        self.schedule: Schedule = validate_schedule("schedule", schedule)
        self._value = None
        self._wrapped_model = None  # during a fit
        # {value: wrapper of `train_step`}. The value is a Python constant of the trace,
        # as it decides static shapes: each has a step of its own.
        self._steps: dict[Any, Callable[..., Any]] = {}

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.restore()
        self._wrapped_model, self._value = self.model, None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        value = self._checked(evaluate_schedule(self.schedule, epoch))
        if value != self._value:
            model = self._wrapped_model
            with changed_step(model):
                self._unwrap(model)
                self._value = value
                step = self._steps.setdefault(value, self._train_step(value))
                wrap_method(model, "train_step", step)

    def _train_step(self, value):
        def train_step(call, *args):
            # On JAX the arguments are (state, data), elsewhere (data,).
            *state, data = args
            parts = keras.utils.unpack_x_y_sample_weight(data)
            parts = self._transformed(*parts, value)
            return call(*state, keras.utils.pack_x_y_sample_weight(*parts))

        return train_step

    def _unwrap(self, model):
        if self._value is not None:
            unwrap_method(model, "train_step", self._steps[self._value])

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is not None:
            logs.update(self._logged())

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.restore()

    def undo_begin(self) -> None:
        """Undoes `on_train_begin`."""
        self.restore()

    def restore(self) -> None:
        """Restores the training step of the model, after a fit that failed.

        Does nothing if it is restored already, as after a fit that ended normally.
        """
        if self._wrapped_model is None:
            return
        model, self._wrapped_model = self._wrapped_model, None
        with changed_step(model):
            self._unwrap(model)
        self._value = None

    def _logged(self) -> dict[str, Any]:
        return {self._log_name: self._value}

    def _checked(self, value: Any) -> Any:
        raise NotImplementedError

    def _transformed(
        self, x: Any, y: Any, sample_weight: Any, value: Any
    ) -> tuple[Any, Any, Any]:
        raise NotImplementedError
