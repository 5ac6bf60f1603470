"""Noise on signals."""

from typing import Any

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor
from keras_strategies.augmentation._base.factors import checked_factor
from keras_strategies.augmentation._base.random_layer import Draws, RandomLayer


@serializable
class RandomJitter(RandomLayer):
    """Adds Gaussian noise of a random strength to signals.

    For sensors with noise of their own. Keras's `GaussianNoise` has one strength for
    all, takes no dict, and needs `training=True` outside of a model.

    ```
    y = x + s e,    e ~ Normal(0, 1)
    ```

    Reference: Um et al., 2017, [Data Augmentation of Wearable Sensor
    Data](https://arxiv.org/abs/1706.00527).

    Works in a model, called directly, and in `tf.data` pipelines on every backend.
    Active in training only.

    Args:
        stddev: Strength `s`, a number, or a pair `(lower, upper)` from which each
            signal draws, at least 0. Defaults to `0.05`.
        relative: Whether `s` is a multiple of the standard deviation of each channel
            of the signal. Defaults to `False`.
        seed: Integer that makes the draws reproducible, or `None`.
            Defaults to `None`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        data: Signals, or a dict with the key `signals`.
        training: Whether to add noise. Defaults to `True`, as for Keras's random
            layers.

    Input shape:
        `(time, channels)` or `(batch, time, channels)`.

    Output shape:
        The same.

    Raises:
        ValueError: If an argument is outside its range.

    Example:

    ```python
    import numpy as np
    from keras_strategies.augmentation.signal import RandomJitter

    noisy = RandomJitter((0.0, 0.1), relative=True)(np.random.rand(4, 50, 2))
    ```
    """

    def __init__(
        self,
        stddev: float | tuple[float, float] = 0.05,
        relative: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.stddev: float | tuple[float, float] = checked_factor(
            "stddev", stddev, 0, None
        )
        self.relative: bool = checks.boolean("relative", relative)

    def _augment(self, batch: Tensor, draws: Draws, ops: Any) -> Tensor:
        shape = ops.shape(batch)
        noise = draws.normal(shape)
        if isinstance(self.stddev, tuple):
            strength = draws.uniform((shape[0], 1, 1), *self.stddev)
        else:
            strength = self.stddev
        if self.relative:
            signals = ops.cast(batch, "float32")
            centered = signals - ops.mean(signals, axis=1, keepdims=True)
            variance = ops.mean(ops.square(centered), axis=1, keepdims=True)
            strength = strength * ops.sqrt(variance)
        return batch + ops.cast(noise * strength, batch.dtype)

    def get_config(self) -> Config:
        config = {"stddev": self.stddev, "relative": self.relative}
        return {**super().get_config(), **config}
