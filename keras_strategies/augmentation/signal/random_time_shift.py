"""Shifts of signals along time."""

from typing import Any, Literal

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor
from keras_strategies.augmentation._base.factors import checked_factor, symmetric
from keras_strategies.augmentation._base.random_layer import Draws, RandomLayer
from keras_strategies.augmentation.signal._time_ops import take_steps, times

_FILL_MODES = ("constant", "nearest", "wrap")


@serializable
class RandomTimeShift(RandomLayer):
    """Shifts signals along time by a random number of whole steps.

    For signals whose beginning is arbitrary: windows of a sensor, of sound, of an ECG.

    ```
    y[t] = x[t - s]
    ```

    Reference: Salamon and Bello, 2017, [Deep Convolutional Neural Networks and Data
    Augmentation for Environmental Sound Classification](https://arxiv.org/abs/1608.04363).

    Works in a model, called directly, and in `tf.data` pipelines on every backend.
    Active in training only.

    Args:
        factor: Shift as a fraction of the length, a number `f` for `(-f, f)` or a pair
            within `[-1, 1]`; positive ones are later. Defaults to `0.1`.
        fill_mode: What fills the steps at the end that becomes empty: `"constant"` for
            `fill_value`, `"nearest"` for the outer step, `"wrap"` for the steps that
            left at the other end. Defaults to `"constant"`.
        fill_value: Value for `"constant"`. Defaults to `0.0`.
        seed: Integer that makes the draws reproducible, or `None`.
            Defaults to `None`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        data: Signals, or a dict with the key `signals`.
        training: Whether to shift. Defaults to `True`, as for Keras's random layers.

    Input shape:
        `(time, channels)` or `(batch, time, channels)`.

    Output shape:
        The same.

    Raises:
        ValueError: If an argument is outside its range.

    Example:

    ```python
    import numpy as np
    from keras_strategies.augmentation.signal import RandomTimeShift

    signals = np.random.rand(4, 50, 2)
    shifted = RandomTimeShift(0.2, fill_mode="wrap")(signals)
    ```
    """

    def __init__(
        self,
        factor: float | tuple[float, float] = 0.1,
        fill_mode: Literal["constant", "nearest", "wrap"] = "constant",
        fill_value: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.factor: float | tuple[float, float] = checked_factor("factor", factor)
        self.fill_mode: str = checks.choice("fill_mode", fill_mode, _FILL_MODES)
        self.fill_value: float = checks.real("fill_value", fill_value)

    def _augment(self, batch: Tensor, draws: Draws, ops: Any) -> Tensor:
        count, steps, _ = ops.shape(batch)
        length = ops.cast(steps, "float32")
        low, high = symmetric(self.factor)
        shift = ops.floor(draws.uniform((count, 1), low, high) * length + 0.5)
        source = times(steps, ops) - shift
        if self.fill_mode == "wrap":
            # Half a step, so that rounding does not move a whole period.
            source = source - ops.floor((source + 0.5) / length) * length
        inside = ops.logical_and(source >= 0.0, source < length)
        source = ops.minimum(ops.maximum(source, 0.0), length - 1.0)
        shifted = take_steps(batch, ops.cast(source, "int32"), ops)
        if self.fill_mode != "constant":
            return shifted
        filling = ops.cast(self.fill_value, batch.dtype)
        return ops.where(ops.expand_dims(inside, -1), shifted, filling)

    def get_config(self) -> Config:
        names = ("factor", "fill_mode", "fill_value")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
