"""The weights of the best epochs, kept in memory."""

import copy
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.weights.values import assign_values, host_values
from keras_strategies.callbacks._common import snapshots
from keras_strategies.callbacks._common.final_weights import FinalWeights
from keras_strategies.callbacks._common.metric_monitor import MetricMonitor
from keras_strategies.callbacks._common.resumable_callback import ResumableCallback
from keras_strategies.callbacks.weights import _batch_norm


class BestWeights(ResumableCallback, FinalWeights):
    """Keeps the weights of the best epochs and restores them, or their mean.

    `EarlyStopping(restore_best_weights=True)` without the stopping, for any number
    of epochs. The mean of the best few is often better than the best alone, at the
    same cost of inference; averaging the last checkpoints is usual for Transformers.

    ```
    average=False: weights = weights of the best epoch
    average=True:  weights = mean over the k best epochs of their weights
    ```

    At the end of `fit` the model has these weights. `epochs` and `values` are the kept
    epochs (from 0) and their metric, best first; `restore(rank)` assigns the weights of
    any of them to the model afterwards. Of equal values the earlier epoch is kept. The
    weights are in host memory, k copies of them. The optimizer is not changed.

    Reference:

    - [Vaswani et al., 2017, Attention Is All You Need](
      https://arxiv.org/abs/1706.03762), section 6.1

    Args:
        monitor: Metric to monitor. Defaults to `"val_loss"`.
        mode: `"min"`, `"max"` or `"auto"`, the direction of the metric. Defaults to
            `"auto"`.
        k: Number of epochs to keep, at least 1. Defaults to `1`.
        average: Whether the model ends with the mean of the kept weights. Numbers
            that are not floating point come from the best epoch. Defaults to
            `False`.
        start_from_epoch: Epochs to ignore at the start. Defaults to `0`.
        batch_norm_data: With `average`: training inputs on which the statistics of
            `BatchNormalization` layers are estimated again, as an array or batches
            (`x` or `(x, y)`) that can be iterated more than once. Defaults to `None`:
            the statistics are averaged too.

    Raises:
        ValueError: If an argument is out of its range; in `fit`, if the metric is
            unknown or, with mode `"auto"`, has no direction that Keras knows, or if
            another callback sets the weights at the end.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import callbacks

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.6), loss="mse")  # a rate that diverges
    best = callbacks.BestWeights("val_loss", k=2)
    x, y = np.ones((8, 4)), np.ones((8, 1))
    data = {"validation_data": (x, y), "epochs": 5, "verbose": 0}
    model.fit(x, y, callbacks=[best], **data)
    print(best.epochs)  # [0, 1]
    ```
    """

    _state_names = ("_values", "_epochs", "_weights")

    def __init__(
        self,
        monitor: str = "val_loss",
        mode: Literal["auto", "min", "max"] = "auto",
        k: int = 1,
        average: bool = False,
        start_from_epoch: int = 0,
        batch_norm_data: Iterable[Any] | None = None,
    ):
        super().__init__()
        self._monitor = MetricMonitor(monitor, mode)
        self.monitor: str = monitor
        self.mode: str = mode
        self.k: int = checks.integer("k", k, low=1)
        self.average: bool = checks.boolean("average", average)
        self.start_from_epoch: int = checks.integer(
            "start_from_epoch", start_from_epoch, low=0
        )
        self.batch_norm_data: Iterable[Any] | None = _batch_norm.check_data(
            batch_norm_data
        )
        if batch_norm_data is not None and not self.average:
            checks.fail(
                "`batch_norm_data` is used only with `average=True`", average=average
            )
        self._reset()

    def _reset(self) -> None:
        self._values, self._epochs, self._weights = [], [], []
        self._monitor.reset()

    @property
    def epochs(self) -> list[int]:
        """The kept epochs, best first."""
        return list(self._epochs)

    @property
    def values(self) -> list[float]:
        """The metric in the kept epochs, best first."""
        return list(self._values)

    @property
    def keeps_validated(self) -> bool:
        """Whether the metric is one of the validation."""
        return self.monitor.startswith("val_")

    @property
    def has_kept(self) -> bool:
        """Whether there are weights to restore."""
        return bool(self._weights)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        super().on_train_begin(logs)
        self._refuse_others_at_the_end()
        if self._weights and self.model.built:
            snapshots.check_shapes(self._weights[0], self.model.weights, self)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        value = self._monitor.read(logs, self)
        if value is None or value != value or epoch < self.start_from_epoch:
            return
        sign = 1 if self._monitor.direction == "min" else -1
        # Behind all values that are as good: of equal values the earlier is kept.
        rank = sum(sign * v <= sign * value for v in self._values)
        if rank >= self.k:
            return
        self._values.insert(rank, value)
        self._epochs.insert(rank, epoch)
        with self._measured_weights():
            self._weights.insert(rank, host_values(self.model.weights))
        for items in (self._values, self._epochs, self._weights):
            del items[self.k :]

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._weights:
            self.restore()

    def restore(self, rank: int | None = None) -> None:
        """Assigns kept weights to the model of the last fit.

        Args:
            rank: Position in `epochs`. Defaults to `None`: the best epoch or, with
                `average=True`, the mean.
        """
        if not self._weights:
            checks.fail(
                "BestWeights has no weights to restore",
                fix="Train for an epoch that has the metric first.",
                monitor=self.monitor,
                epochs=[],
            )
        if rank is None and self.average:
            assign_values(self.model.weights, _mean(self._weights))
            if self.batch_norm_data is not None:
                _batch_norm.estimate(self.model, self.batch_norm_data)
            return
        rank = checks.integer("rank", rank or 0, low=0, high=len(self._weights) - 1)
        assign_values(self.model.weights, copy.deepcopy(self._weights[rank]))


def _mean(weights):
    """The mean of several lists of arrays; integer arrays are those of the first."""
    return [
        np.mean(arrays, axis=0, dtype="float64").astype(arrays[0].dtype)
        if arrays[0].dtype.kind not in "iub"
        else arrays[0]
        for arrays in zip(*weights, strict=True)
    ]
