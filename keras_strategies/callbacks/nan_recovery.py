"""Going on after the loss has become NaN or infinite."""

import math
import warnings

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import print_message
from keras_strategies.callbacks import _snapshots
from keras_strategies.callbacks._rates import scalable_rates
from keras_strategies.callbacks._resumable import ResumableCallback


class NaNRecovery(ResumableCallback):
    """Rolls back to the last finite state when the loss breaks, and cuts the rate.

    `keras.callbacks.TerminateOnNaN` ends the training; this one rescues it. Weights
    and optimizer go back to the last copy, the learning rate is multiplied by
    `factor` and the training goes on with the next batch. After `max_retries`
    recoveries the next one ends the training, with a `RuntimeWarning` and the last
    finite state in the model.

    Copies are taken at the begin of the training and at the end of each epoch, and
    with an integer `save_freq` also within an epoch; one that is not finite is never
    kept. They take the host memory of weights and optimizer once. The loss is read
    where Keras has it anyway, without waiting for the device; on JAX, where steps run
    ahead of their losses, a few more batches may pass before the roll-back. The
    losses of the epoch are averaged from the recovery on.

    A scheduler that sets the rate writes over the cut one: cut schedules by
    `keras_strategies.schedules.ScaledSchedule`. Random numbers are not rolled back, so
    that the same step is not taken twice.

    Args:
        factor: Factor of the learning rate at each recovery, in (0, 1]. With `1` the
            rate stays and the optimizer may follow any schedule. Defaults to `0.5`.
        max_retries: Recoveries in one fit, at least 0. Defaults to `3`.
        save_freq: `"epoch"`, or the number of batches after which a copy is taken,
            at least 1. Each copy waits for the device. Defaults to `"epoch"`.
        verbose: `1` prints a line at each recovery. Defaults to `1`.

    Raises:
        TypeError: In `fit`, if the optimizer follows a schedule that cannot be
            scaled and `factor` is less than 1.
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

    async_safe = True  # batch ends may come from a thread: they only set a flag
    _state_names = ("retries", "recoveries")

    def __init__(self, factor=0.5, max_retries=3, save_freq="epoch", verbose=1):
        super().__init__()
        self.factor = checks.real("factor", factor, low=0, high=1, low_open=True)
        self.max_retries = checks.integer("max_retries", max_retries, low=0)
        if save_freq != "epoch":
            checks.integer(
                "save_freq", save_freq, low=1, fix="Or give save_freq='epoch'."
            )
        self.save_freq = save_freq
        self.verbose = verbose
        self._rates = ()
        self._reset()

    def _reset(self):
        self.retries = 0
        self.recoveries = []  # [epoch, batch] of each

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        model = self.model
        self._rates = scalable_rates(model, self) if self.factor < 1 else ()
        self._weights = self._optimizer_values = None
        self._failed = self._gave_up = False
        self._epoch = self._batch = self._kept_at = self._first_valid = 0
        self._in_fit = True
        if model.built:
            self._keep(model)

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        self._batch = self._kept_at = self._first_valid = 0

    def on_train_batch_begin(self, batch, logs=None):
        self._batch = batch
        due = self.save_freq != "epoch" and batch - self._kept_at >= self.save_freq
        if self._failed:
            self._first_valid = batch
            self._recover()
        elif due or (self._weights is None and batch > 0):
            self._kept_at = batch
            self._keep(self.model)

    def on_train_batch_end(self, batch, logs=None):
        loss = (logs or {}).get("loss")
        # What was under way at a recovery is reported after it.
        current = batch >= self._first_valid
        if loss is not None and current and not math.isfinite(loss):
            self._failed = True

    def on_test_begin(self, logs=None):
        if self._in_fit and self._failed:
            self._recover()

    def on_epoch_end(self, epoch, logs=None):
        self._batch += 1
        if self._gave_up:
            self._roll_back(self.model)
        elif self._failed or not self._keep(self.model):
            self._recover()

    def on_train_end(self, logs=None):
        self._in_fit = False
        self._weights = self._optimizer_values = None

    _in_fit = False

    def _keep(self, model):
        """Copies weights and optimizer if they are finite; says whether they are."""
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        weights = _snapshots.read(model.weights)
        optimizer_values = _snapshots.read(model.optimizer.variables)
        if not _snapshots.finite([*weights, *optimizer_values]):
            return False
        self._weights, self._optimizer_values = weights, optimizer_values
        return True

    def _recover(self):
        """Rolls back between two batches, or at the end of an epoch."""
        model = self.model  # JAX: puts the values back into the variables
        self._failed = False
        where = f"Epoch {self._epoch + 1}, batch {self._batch}: the loss is not finite"
        self._roll_back(model)
        if self._weights is None or self.retries >= self.max_retries:
            reason = "no finite state to go back to"
            if self._weights is not None:
                reason = f"{self.retries} recoveries have not helped"
            warnings.warn(
                f"{where}; {reason}. Training stops.", RuntimeWarning, stacklevel=2
            )
            self._gave_up = True
            model.stop_training = True
            return
        self.retries += 1
        self.recoveries.append([self._epoch, self._batch])
        rates = [rate.reduce(self.factor) for rate in self._rates]
        # The next roll-back starts from the cut rate.
        self._optimizer_values = _snapshots.read(model.optimizer.variables)
        model.reset_metrics()
        if self.verbose > 0:
            now = f", learning rate {', '.join(f'{r:g}' for r in rates)}"
            print_message(f"\n{where}; rolled back{now if rates else ''}.")

    def _roll_back(self, model):
        if self._weights is not None:
            _snapshots.write(model.weights, self._weights)
            _snapshots.write(model.optimizer.variables, self._optimizer_values)
