"""Windows of signals, stretched to the whole length."""

from typing import Any

from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor
from keras_strategies.augmentation._base.factors import checked_factor, constant
from keras_strategies.augmentation._base.random_layer import Draws, RandomLayer
from keras_strategies.augmentation.signal._time_ops import interpolate, times


@serializable
class RandomWindowSlice(RandomLayer):
    """Cuts a window out of each signal at a random place and stretches it to the whole.

    For classes that a part of the signal shows. A window of a fraction `f` of the `T`
    steps begins at `s`, uniform between the first step and the last possible one:

    ```
    y(t) = x(s + f t)
    ```

    Reference: Le Guennec et al., 2016, [Data Augmentation for Time Series
    Classification using Convolutional Neural
    Networks](https://shs.hal.science/halshs-01357973).

    Works in a model, called directly, and in `tf.data` pipelines on every backend.
    Active in training only.

    Args:
        factor: Length of the window as a fraction of the whole, a number or a pair
            `(lower, upper)` from which each signal draws, within `(0, 1]`. Defaults to
            `0.9`, as in the paper.
        seed: Integer that makes the draws reproducible, or `None`.
            Defaults to `None`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        data: Signals, or a dict with the key `signals`.
        training: Whether to slice. Defaults to `True`, as for Keras's random layers.

    Input shape:
        `(time, channels)` or `(batch, time, channels)`.

    Output shape:
        The same.

    Raises:
        ValueError: If `factor` is outside its range.

    Example:

    ```python
    import numpy as np
    from keras_strategies.augmentation.signal import RandomWindowSlice

    parts = RandomWindowSlice((0.7, 1.0))(np.random.rand(4, 50, 2))
    ```
    """

    def __init__(
        self,
        factor: float | tuple[float, float] = 0.9,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.factor: float | tuple[float, float] = checked_factor(
            "factor", factor, 0, low_open=True
        )

    def _augment(self, batch: Tensor, draws: Draws, ops: Any) -> Tensor:
        count, steps, _ = ops.shape(batch)
        low, high = constant(self.factor)
        uniform = draws.uniform((count, 2))
        fraction = low + (high - low) * uniform[:, :1]
        last = ops.cast(steps, "float32") - 1.0
        start = uniform[:, 1:] * (1.0 - fraction) * last
        return interpolate(batch, start + fraction * times(steps, ops), ops)

    def get_config(self) -> Config:
        return {**super().get_config(), "factor": self.factor}
