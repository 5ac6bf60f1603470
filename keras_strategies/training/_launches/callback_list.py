"""The callbacks of a fit in launches."""

import warnings
from typing import Any

import keras

from keras_strategies._internal import bases
from keras_strategies.training._launches.needs import Needs, needs_of


class Position:
    """Where a loop of Keras's is in its epoch.

    Attributes:
        next: Number of the step that comes next.
        last: Number of the last step that was made.
        is_ended: Whether the hook after the last step was called already.
    """

    def __init__(self) -> None:
        self.next = self.last = 0
        self.is_ended = False


class LaunchCallbackList(keras.callbacks.CallbackList):
    """Keras's list, which numbers batches as they were made.

    Keras calls hooks for the first and the last step of a block; the hooks between
    them are called by `StepDriver`.

    Attributes:
        positions: `{"train": Position, "test": Position}`.
        is_driven: Whether a `StepDriver` runs the steps, else Keras's own loop.
    """

    is_driven = False

    def __init__(self, callbacks: Any, **kwargs: Any):
        self.positions: dict[str, Position] = {
            kind: Position() for kind in ("train", "test")
        }
        self._needs, self._members = None, None
        super().__init__(callbacks, **kwargs)

    @property
    def needs(self) -> Needs:
        """What the callbacks need, also those that came into the list meanwhile."""
        if self._members is not self.callbacks:
            self._members, self._needs = self.callbacks, needs_of(self.callbacks)
        return self._needs

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        super().on_train_begin(logs)
        if not self.is_driven:
            return
        if names := [type(item).__name__ for item in self.needs.stepwise]:
            warnings.warn(
                f"{', '.join(names)} may act on the model between two steps, so that "
                "the execution plan runs one step at a time, about as fast as plain "
                "`fit`. If its batch hooks only read logs, say so by a class attribute "
                "`batch_logs = True`; if it acts every few steps, or sets values that "
                "are known beforehand, by a method `steps_until_hook` or "
                "`values_for_steps`, see `training.accelerate`.",
                stacklevel=5,
            )

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        batch = self._number("train", batch)
        self.positions["train"].next = batch
        super().on_train_batch_begin(batch, logs)

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        if not self._is_ended("train"):
            last = self.positions["train"].last if self.is_driven else batch
            super().on_train_batch_end(last, logs)

    def on_test_batch_begin(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        batch = self._number("test", batch)
        self.positions["test"].next = batch
        super().on_test_batch_begin(batch, logs)

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if not self._is_ended("test"):
            last = self.positions["test"].last if self.is_driven else batch
            super().on_test_batch_end(last, logs)

    def _number(self, kind, batch):
        """The number of the step that comes next.

        Keras counts in blocks. At the end of data of unknown length it calls the hook
        once more, for a step that is not made, and the last block may be a short one.
        """
        if not batch or not self.is_driven:
            return batch
        return self.positions[kind].last + 1

    def _is_ended(self, kind):
        position = self.positions[kind]
        ended, position.is_ended = position.is_ended, False
        return ended

    def finish(self) -> None:
        """Waits for hooks in other threads."""
        self._flush_futures()


class OutOfReach:
    """What stands for the model where a callback said that it does not need it."""

    def __init__(self, callback: bases.Callback):
        self.__dict__["_name"] = type(callback).__name__

    def __getattr__(self, name: str) -> Any:
        if name == "jax_state_sync":  # which `callback.model` asks for
            raise AttributeError(name)
        raise RuntimeError(
            f"A batch hook of {self.__dict__['_name']} asks for `model.{name}` while "
            "an execution plan calls it for a step that is past: it was taken for one "
            "that only reads logs. Give its class a method "
            "`steps_until_hook(batch)` that returns 1, or remove the plan."
        )
