"""Exponential moving and stochastic averages of the weights."""

import contextlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.kept_parts import give_back_part, take_part
from keras_strategies._internal.keras_private import (
    build_for_fit,
    current_values,
    finish_hooks,
)
from keras_strategies._internal.keras_private.averages import DeviceAverages
from keras_strategies._internal.weights.values import assign_values, host_values
from keras_strategies.callbacks._common import snapshots
from keras_strategies.callbacks._common.batch_counter import BatchCounter
from keras_strategies.callbacks._common.final_weights import FinalWeights
from keras_strategies.callbacks._common.resumable_callback import ResumableCallback
from keras_strategies.callbacks.weights import _batch_norm
from keras_strategies.callbacks.weights._decays import (
    decay_over,
    warn_of_no_average,
    weights_of_steps,
)

_PART = "weight averages"


class WeightAveraging(ResumableCallback, FinalWeights):
    """Averages the weights during training, evaluates and ends with the average.

    An average over the last steps or epochs is often better and more stable than the
    weights of any of them. Two kinds: the exponential moving average over steps, and
    stochastic weight averaging (SWA), the mean over the ends of epochs, for a constant
    high learning rate. Every optimizer is supported; nothing is compiled again. The
    average does not influence training, which continues from the raw weights.

    ```
    ema: average <- d * average + (1 - d) * weights             after each batch t
         d = min(decay, (1 + t) / (10 + t)) with warmup, else decay
    swa: average <- average + (weights - average) / n       after the n-th epoch
    ```

    Averages are float32 on the device and begin with the weights at the start of
    `start_epoch`. The moving statistics of `BatchNormalization` are averaged like
    weights, or estimated again from `batch_norm_data`, which SWA needs.

    The model has the averaged weights during validation (and in `predict` with this
    object among its callbacks) and after `fit`, whatever stopped it. With
    `swap_on_epoch` the callbacks after this one see the average at the end of an epoch
    too, for example `ModelCheckpoint`. `callbacks.EarlyStopping` and `BestWeights` that
    watch a metric of the validation keep and restore averages in any case. If
    validation raises an exception, `restore()` assigns the raw weights again. With
    `steps_per_execution=k` only every k-th step is averaged, with the weight of k
    steps. What `NaNRecovery` rolls back is no part of the average.

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
            at least 1. The decay is adapted to the number of steps; `10` takes a tenth
            of the time and averages almost the same. Defaults to `1`.
        swap_on_epoch: Whether later callbacks see the average at the end of each
            epoch. Defaults to `False`.
        batch_norm_data: Training inputs for the statistics of `BatchNormalization`,
            an array or batches (`x` or `(x, y)`) that can be iterated repeatedly; a few
            thousand samples are enough. They are passed through the model before each
            validation. Defaults to `None`.

    Raises:
        ValueError: If an argument is out of its range; in `fit`, for SWA of a model
            with `BatchNormalization` without `batch_norm_data`, or if another callback
            restores weights at the end that are not averages.

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

    async_safe = True  # `on_train_batch_end` notes a number only
    survives_roll_back = False
    counts_only = False  # while a plan calls hooks of steps that it has averaged
    # pending: steps after the last update, which the next one is to count.
    _state_names = ("averages", "_updates", "_steps", "_pending", "_raw")

    def __init__(
        self,
        method: Literal["ema", "swa"] = "ema",
        decay: float = 0.999,
        warmup: bool = True,
        start_epoch: int = 0,
        update_freq: int = 1,
        swap_on_epoch: bool = False,
        batch_norm_data: Iterable[Any] | None = None,
    ):
        super().__init__()
        self.method: str = checks.choice("method", method, ("ema", "swa"))
        self.decay: float = checks.real("decay", decay, low=0, high=1, high_open=True)
        self.warmup: bool = checks.boolean("warmup", warmup)
        self.start_epoch: int = checks.integer("start_epoch", start_epoch, low=0)
        self.update_freq: int = checks.integer("update_freq", update_freq, low=1)
        self.swap_on_epoch: bool = checks.boolean("swap_on_epoch", swap_on_epoch)
        self.batch_norm_data: Iterable[Any] | None = _batch_norm.check_data(
            batch_norm_data
        )
        self._decay_over = decay_over(self.decay, self.warmup)
        self._fit_model = None  # while a fit runs
        self._raw_model = None  # the model that `_raw` belongs to
        self._raw = None  # the raw weights while the averages are in the model
        self._averages = None
        self._batches = BatchCounter()
        self._in_epoch = False
        self._reset()

    def _reset(self) -> None:
        self.averages = None
        self._updates = self._steps = self._averaged_steps = 0
        self._restored = None  # pending steps of a state that has just been set

    @property
    def averages(self) -> list[np.ndarray | None] | None:
        """The averages as arrays in the order of `model.weights`, or `None`.

        Entries that are not floating point, which have no average, are `None`.
        """
        if self._averages is None:
            return self._last_averages
        arrays = iter(self._averages.arrays())
        return [next(arrays) if is_float else None for is_float in self._is_float]

    @averages.setter
    def averages(self, arrays: Sequence[np.ndarray | None] | None) -> None:
        device, self._averages, self._last_averages = self._averages, None, None
        if arrays is None:
            return
        self._is_float = [array is not None for array in arrays]
        floats = [array for array in arrays if array is not None]
        if device is None and self._fit_model is not None:
            # What was compiled for the averages of an earlier fit is used again.
            device = take_part(self._fit_model, _PART, lambda: None)
        if device is None or not device.assign(floats):
            device = DeviceAverages(floats)
        self._averages = device

    @property
    def averages_weights(self) -> bool:
        """Validation sees the averages."""
        return True

    @contextlib.contextmanager
    def averages_in_model(self) -> Iterator[None]:
        """The model has the averages, in the block."""
        before = self._raw
        self._swap_in()
        try:
            yield
        finally:
            if before is None:
                self._swap_out()

    @property
    def hands_on_weights(self) -> bool:
        """Whether later callbacks see the averages at the end of each epoch."""
        return self.swap_on_epoch

    @property
    def _pending(self) -> int:
        if self._restored is not None:
            return self._restored
        if not self._in_epoch or not self._is_pending or self.method == "swa":
            return 0
        finish_hooks(self)
        return self._batches.so_far - self._averaged_steps

    @_pending.setter
    def _pending(self, steps: int) -> None:
        self._restored = steps

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        if self._resumed:
            self._raw_model = None
        elif self._raw is not None:  # the model has the averages of a checkpoint
            self._raw_model = self.model
            self._swap_out()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        model = self.model
        if not self._resumed:
            self.restore()  # in case the validation of the last fit raised
        super().on_train_begin(logs)
        self._refuse_others_at_the_end()
        if self.method == "swa":
            _batch_norm.need_data(model, self.batch_norm_data)
        for arrays in (self._raw, self.averages):
            if arrays is not None:
                floats = [(a, w) for a, w in _pairs(arrays, model) if a is not None]
                snapshots.check_shapes(*zip(*floats, strict=True), self)
        if self._raw is not None:  # a checkpoint of averages continues from raw weights
            assign_values(model.weights, self._raw)
            self._raw = None
        self._fit_model, self._stays_swapped = model, False
        self._in_epoch = False
        build_for_fit(model)
        if self._restored:
            self._add_steps(self._restored)
        self._restored = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._stays_swapped = False
        self._swap_out()
        self._epoch, self._averaged_steps = epoch, 0
        self._is_pending = epoch >= self.start_epoch
        self._in_epoch, self._restored = True, None
        self._batches.begin_epoch(self._fit_model.optimizer)
        starts = self._is_pending and self._averages is None and self.method == "ema"
        if starts and self._fit_model.built:
            self.averages = [
                value if _is_float(value) else None
                for value in host_values(self._fit_model.weights)
            ]

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        self._batches.begin(batch)
        if self._restored is not None:
            # Steps that were rolled back are no part of the average.
            self._averaged_steps, self._restored = batch - self._restored, None
        steps = batch - self._averaged_steps
        if self._is_pending and self.method == "ema" and steps >= self.update_freq:
            self._averaged_steps = batch
            self._add_steps(steps)

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        self._batches.end(batch)

    def averages_for_steps(
        self, start: int, count: int
    ) -> tuple[DeviceAverages, list[keras.Variable], list[float]] | None:
        """Returns what a program of `count` steps from batch `start` on averages with.

        `(averages, variables, weights)`, one weight a step, by which each average moves
        towards its variable; `None` if nothing is averaged in this epoch. The hooks of
        the steps are called afterwards, with `counts_only`.
        """
        if not self._is_pending or self.method != "ema" or self._averages is None:
            return None
        weights = weights_of_steps(
            self._decay_over,
            start,
            count,
            self._averaged_steps,
            self._steps,
            self.update_freq,
        )
        _, floats = self._float_weights()
        return self._averages, floats, weights

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self._fit_model is not None:
            self._end_epoch()
            self._swap_in()

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._fit_model is not None and not self._stays_swapped:
            self._swap_out()

    def on_predict_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self._fit_model is not None:
            self._swap_in()

    def on_predict_end(self, logs: dict[str, Any] | None = None) -> None:
        self.on_test_end()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._end_epoch()
        if self.swap_on_epoch:
            self._swap_in()
            self._stays_swapped = self._raw is not None

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        model, self._fit_model = self._fit_model, None
        if self._averages is None:
            warn_of_no_average(self.start_epoch)
            return
        # Also if it is assigned already: an optimizer with `use_ema=True` has written
        # its own average over it in `finalize_variable_values`.
        self._raw = None
        if not self._leaves_the_end_to_another():
            self._assign_averages(model)
        # They stay to be read, on the host; the next fit may take what was compiled.
        self._last_averages = self.averages
        give_back_part(model, _PART, self._averages)
        self._averages = None

    def restore(self) -> None:
        """Assigns the raw weights after a fit that failed in validation.

        Does nothing if the model has them already.
        """
        if self._raw is not None and self._raw_model is not None:
            self._swap_out()
        self._fit_model = None

    def _end_epoch(self):
        """Averages the end of an epoch, once: before validation, if there is one."""
        if not self._is_pending:
            return
        self._is_pending = False
        if self.method == "swa":
            if (self._epoch - self.start_epoch) % self.update_freq == 0:
                self._updates += 1
                self._update(1.0 / self._updates)
            return
        if self._restored is not None:  # the last steps were rolled back
            steps, self._restored = self._restored, None
        else:
            total = self._batches.total(self.model, (self.params or {}).get("steps"))
            steps = total - self._averaged_steps
        if steps > 0:
            self._add_steps(steps)

    def _add_steps(self, steps):
        decay = self._decay_over(self._steps, steps)
        self._steps += steps
        self._updates += 1
        self._update(1.0 - decay)

    def _float_weights(self):
        """`(whether each weight is floating point, those that are)`."""
        weights = self._fit_model.weights
        is_float = [keras.backend.is_float_dtype(v.dtype) for v in weights]
        return is_float, [v for v, f in zip(weights, is_float, strict=True) if f]

    def _update(self, weight):
        if self.counts_only:
            return
        self._is_float, floats = self._float_weights()
        if self._averages is None:
            values = iter(host_values(current_values(self._fit_model, floats)))
            self.averages = [next(values) if f else None for f in self._is_float]
            return
        self._averages.move(self._fit_model, floats, weight)

    def _swap_in(self):
        if self._averages is not None and self._raw is None:
            model = self.model
            self._raw, self._raw_model = host_values(model.weights), model
            self._assign_averages(model)

    def _swap_out(self):
        if self._raw is not None:
            assign_values(self._raw_model.weights, self._raw)
            self._raw = self._raw_model = None

    def _assign_averages(self, model):
        for variable, value in zip(model.weights, self.averages, strict=True):
            if value is not None:
                variable.assign(value)
        if self.batch_norm_data is not None:
            _batch_norm.estimate(model, self.batch_norm_data)


def _pairs(arrays, model):
    return itertools.zip_longest(arrays, model.weights, fillvalue=np.zeros(0))


def _is_float(array):
    return keras.backend.is_float_dtype(str(array.dtype))
