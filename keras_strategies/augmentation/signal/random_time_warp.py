"""Smooth changes of the speed of signals."""

from typing import Any

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor
from keras_strategies.augmentation._base.random_layer import Draws, RandomLayer
from keras_strategies.augmentation.signal._time_ops import (
    curve,
    interpolate,
    warped_times,
)


@serializable
class RandomTimeWarp(RandomLayer):
    """Plays signals faster here and slower there, with their ends in place.

    For movements and events whose speed varies from one to the next. The speed is a
    smooth curve (a cubic spline) through random numbers of `Normal(1, stddev)`:

    ```
    y(t) = x(w(t)),    w' = speed, at least 0.1,    w(0) = 0, w(T) = T
    ```

    Reference: Um et al., 2017, [Data Augmentation of Wearable Sensor Data for
    Parkinson's Disease Monitoring using Convolutional Neural
    Networks](https://arxiv.org/abs/1706.00527).

    Works in a model, called directly, and in `tf.data` pipelines on every backend.
    Active in training only.

    Args:
        stddev: Standard deviation of the speed at a knot, at least 0. Defaults to
            `0.2`.
        knots: Number of knots of the curve, at least 2. Defaults to `6`, the paper's
            two ends and four between.
        seed: Integer that makes the draws reproducible, or `None`.
            Defaults to `None`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        data: Signals, or a dict with the key `signals`.
        training: Whether to warp. Defaults to `True`, as for Keras's random layers.

    Input shape:
        `(time, channels)` or `(batch, time, channels)`.

    Output shape:
        The same.

    Raises:
        ValueError: If an argument is outside its range.

    Example:

    ```python
    import numpy as np
    from keras_strategies.augmentation.signal import RandomTimeWarp

    warped = RandomTimeWarp(0.3)(np.random.rand(4, 50, 2))
    ```
    """

    def __init__(
        self,
        stddev: float = 0.2,
        knots: int = 6,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.stddev: float = checks.real("stddev", stddev, low=0)
        self.knots: int = checks.integer("knots", knots, low=2)

    def _augment(self, batch: Tensor, draws: Draws, ops: Any) -> Tensor:
        count, steps, _ = ops.shape(batch)
        speeds = draws.normal((count, self.knots), 1.0, self.stddev)
        positions = warped_times(curve(speeds, steps, ops), ops)
        return interpolate(batch, positions, ops)

    def get_config(self) -> Config:
        return {**super().get_config(), "stddev": self.stddev, "knots": self.knots}
