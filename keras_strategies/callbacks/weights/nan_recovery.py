"""Recovery from a loss that is NaN or infinite."""

import math
import warnings
from typing import Any, Literal

import keras

from keras_strategies._internal import bases, checks
from keras_strategies._internal.keras_private import (
    build_for_fit,
    callback_list,
    print_message,
)
from keras_strategies._internal.weights.values import assign_values, host_values
from keras_strategies.callbacks._common import snapshots
from keras_strategies.callbacks._common.learning_rates import scalable_learning_rates
from keras_strategies.callbacks._common.optimizers import (
    ActedOn,
    OptimizerArgument,
    all_optimizers,
)
from keras_strategies.callbacks._common.rate_setter import reduce_rate
from keras_strategies.callbacks._common.resumable_callback import ResumableCallback
from keras_strategies.callbacks._common.siblings import siblings, wrap_list
from keras_strategies.callbacks._common.stateful import Stateful


class NaNRecovery(ResumableCallback):
    """Rolls back to the last finite state after a NaN loss and reduces the rate.

    `keras.callbacks.TerminateOnNaN` ends the training; this callback continues it.
    Weights and optimizer are restored from the last copy, the learning rate is
    multiplied by `factor` and the training continues with the next batch. After
    `max_retries` recoveries the next NaN or infinity ends the training, with a
    `RuntimeWarning` and the last finite state in the model.

    Copies are taken before the first batch of each epoch, and with an integer
    `save_freq` also within an epoch; a state that is not finite is not copied. The copy
    takes the host memory of weights and optimizer once. The loss is read from the logs,
    without waiting for the device; on JAX, where steps are dispatched before their
    losses are known, a few more batches may pass before the roll-back. The loss of the
    epoch is the average from the recovery on. A last step after which weights are not
    finite is rolled back before validation.

    It may stand anywhere among the callbacks. What the others have averaged or counted
    of the steps that are undone is rolled back with them (`callbacks.Stateful`); epochs
    and batches go on. A scheduler callback of the same fit keeps the reduced rate: its
    rates are multiplied by it. All optimizers of the model are rolled back, also those
    that only a training step of its own uses. Random states are not, so that the same
    step is not repeated.

    Args:
        factor: Factor of the learning rate at each recovery, in (0, 1]. With `1` the
            rate is not changed and the optimizer may have any schedule. Defaults to
            `0.5`.
        max_retries: Recoveries in one fit, at least 0. Defaults to `3`.
        save_freq: `"epoch"`, or the number of batches after which a copy is taken,
            at least 1. Each copy waits for the device. Defaults to `"epoch"`.
        verbose: `1` prints a line at each recovery. Defaults to `1`.
        optimizer: The optimizer to act on, the name of an attribute of the model that
            is one (`"d_optimizer"`), or a list of these. Defaults to `None`: that of
            `compile`.

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
        optimizer: OptimizerArgument = None,
    ):
        super().__init__()
        self._acted = ActedOn(self, optimizer)
        self.optimizer: OptimizerArgument = optimizer
        self.factor: float = checks.real("factor", factor, low=0, high=1, low_open=True)
        self.max_retries: int = checks.integer("max_retries", max_retries, low=0)
        if save_freq != "epoch":
            checks.integer(
                "save_freq", save_freq, low=1, fix="Or give save_freq='epoch'."
            )
        self.save_freq: int | Literal["epoch"] = save_freq
        self.verbose: int = verbose
        self._rates = []
        self._copier = _Copier(self)
        self._reset()

    def _reset(self) -> None:
        self.retries: int = 0
        self.recoveries: list[list[int]] = []  # [epoch, batch] of each

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        super().on_train_begin(logs)
        model = self.model
        build_for_fit(model)
        self._rates = []
        if self.factor < 1:
            self._acted.begin(model)
            self._rates = scalable_learning_rates(model, self._acted)
        self._optimizers = all_optimizers(model, self._acted.roots(model))
        self._weights = self._optimizer_values = None
        self._states = []
        self._failed = self._gave_up = self._is_checked = False
        self._epoch = self._batch = self._first_valid = 0
        self._copied_at = None
        self._in_fit = True
        # The others then see weights that are rolled back, and what they remember is
        # copied when they all have seen the batch before.
        wrap_list(self, self._copier)
        self._is_alone = callback_list(self) is None  # its hooks are called by hand

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch
        self._batch = self._first_valid = 0
        self._copied_at, self._is_checked = None, False

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        self._batch = batch
        if self._failed:
            self._first_valid = batch
            self._recover()
        if self._is_alone:
            self.copy_if_due(batch)

    def copy_if_due(self, batch: int) -> None:
        """Copies the state at the first batch of an epoch, and every `save_freq`."""
        due = self._copied_at is None or self._weights is None
        if self.save_freq != "epoch" and not due:
            due = batch - self._copied_at >= self.save_freq
        if due and not self._gave_up:
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

    def steps_until_hook(self, batch: int) -> int | None:
        """Returns how many steps may run as one program; `None` for any number."""
        if self.save_freq == "epoch":
            return None
        copied_at = batch if self._copied_at is None else self._copied_at
        return max(1, copied_at + self.save_freq - batch)

    @property
    def stops_at_nan(self) -> bool:
        """Whether a program of several steps has to end where the loss is NaN."""
        return True

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self._in_fit:
            self._check_epoch()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._check_epoch()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._in_fit = False
        self._weights = self._optimizer_values = None
        self._states = []

    _in_fit = False

    def _check_epoch(self):
        """Looks at the weights after the last batch, once: before any validation."""
        if self._is_checked and not self._failed:
            return
        self._is_checked = True
        self._batch += 1
        if self._gave_up:
            self._roll_back(self.model)
        elif self._failed or not snapshots.is_finite(self._read(self.model)):
            self._recover()
            self._first_valid = math.inf  # what a thread still says is known

    def _read(self, model):
        variables = [*model.weights, *snapshots.of_optimizers(self._optimizers)]
        return host_values(variables)

    def _copy(self, model):
        """Copies weights, optimizers and what siblings remember, if all is finite."""
        if not model.built:
            return
        for optimizer in self._optimizers:
            if optimizer is model.optimizer and not optimizer.built:
                optimizer.build(model.trainable_variables)
        values = self._read(model)
        if snapshots.is_finite(values):
            count = len(model.weights)
            self._weights, self._optimizer_values = values[:count], values[count:]
            self._states = [(c, c.get_state()) for c in _rolled_back(siblings(self))]

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
        rates = [reduce_rate(self, rate, self.factor) for rate in self._rates]
        # The next roll-back restores the reduced rate.
        self._optimizer_values = host_values(snapshots.of_optimizers(self._optimizers))
        model.reset_metrics()
        if self.verbose > 0:
            suffix = f", learning rate {', '.join(f'{r:g}' for r in rates)}"
            print_message(f"\n{event}; rolled back{suffix if rates else ''}.")

    def _roll_back(self, model):
        if self._weights is None:
            return
        assign_values(model.weights, self._weights)
        optimizer_variables = snapshots.of_optimizers(self._optimizers)
        assign_values(optimizer_variables, self._optimizer_values)
        for callback, state in self._states:
            callback.set_state(state)


class _Copier(bases.Callback):
    """The last callback of the fit: all others have seen the batches so far."""

    survives_roll_back = True

    def __init__(self, recovery: NaNRecovery):
        super().__init__()
        self._recovery = recovery

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        self._recovery.copy_if_due(batch)

    def steps_until_hook(self, batch: int) -> int | None:
        """Returns what that of the recovery returns."""
        return self._recovery.steps_until_hook(batch)


def _rolled_back(
    callbacks: list[keras.callbacks.Callback],
) -> list[Any]:
    """Those that remember steps, and can be put back to an earlier one."""
    return [
        callback
        for callback in callbacks
        if isinstance(callback, Stateful)
        and not getattr(callback, "survives_roll_back", False)
    ]
