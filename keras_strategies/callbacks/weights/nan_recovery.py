"""Recovery from a loss that is NaN or infinite."""

import math
import warnings
from typing import Any, Literal

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import print_message
from keras_strategies.callbacks._common import snapshots
from keras_strategies.callbacks._common.learning_rates import scalable_learning_rates
from keras_strategies.callbacks._common.resumable_callback import ResumableCallback


class NaNRecovery(ResumableCallback):
    """Rolls back to the last finite state after a NaN loss and reduces the rate.

    `keras.callbacks.TerminateOnNaN` ends the training; this callback continues it.
    Weights and optimizer are restored from the last copy, the learning rate is
    multiplied by `factor` and the training continues with the next batch. After
    `max_retries` recoveries the next NaN or infinity ends the training, with a
    `RuntimeWarning` and the last finite state in the model.

    Copies are taken at the beginning of the training and at the end of each epoch, and
    with an integer `save_freq` also within an epoch; a state that is not finite is not
    copied. The copy takes the host memory of weights and optimizer once. The loss is
    read from the logs, without waiting for the device; on JAX, where steps are
    dispatched before their losses are known, a few more batches may pass before the
    roll-back. The loss of the epoch is the average from the recovery on.

    A scheduler callback overwrites the reduced rate: use a schedule in
    `keras_strategies.schedules.ScaledSchedule` instead. Random states are not rolled
    back, so that the same step is not repeated.

    Args:
        factor: Factor of the learning rate at each recovery, in (0, 1]. With `1` the
            rate is not changed and the optimizer may have any schedule. Defaults to
            `0.5`.
        max_retries: Recoveries in one fit, at least 0. Defaults to `3`.
        save_freq: `"epoch"`, or the number of batches after which a copy is taken,
            at least 1. Each copy waits for the device. Defaults to `"epoch"`.
        verbose: `1` prints a line at each recovery. Defaults to `1`.

    Raises:
        TypeError: In `fit`, if the optimizer has a schedule that cannot be scaled and
            `factor` is less than 1.
        ValueError: If an argument is out of its range.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import callbacks

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(1e12), loss="mse")  # far too high
    recovery = callbacks.NaNRecovery(factor=1e-13, verbose=0)
    x, y = np.ones((32, 4)), np.ones((32, 1))
    history = model.fit(x, y, batch_size=1, epochs=2, callbacks=[recovery], verbose=0)
    print(recovery.retries, np.isfinite(history.history["loss"][-1]))  # 1 True
    ```
    """

    async_safe = True  # `on_train_batch_end` may run in a thread: it sets a flag only
    _state_names = ("retries", "recoveries")

    def __init__(
        self,
        factor: float = 0.5,
        max_retries: int = 3,
        save_freq: int | Literal["epoch"] = "epoch",
        verbose: int = 1,
    ):
        super().__init__()
        self.factor: float = checks.real("factor", factor, low=0, high=1, low_open=True)
        self.max_retries: int = checks.integer("max_retries", max_retries, low=0)
        if save_freq != "epoch":
            checks.integer(
                "save_freq", save_freq, low=1, fix="Or give save_freq='epoch'."
            )
        self.save_freq: int | Literal["epoch"] = save_freq
        self.verbose: int = verbose
        self._rates = []
        self._reset()

    def _reset(self) -> None:
        self.retries: int = 0
        self.recoveries: list[list[int]] = []  # [epoch, batch] of each

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        super().on_train_begin(logs)
        model = self.model
        self._rates = scalable_learning_rates(model, self) if self.factor < 1 else []
        self._weights = self._optimizer_values = None
        self._failed = self._gave_up = False
        self._epoch = self._batch = self._copied_at = self._first_valid = 0
        self._in_fit = True
        if model.built:
            self._copy(model)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch
        self._batch = self._copied_at = self._first_valid = 0

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        self._batch = batch
        due = self.save_freq != "epoch" and batch - self._copied_at >= self.save_freq
        if self._failed:
            self._first_valid = batch
            self._recover()
        elif due or (self._weights is None and batch > 0):
            self._copied_at = batch
            self._copy(self.model)

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        loss = (logs or {}).get("loss")
        # On JAX the losses of steps dispatched before a recovery arrive after it.
        is_current = batch >= self._first_valid
        if loss is not None and is_current and not math.isfinite(loss):
            self._failed = True

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self._in_fit and self._failed:
            self._recover()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._batch += 1
        if self._gave_up:
            self._roll_back(self.model)
        elif self._failed or not self._copy(self.model):
            self._recover()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._in_fit = False
        self._weights = self._optimizer_values = None

    _in_fit = False

    def _copy(self, model):
        """Copies weights and optimizer if they are finite; returns whether they are."""
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        weights = snapshots.read(model.weights)
        optimizer_values = snapshots.read(model.optimizer.variables)
        if not snapshots.is_finite([*weights, *optimizer_values]):
            return False
        self._weights, self._optimizer_values = weights, optimizer_values
        return True

    def _recover(self):
        """Rolls back between two batches, or at the end of an epoch."""
        # On JAX, `self.model` writes the trained values back into the variables.
        model = self.model
        self._failed = False
        event = f"Epoch {self._epoch + 1}, batch {self._batch}: the loss is not finite"
        self._roll_back(model)
        if self._weights is None or self.retries >= self.max_retries:
            reason = "there is no finite state to restore"
            if self._weights is not None:
                reason = f"{self.retries} recoveries have not helped"
            warnings.warn(
                f"{event}; {reason}. Training stops.", RuntimeWarning, stacklevel=2
            )
            self._gave_up = True
            model.stop_training = True
            return
        self.retries += 1
        self.recoveries.append([self._epoch, self._batch])
        rates = [rate.reduce(self.factor) for rate in self._rates]
        # The next roll-back restores the reduced rate.
        self._optimizer_values = snapshots.read(model.optimizer.variables)
        model.reset_metrics()
        if self.verbose > 0:
            suffix = f", learning rate {', '.join(f'{r:g}' for r in rates)}"
            print_message(f"\n{event}; rolled back{suffix if rates else ''}.")

    def _roll_back(self, model):
        if self._weights is not None:
            snapshots.write(model.weights, self._weights)
            snapshots.write(model.optimizer.variables, self._optimizer_values)
