"""Averages of the weights along the training."""

import itertools
import warnings

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import batches_seen, current_values
from keras_strategies._internal.keras_private.averages import DeviceAverages
from keras_strategies._internal.walking import innermost_optimizer
from keras_strategies.callbacks import _batch_norm, _snapshots
from keras_strategies.callbacks._resumable import ResumableCallback


class WeightAveraging(ResumableCallback):
    """Averages the weights during training, evaluates and ends with the average.

    An average over the last steps or epochs is often better than any of its points,
    and steadier. Two kinds: the exponential moving average of every step, and
    stochastic weight averaging (SWA), the plain mean of epoch ends, for a rate that
    stays high. Any optimizer will do; nothing is compiled again. The average takes
    part of no step, which go on from the plain weights.

    ```
    ema: average <- d * average + (1 - d) * weights             after each step t
         d = min(decay, (1 + t) / (10 + t)) with warmup, else decay
    swa: average <- average + (weights - average) / n       after the n-th epoch
    ```

    Averages are kept in 32 bits on the device and begin with the weights at the start
    of `start_epoch`. The moving statistics of `BatchNormalization` are averaged like
    weights, or estimated anew with `batch_norm_data`, which SWA needs.

    The average is in the model during validation (and in `predict` with this object
    among its callbacks) and from the end of `fit` on, whoever stopped it. With
    `swap_on_epoch` the callbacks after this one see it at the end of an epoch too:
    `ModelCheckpoint`, `EarlyStopping(restore_best_weights=True)` or `BestWeights`
    then keep averages. If validation fails with an exception, `restore()` brings the
    plain weights back. With `steps_per_execution=k` only every k-th step is seen, and
    weighs as much as k.

    Reference:

    - [Polyak and Juditsky, 1992, Acceleration of Stochastic Approximation by
      Averaging](https://doi.org/10.1137/0330046)
    - [Izmailov et al., 2018, Averaging Weights Leads to Wider Optima and Better
      Generalization](https://arxiv.org/abs/1803.05407)

    Args:
        method: `"ema"` or `"swa"`. Defaults to `"ema"`.
        decay: Decay `d` per step of `"ema"`, in [0, 1). `0.999` averages over about
            1000 steps. Defaults to `0.999`.
        warmup: Whether `"ema"` begins with a smaller decay. Defaults to `True`.
        start_epoch: First epoch, from 0, that is averaged. Defaults to `0`.
        update_freq: Steps (`"ema"`) or epochs (`"swa"`) from one update to the next,
            at least 1. The decay is that of so many steps; `10` costs a tenth and
            averages hardly differently. Defaults to `1`.
        swap_on_epoch: Whether later callbacks see the average at the end of each
            epoch. Defaults to `False`.
        batch_norm_data: Training inputs for the statistics of `BatchNormalization`,
            an array or batches (`x` or `(x, y)`) that can be iterated again and
            again; some thousand samples are enough. They are passed through the
            model before each validation. Defaults to `None`.

    Raises:
        ValueError: If an argument is out of its range; in `fit`, for SWA of a model
            with `BatchNormalization` without `batch_norm_data`.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import callbacks

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", loss="mse")
    average = callbacks.WeightAveraging(decay=0.9)
    x, y = np.ones((32, 4)), np.ones((32, 1))
    data = {"validation_data": (x, y), "epochs": 3, "verbose": 0}
    history = model.fit(x, y, callbacks=[average], **data)
    loss = model.evaluate(x, y, verbose=0)
    print(np.isclose(loss, history.history["val_loss"][-1]))  # True
    ```
    """

    _state_names = ("averages", "_updates", "_steps", "_raw")

    def __init__(
        self,
        method="ema",
        decay=0.999,
        warmup=True,
        start_epoch=0,
        update_freq=1,
        swap_on_epoch=False,
        batch_norm_data=None,
    ):
        super().__init__()
        self.method = checks.choice("method", method, ("ema", "swa"))
        self.decay = checks.real("decay", decay, low=0, high=1, high_open=True)
        self.warmup = checks.boolean("warmup", warmup)
        self.start_epoch = checks.integer("start_epoch", start_epoch, low=0)
        self.update_freq = checks.integer("update_freq", update_freq, low=1)
        self.swap_on_epoch = checks.boolean("swap_on_epoch", swap_on_epoch)
        self.batch_norm_data = _batch_norm.check_data(batch_norm_data)
        self._fit_model = None  # while a fit runs
        self._raw_model = None  # the model that `_raw` belongs to
        self._raw = None  # the plain weights while the averages are in the model
        self._reset()

    def _reset(self):
        self._averages = None
        self._updates = self._steps = 0

    @property
    def averages(self):
        """The averages as arrays in the order of `model.weights`, or `None`.

        Entries that are not floating point, which have no average, are `None`.
        """
        if self._averages is None:
            return None
        arrays = iter(self._averages.arrays())
        return [next(arrays) if is_float else None for is_float in self._is_float]

    @averages.setter
    def averages(self, arrays):
        self._averages = None
        if arrays is not None:
            self._is_float = [array is not None for array in arrays]
            self._averages = DeviceAverages([a for a in arrays if a is not None])

    def set_state(self, state):
        super().set_state(state)
        self._raw_model = None

    def on_train_begin(self, logs=None):
        model = self.model
        if not self._resumed:
            self.restore()  # what a validation that failed has left behind
        super().on_train_begin(logs)
        if (
            self.method == "swa"
            and self.batch_norm_data is None
            and _batch_norm.batch_norm_layers(model)
        ):
            checks.fail(
                "`batch_norm_data` must be given for method='swa' on a model with "
                "BatchNormalization",
                fix="Give training inputs, or use method='ema', which averages the "
                "statistics.",
                batch_norm_data=None,
            )
        for given in (self._raw, self.averages):
            if given is not None:
                floats = [(g, w) for g, w in _pairs(given, model) if g is not None]
                _snapshots.check_fits(*zip(*floats, strict=True), self)
        if self._raw is not None:  # a checkpoint of averages goes on from its weights
            _snapshots.write(model.weights, self._raw)
            self._raw = None
        self._fit_model, self._held = model, False

    def on_epoch_begin(self, epoch, logs=None):
        self._held = False
        self._swap_out()
        self._epoch, self._averaged_to = epoch, 0
        self._open = epoch >= self.start_epoch
        self._seen = self._batches_seen()
        starts = self._open and self._averages is None and self.method == "ema"
        if starts and self._fit_model.built:
            self.averages = [
                value if _is_float(value) else None
                for value in _snapshots.read(self._fit_model.weights)
            ]

    def on_train_batch_begin(self, batch, logs=None):
        steps = batch - self._averaged_to
        if self._open and self.method == "ema" and steps >= self.update_freq:
            self._averaged_to = batch
            self._add_steps(steps)

    def on_test_begin(self, logs=None):
        if self._fit_model is not None:
            self._end_epoch()
            self._swap_in()

    def on_test_end(self, logs=None):
        if self._fit_model is not None and not self._held:
            self._swap_out()

    def on_predict_begin(self, logs=None):
        if self._fit_model is not None:
            self._swap_in()

    def on_predict_end(self, logs=None):
        self.on_test_end()

    def on_epoch_end(self, epoch, logs=None):
        self._end_epoch()
        if self.swap_on_epoch:
            self._swap_in()
            self._held = self._raw is not None

    def on_train_end(self, logs=None):
        model, self._fit_model = self._fit_model, None
        if self._averages is None:
            warnings.warn(
                "WeightAveraging has averaged nothing: the training ended before "
                f"`start_epoch`={self.start_epoch}.",
                stacklevel=2,
            )
            return
        # Also if it is there already: an optimizer's own average may be over it.
        self._raw = None
        self._put(model)

    def restore(self):
        """Puts the plain weights back after a fit that failed in validation.

        Does nothing where they are in place.
        """
        if self._raw is not None and self._raw_model is not None:
            self._swap_out()
        self._fit_model = None

    def _batches_seen(self):
        optimizer = innermost_optimizer(self.model.optimizer)
        return int(keras.ops.convert_to_numpy(batches_seen(optimizer)))

    def _end_epoch(self):
        """Takes in the end of an epoch, once: before validation, if there is one."""
        if not self._open:
            return
        self._open = False
        if self.method == "swa":
            if (self._epoch - self.start_epoch) % self.update_freq == 0:
                self._updates += 1
                self._update(1.0 / self._updates)
            return
        left = self._batches_seen() - self._seen - self._averaged_to
        longest = max(self._fit_model.steps_per_execution, self.update_freq)
        self._add_steps(min(max(left, 1), longest))

    def _add_steps(self, steps):
        kept = 1.0
        for t in range(self._steps + 1, self._steps + steps + 1):
            kept *= min(self.decay, (1 + t) / (10 + t)) if self.warmup else self.decay
        self._steps += steps
        self._updates += 1
        self._update(1.0 - kept)

    def _update(self, weight):
        weights = self._fit_model.weights
        self._is_float = [keras.backend.is_float_dtype(v.dtype) for v in weights]
        floats = [v for v, f in zip(weights, self._is_float, strict=True) if f]
        if self._averages is None:
            values = current_values(self._fit_model, floats)
            self._averages = DeviceAverages(_snapshots.read(values))
            return
        self._averages.move(self._fit_model, floats, weight)

    def _swap_in(self):
        if self._averages is not None and self._raw is None:
            model = self.model
            self._raw, self._raw_model = _snapshots.read(model.weights), model
            self._put(model)

    def _swap_out(self):
        if self._raw is not None:
            _snapshots.write(self._raw_model.weights, self._raw)
            self._raw = self._raw_model = None

    def _put(self, model):
        """Writes the averages into the model."""
        for variable, value in zip(model.weights, self.averages, strict=True):
            if value is not None:
                variable.assign(value)
        if self.batch_norm_data is not None:
            _batch_norm.estimate(model, self.batch_norm_data)


def _pairs(given, model):
    return itertools.zip_longest(given, model.weights, fillvalue=np.zeros(0))


def _is_float(array):
    return keras.backend.is_float_dtype(str(array.dtype))
