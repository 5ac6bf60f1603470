"""Random magnitudes of signals."""

from typing import Any

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor
from keras_strategies.augmentation._base.random_layer import Draws, RandomLayer
from keras_strategies.augmentation.signal._time_ops import curve


@serializable
class RandomMagnitudeScale(RandomLayer):
    """Multiplies the channels of signals by random numbers or by smooth curves.

    For sensors whose sensitivity, or sources whose loudness, varies. The number is
    drawn from `Normal(1, stddev)` for each signal and channel; with `knots`, a curve
    through as many numbers varies along time (magnitude warping in the paper).

    ```
    y[t, c] = a[c] x[t, c]    or    a[t, c] x[t, c]
    ```

    Reference: Um et al., 2017, [Data Augmentation of Wearable Sensor
    Data](https://arxiv.org/abs/1706.00527).

    Works in a model, called directly, and in `tf.data` pipelines on every backend.
    Active in training only.

    Args:
        stddev: Standard deviation of the numbers, at least 0. Defaults to `0.1`.
        knots: Number of knots of a curve, at least 2, or `None` for one number along
            the whole time. Defaults to `None`.
        per_channel: Whether channels have numbers of their own. Defaults to `True`.
        seed: Integer that makes the draws reproducible, or `None`.
            Defaults to `None`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        data: Signals, or a dict with the key `signals`.
        training: Whether to scale. Defaults to `True`, as for Keras's random layers.

    Input shape:
        `(time, channels)` or `(batch, time, channels)`.

    Output shape:
        The same.

    Raises:
        ValueError: If an argument is outside its range.

    Example:

    ```python
    import numpy as np
    from keras_strategies.augmentation.signal import RandomMagnitudeScale

    scaled = RandomMagnitudeScale(0.2, knots=4)(np.random.rand(4, 50, 2))
    ```
    """

    def __init__(
        self,
        stddev: float = 0.1,
        knots: int | None = None,
        per_channel: bool = True,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.stddev: float = checks.real("stddev", stddev, low=0)
        self.knots: int | None = checks.integer("knots", knots, low=2, optional=True)
        self.per_channel: bool = checks.boolean("per_channel", per_channel)

    def _augment(self, batch: Tensor, draws: Draws, ops: Any) -> Tensor:
        count, steps, channels = ops.shape(batch)
        channels = channels if self.per_channel else 1
        numbers = draws.normal((count, channels, self.knots or 1), 1.0, self.stddev)
        if self.knots is not None:
            flat = ops.reshape(numbers, (-1, self.knots))
            curves = curve(flat, steps, ops)
            numbers = ops.reshape(curves, (count, channels, steps))
        return batch * ops.cast(ops.transpose(numbers, (0, 2, 1)), batch.dtype)

    def get_config(self) -> Config:
        names = ("stddev", "knots", "per_channel")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
