"""Early stopping by patience, Prechelt's criteria or a bound on overfitting."""

import copy
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import keras
import numpy as np

from keras_strategies._internal import bases, checks
from keras_strategies._internal.keras_private import print_message
from keras_strategies._internal.weights.values import assign_values, host_values
from keras_strategies.callbacks._common import snapshots
from keras_strategies.callbacks._common.final_weights import FinalWeights
from keras_strategies.callbacks._common.metric_monitor import MetricMonitor
from keras_strategies.callbacks._common.optimizers import all_optimizers
from keras_strategies.callbacks._common.resumable_callback import ResumableCallback
from keras_strategies.callbacks.stopping import _prechelt

Mode: TypeAlias = Literal["auto", "min", "max"]

_CRITERIA = ("patience", "gl", "pq", "up")
_THRESHOLDS = {"gl": 5.0, "pq": 0.5, "up": 3.0}


class EarlyStopping(ResumableCallback, FinalWeights, bases.EarlyStopping):
    """Stops training when it no longer improves, by one rule or by several.

    A drop-in superset of `keras.callbacks.EarlyStopping`: the same arguments in the
    same order do the same. It adds several metrics at once, a minimum number of
    epochs, a bound on overfitting, Prechelt's criteria, restoring the optimizer
    together with the weights, and a state for resumed trainings. A metric that the
    training does not have is an error at the end of the first epoch, which lists the
    metrics that it has.

    With `criterion="patience"`, a metric is stalled when it has not improved on its
    best value by more than `min_delta` for `patience` epochs. The criteria of
    Prechelt monitor the validation error `E(t)` after epoch `t` and, for `"pq"`, the
    training error `T(t)`, in strips of `strip` epochs:

    ```
    gl: stop when GL(t) = 100 * (E(t) / min E - 1) > threshold
    pq: stop when GL(t) / P(t) > threshold,
        P(t) = 1000 * (mean of T over the strip / min of T over the strip - 1)
    up: stop when E has risen in `threshold` strips in a row
    ```

    `"gl"` is evaluated after every epoch, `"pq"` and `"up"` after every strip. In
    Prechelt's study slower criteria took about four times the training for 4 % less
    error; `"gl"` often reaches good errors, `"pq"` is the best on average.

    Reference:

    - [Prechelt, 1998, Early Stopping - but when?](
      https://doi.org/10.1007/3-540-49430-8_3)

    Args:
        monitor: Metric to monitor, or a list of them. The first of a list determines
            the best epoch. Defaults to `"val_loss"`.
        min_delta: Smallest change that counts as an improvement, at least 0 (the sign
            is dropped, as in Keras). Defaults to `0`.
        patience: Epochs without improvement after which to stop. Defaults to `0`.
        verbose: `1` prints a line when training is stopped and when weights are
            restored. Defaults to `0`.
        mode: `"min"`, `"max"` or `"auto"`, the direction of the metric; or a list with
            one for each metric. Defaults to `"auto"`.
        baseline: Value that the first metric must beat for an improvement to count.
            Defaults to `None`.
        restore_best_weights: Whether the model ends with the weights of the best
            epoch, whatever stopped the training. Defaults to `False`.
        start_from_epoch: Epochs to ignore at the start. Defaults to `0`.
        restore_optimizer: Whether the optimizer also ends in its state at the best
            epoch, so that a later fit continues from there. Needs
            `restore_best_weights` and as much host memory as the optimizer.
            Defaults to `False`.
        min_epochs: Minimum number of epochs. They are monitored, unlike those before
            `start_from_epoch`. Defaults to `0`.
        stop_when: With several metrics: `"all"` stops when all of them are stalled,
            `"any"` when one of them is. Defaults to `"all"`.
        overfit_gap: Stops also when the first metric, which must begin with `val_`,
            is worse than the same metric on the training data by more than this,
            in units of the metric, in `max(patience, 1)` epochs in a row. Defaults
            to `None`: no such rule.
        criterion: `"patience"`, or one of Prechelt's criteria instead: `"gl"`, `"pq"`
            or `"up"`, for one metric to minimize. Defaults to `"patience"`.
        threshold: Threshold of Prechelt's criteria, greater than 0. Defaults to 5
            (percent) for `"gl"`, 0.5 for `"pq"` and 3 (strips) for `"up"`.
        strip: Epochs in a strip, at least 1. Defaults to `5`.

    Raises:
        ValueError: If an argument is out of its range or does not go with another;
            in `fit`, if the metric is unknown or, with mode `"auto"`, has no direction
            that Keras knows, or if another callback sets the weights at the end.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import callbacks

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", loss="mse", metrics=["mae"])
    stopper = callbacks.EarlyStopping(
        ["val_loss", "val_mae"],
        patience=2,
        min_epochs=3,
        restore_best_weights=True,
        restore_optimizer=True,
    )
    x, y = np.zeros((8, 4)), np.ones((8, 1))
    data = {"validation_data": (x, -y), "epochs": 20, "verbose": 0}
    history = model.fit(x, y, callbacks=[stopper], **data)
    print(len(history.history["loss"]), stopper.best_epoch)  # 3 0
    ```
    """

    _state_names = (
        "best",
        "best_epoch",
        "best_weights",
        "best_optimizer",
        "_best_paths",
        "wait",
        "stopped_epoch",
        "_bests",
        "_waits",
        "_gap_wait",
        "_errors",
        "_training_errors",
    )

    def __init__(
        self,
        monitor: str | Sequence[str] = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: Mode | Sequence[Mode] = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
        restore_optimizer: bool = False,
        min_epochs: int = 0,
        stop_when: Literal["all", "any"] = "all",
        overfit_gap: float | None = None,
        criterion: Literal["patience", "gl", "pq", "up"] = "patience",
        threshold: float | None = None,
        strip: int = 5,
    ):
        names = list(monitor) if isinstance(monitor, list | tuple) else [monitor]
        modes = list(mode) if isinstance(mode, list | tuple) else [mode] * len(names)
        if not names or len(modes) != len(names):
            checks.fail(
                "`monitor` must have at least one name and `mode` one value for each",
                monitor=monitor,
                mode=mode,
            )
        self._monitors = [
            MetricMonitor(name, direction, min_delta)
            for name, direction in zip(names, modes, strict=True)
        ]
        super().__init__(
            monitor=monitor,
            min_delta=min_delta,
            patience=checks.integer("patience", patience, low=0),
            verbose=verbose,
            baseline=checks.real("baseline", baseline, optional=True),
            restore_best_weights=bool(restore_best_weights),
            start_from_epoch=checks.integer(
                "start_from_epoch", start_from_epoch, low=0
            ),
        )
        self.mode: Mode | Sequence[Mode] = mode
        self.restore_optimizer: bool = checks.boolean(
            "restore_optimizer", restore_optimizer
        )
        self.min_epochs: int = checks.integer("min_epochs", min_epochs, low=0)
        self.stop_when: str = checks.choice("stop_when", stop_when, ("all", "any"))
        self.overfit_gap: float | None = checks.real(
            "overfit_gap", overfit_gap, optional=True
        )
        self.criterion: str = checks.choice("criterion", criterion, _CRITERIA)
        self.threshold: float | None = checks.real(
            "threshold", threshold, low=0, low_open=True, optional=True
        )
        if self.threshold is None:
            self.threshold = _THRESHOLDS.get(criterion)
        self.strip: int = checks.integer("strip", strip, low=1)
        self._check_combination(threshold)
        self._reset()

    def _check_combination(self, threshold):
        first = self._monitors[0]
        if self.restore_optimizer and not self.restore_best_weights:
            checks.fail(
                "`restore_optimizer` needs `restore_best_weights=True`",
                restore_best_weights=self.restore_best_weights,
            )
        needs_training = self.overfit_gap is not None or self.criterion == "pq"
        if needs_training and not first.name.startswith("val_"):
            checks.fail(
                "`overfit_gap` and criterion='pq' compare a validation metric with "
                "the training metric: the first `monitor` must begin with 'val_'",
                monitor=self.monitor,
            )
        if self.criterion == "patience":
            if threshold is not None:
                checks.fail(
                    "`threshold` belongs to criterion 'gl', 'pq' or 'up'",
                    threshold=threshold,
                    criterion=self.criterion,
                )
            return
        if self.patience and self.overfit_gap is None:
            checks.fail(
                f"criterion={self.criterion!r} replaces `patience`",
                fix="Leave `patience` at 0.",
                patience=self.patience,
            )
        if len(self._monitors) > 1 or first.mode == "max" or self.baseline is not None:
            checks.fail(
                "Prechelt's criteria need one metric to minimize and no `baseline`",
                monitor=self.monitor,
                mode=self.mode,
                baseline=self.baseline,
            )

    def _reset(self) -> None:
        self.wait: int = 0
        self.stopped_epoch: int = 0
        self.best_epoch: int = 0
        self._gap_wait = 0
        self.best: float | None = None
        self.best_weights: list[np.ndarray] | None = None
        self.best_optimizer: list[np.ndarray] | None = None
        self._best_paths: list[str] = []
        self._bests = [None] * len(self._monitors)
        self._waits = [0] * len(self._monitors)
        self._errors, self._training_errors = [], []
        for monitor in self._monitors:
            monitor.reset()

    @property
    def sets_final_weights(self) -> bool:
        """Whether the best weights are restored."""
        return self.restore_best_weights

    @property
    def keeps_validated(self) -> bool:
        """Whether the first metric is one of the validation."""
        return self._monitors[0].name.startswith("val_")

    @property
    def has_kept(self) -> bool:
        """Whether there are weights to restore."""
        return self.best_weights is not None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        super().on_train_begin(logs)
        self._refuse_others_at_the_end()
        if self.best_weights is not None and self.model.built:
            snapshots.check_shapes(self.best_weights, self.model.weights, self)

    def get_monitor_value(self, logs: dict[str, Any] | None) -> float | None:
        return self._monitors[0].read(logs, self)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        values = [self.get_monitor_value(logs)]
        values += [monitor.read(logs, self) for monitor in self._monitors[1:]]
        if any(value is None for value in values) or epoch < self.start_from_epoch:
            return
        self.monitor_op: Callable[[Any, Any], Any] = {
            "min": keras.ops.less,
            "max": keras.ops.greater,
        }[self._monitors[0].direction]
        # As in Keras, the first epoch is kept even if its value is NaN.
        if self.restore_best_weights and self.best_weights is None:
            self._store(epoch)
        stalled = [self._count(i, value, epoch) for i, value in enumerate(values)]
        self.best = self._bests[0]
        self.wait = {"all": min, "any": max}[self.stop_when](self._waits)
        # As in Keras, no fit stops at its first epoch, even with patience=0.
        stop = {"all": all, "any": any}[self.stop_when](stalled) and epoch > 0
        if self.criterion != "patience":
            stop = self._criterion_is_exceeded(values[0], logs)
        if self.overfit_gap is not None:
            stop = self._overfits(values[0], logs) or stop
        if stop and epoch + 1 >= self.min_epochs:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def _count(self, index, value, epoch):
        """Counts an epoch for one metric; returns whether the metric is stalled."""
        monitor = self._monitors[index]
        self._waits[index] += 1
        if not monitor.improves(value, self._bests[index]):
            return self._waits[index] >= self.patience
        self._bests[index] = value
        if index == 0:
            self._store(epoch)
        # As in Keras, an improvement below the baseline does not end the wait.
        baseline = self.baseline if index == 0 else None
        if monitor.improves(value, baseline):
            self._waits[index] = 0
        return False

    def _store(self, epoch):
        self.best_epoch = epoch
        if self.restore_best_weights:
            with self._measured_weights():
                self.best_weights = copy.deepcopy(self.model.get_weights())
        if self.restore_optimizer:
            variables = self._optimizer_variables()
            self.best_optimizer = host_values(variables)
            self._best_paths = [variable.path for variable in variables]

    def _training_value(self, logs):
        name = self._monitors[0].name.removeprefix("val_")
        return MetricMonitor(name, self._monitors[0].direction).read(logs, self)

    def _overfits(self, value, logs):
        gap = value - self._training_value(logs)
        if self._monitors[0].direction == "max":
            gap = -gap
        self._gap_wait = self._gap_wait + 1 if gap > self.overfit_gap else 0
        return self._gap_wait >= max(self.patience, 1)

    def _criterion_is_exceeded(self, value, logs):
        if self._monitors[0].direction == "max":
            checks.fail(
                "Prechelt's criteria need a metric to minimize",
                monitor=self.monitor,
            )
        self._errors.append(value)
        if self.criterion == "pq":
            self._training_errors.append(self._training_value(logs))
        return _prechelt.is_exceeded(
            self.criterion,
            self.threshold,
            self._errors,
            self._training_errors,
            self.strip,
        )

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self.stopped_epoch > 0 and self.verbose > 0:
            print_message(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.best_weights is None:
            return
        if self.verbose > 0:
            print_message(
                "Restoring model weights from the end of the best epoch: "
                f"{self.best_epoch + 1}."
            )
        self.model.set_weights(self.best_weights)
        if self.best_optimizer is not None:
            self._write_optimizer()

    def _write_optimizer(self):
        variables, values = self._optimizer_variables(), self.best_optimizer
        if [tuple(v.shape) for v in variables] != [np.shape(v) for v in values]:
            # Layers have been frozen or have thawed since: what is there of both.
            by_path = dict(zip(self._best_paths, values, strict=True))
            variables = [v for v in variables if v.path in by_path]
            values = [by_path[variable.path] for variable in variables]
        assign_values(variables, values)

    def _optimizer_variables(self):
        return snapshots.of_optimizers(all_optimizers(self.model))
