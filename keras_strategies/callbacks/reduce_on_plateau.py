"""Reducing the learning rate on a plateau, for every kind of optimizer."""

import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import print_message
from keras_strategies.callbacks._monitor import Monitor
from keras_strategies.callbacks._rates import rate_logs, scalable_rates
from keras_strategies.callbacks._resumable import ResumableCallback


class ReduceOnPlateau(ResumableCallback):
    """Reduces the learning rate when a metric has stopped improving.

    Has the arguments of `keras.callbacks.ReduceLROnPlateau` in the same order and
    does the same with them. It works where Keras's does not: on optimizers nested in
    each other (`LossScaleOptimizer`, `MultiOptimizer`, the wrappers of this package)
    and on an optimizer that follows a schedule, if that is a
    `keras_strategies.schedules.ScaledSchedule`, whose scale is then reduced. It can
    warm up, and a resumed training takes over its counters.

    ```
    after patience epochs without improvement: rate <- max(rate * factor, min_lr)
    in warm-up epoch i:                        rate  = base * (i + 1) / (warmup + 1)
    ```

    The rate of the epoch is logged as `learning_rate` (with several optimizers as
    `learning_rate_<optimizer name>`). Nothing is compiled again.

    Args:
        monitor: Metric to watch. Defaults to `"val_loss"`.
        factor: Factor of each reduction, in (0, 1). Defaults to `0.1`.
        patience: Epochs without improvement before a reduction, at least 0. Defaults
            to `10`.
        verbose: `1` prints a line for each reduction. Defaults to `0`.
        mode: `"min"`, `"max"` or `"auto"`, which asks the metric. Defaults to
            `"auto"`.
        min_delta: Least change that counts as an improvement. Defaults to `1e-4`.
        cooldown: Epochs after a reduction in which none are counted, at least 0.
            Defaults to `0`.
        min_lr: Lowest rate to reduce to, at least 0. Defaults to `0`.
        warmup_epochs: Epochs of a linear warm-up from near 0, counted from epoch 0
            and not watched. Defaults to `0`.

    Raises:
        TypeError: In `fit`, if the optimizer follows a schedule that cannot be
            scaled.
        ValueError: If an argument is out of its range; in `fit`, if the metric is
            unknown.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import callbacks, schedules

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    cosine = keras.optimizers.schedules.CosineDecay(0.1, decay_steps=1000)
    model.compile(keras.optimizers.SGD(schedules.ScaledSchedule(cosine)), loss="mse")
    plateau = callbacks.ReduceOnPlateau("loss", factor=0.5, patience=2)
    x, y = np.zeros((8, 4)), np.zeros((8, 1))  # nothing to learn
    history = model.fit(x, y, epochs=6, callbacks=[plateau], verbose=0)
    print(np.round(history.history["learning_rate"], 3))
    # [0.1   0.1   0.1   0.05  0.05  0.025]
    ```
    """

    _state_names = ("best", "wait", "cooldown_counter", "_base_values")

    def __init__(
        self,
        monitor="val_loss",
        factor=0.1,
        patience=10,
        verbose=0,
        mode="auto",
        min_delta=1e-4,
        cooldown=0,
        min_lr=0.0,
        warmup_epochs=0,
    ):
        super().__init__()
        self._monitor = Monitor(monitor, mode, min_delta)
        self.monitor, self.mode = monitor, mode
        self.factor = checks.real(
            "factor", factor, low=0, high=1, low_open=True, high_open=True
        )
        self.patience = checks.integer("patience", patience, low=0)
        self.verbose = verbose
        self.min_delta = self._monitor.min_delta
        self.cooldown = checks.integer("cooldown", cooldown, low=0)
        self.min_lr = checks.real("min_lr", min_lr, low=0)
        self.warmup_epochs = checks.integer("warmup_epochs", warmup_epochs, low=0)
        self._rates = None
        self._reset()

    def _reset(self):
        self.best = self._base_values = None
        self.wait = self.cooldown_counter = 0
        self._monitor.warned = False
        self._monitor.direction = None if self.mode == "auto" else self.mode

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self._rates = scalable_rates(self.model, self)
        if self._base_values is None:
            self._base_values = [rate.value for rate in self._rates]
        elif len(self._base_values) != len(self._rates):
            checks.fail(
                "The state given to ReduceOnPlateau must come from a model with as "
                "many optimizers",
                fix="Use a new object for another model.",
                in_state=len(self._base_values),
                in_model=len(self._rates),
            )

    def on_epoch_begin(self, epoch, logs=None):
        if self.warmup_epochs and epoch <= self.warmup_epochs:
            fraction = (epoch + 1) / (self.warmup_epochs + 1)
            for rate, base in zip(self._rates, self._base_values, strict=True):
                rate.set(base * fraction)

    def on_epoch_end(self, epoch, logs=None):
        logs = logs if logs is not None else {}
        current = self._monitor.read(logs, self)
        logs.update(rate_logs(self.model))
        if current is None or epoch < self.warmup_epochs:
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self._monitor.improves(current, self.best):
            self.best = current
            self.wait = 0
        elif not self.in_cooldown():
            self.wait += 1
            if self.wait >= self.patience and self._reduce(epoch):
                self.cooldown_counter = self.cooldown
                self.wait = 0

    def in_cooldown(self):
        """Whether epochs are not counted because of a recent reduction."""
        return self.cooldown_counter > 0

    def _reduce(self, epoch):
        """Reduces every rate that is not at its lowest; says whether one was."""
        reduced = False
        for rate in self._rates:
            if rate.rate <= np.float32(self.min_lr):
                continue
            new_rate = rate.reduce(self.factor, self.min_lr)
            reduced = True
            if self.verbose > 0:
                name = f" {rate.optimizer.name}" if len(self._rates) > 1 else ""
                print_message(
                    f"\nEpoch {epoch + 1}: ReduceLROnPlateau reducing{name} learning "
                    f"rate to {new_rate}."
                )
        return reduced
