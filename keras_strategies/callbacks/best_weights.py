"""Keeping the best weights of a training in memory."""

import copy

import numpy as np

from keras_strategies._internal import checks
from keras_strategies.callbacks import _batch_norm, _snapshots
from keras_strategies.callbacks._monitor import Monitor
from keras_strategies.callbacks._resumable import ResumableCallback


class BestWeights(ResumableCallback):
    """Keeps the weights of the best epochs and puts them back, or their mean.

    `EarlyStopping(restore_best_weights=True)` without the stopping, for any number
    of epochs. The mean of the best few is often better than the best one, and costs
    nothing more to use: averaging the last checkpoints is usual for Transformers.

    ```
    average=False: weights = weights of the best epoch
    average=True:  weights = mean over the k best epochs of their weights
    ```

    At the end of `fit` the model gets these weights. `epochs` and `values` tell, best
    first, which epochs are kept (from 0) and their metric; `restore(rank)` puts any
    of them into the model afterwards. Equal values keep the earlier epoch. The
    weights are in host memory, k copies of them. The optimizer stays as it is.

    Reference:

    - [Vaswani et al., 2017, Attention Is All You Need](
      https://arxiv.org/abs/1706.03762), section 6.1

    Args:
        monitor: Metric to watch. Defaults to `"val_loss"`.
        mode: `"min"`, `"max"` or `"auto"`, which asks the metric. Defaults to
            `"auto"`.
        k: Number of epochs to keep, at least 1. Defaults to `1`.
        average: Whether the model ends with the mean of the kept weights. Numbers
            that are not floating point come from the best epoch. Defaults to
            `False`.
        start_from_epoch: Epochs to ignore at the start. Defaults to `0`.
        batch_norm_data: With `average`: training inputs on which the statistics of
            `BatchNormalization` layers are estimated anew, as an array or batches
            (`x` or `(x, y)`) that can be iterated more than once. Defaults to `None`:
            the statistics are averaged too.

    Raises:
        ValueError: If an argument is out of its range; in `fit`, if the metric is
            unknown.

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
        monitor="val_loss",
        mode="auto",
        k=1,
        average=False,
        start_from_epoch=0,
        batch_norm_data=None,
    ):
        super().__init__()
        self._monitor = Monitor(monitor, mode)
        self.monitor, self.mode = monitor, mode
        self.k = checks.integer("k", k, low=1)
        self.average = checks.boolean("average", average)
        self.start_from_epoch = checks.integer(
            "start_from_epoch", start_from_epoch, low=0
        )
        self.batch_norm_data = _batch_norm.check_data(batch_norm_data)
        if batch_norm_data is not None and not self.average:
            checks.fail(
                "`batch_norm_data` is used only with `average=True`", average=average
            )
        self._reset()

    def _reset(self):
        self._values, self._epochs, self._weights = [], [], []
        self._monitor.warned = False
        self._monitor.direction = None if self.mode == "auto" else self.mode

    @property
    def epochs(self):
        """The kept epochs, best first."""
        return list(self._epochs)

    @property
    def values(self):
        """The metric in the kept epochs, best first."""
        return list(self._values)

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        if self._weights and self.model.built:
            _snapshots.check_fits(self._weights[0], self.model.weights, self)

    def on_epoch_end(self, epoch, logs=None):
        value = self._monitor.read(logs, self)
        if value is None or value != value or epoch < self.start_from_epoch:
            return
        sign = 1 if self._monitor.direction == "min" else -1
        rank = sum(sign * kept <= sign * value for kept in self._values)
        if rank >= self.k:
            return
        self._values.insert(rank, value)
        self._epochs.insert(rank, epoch)
        self._weights.insert(rank, _snapshots.read(self.model.weights))
        for kept in (self._values, self._epochs, self._weights):
            del kept[self.k :]

    def on_train_end(self, logs=None):
        if self._weights:
            self.restore()

    def restore(self, rank=None):
        """Puts kept weights into the model of the last fit.

        Args:
            rank: Position in `epochs`; `None` for what the end of `fit` does.
        """
        if not self._weights:
            checks.fail(
                "BestWeights has no weights to restore",
                fix="Train for an epoch that has the metric first.",
                monitor=self.monitor,
                epochs=[],
            )
        if rank is None and self.average:
            _snapshots.write(self.model.weights, _mean(self._weights))
            if self.batch_norm_data is not None:
                _batch_norm.estimate(self.model, self.batch_norm_data)
            return
        rank = checks.integer("rank", rank or 0, low=0, high=len(self._weights) - 1)
        _snapshots.write(self.model.weights, copy.deepcopy(self._weights[rank]))


def _mean(weights):
    """The mean of several lists of arrays; arrays of integers are the first's."""
    return [
        np.mean(arrays, axis=0, dtype="float64").astype(arrays[0].dtype)
        if arrays[0].dtype.kind not in "iub"
        else arrays[0]
        for arrays in zip(*weights, strict=True)
    ]
