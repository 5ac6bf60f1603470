"""Masks and a time warp for spectrograms."""

from typing import Any

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor
from keras_strategies.augmentation._base.random_layer import Draws, RandomLayer
from keras_strategies.augmentation.signal._time_ops import (
    bands,
    bent_times,
    interpolate,
)


@serializable
class SpecAugment(RandomLayer):
    """Masks bands of frequencies and of time of spectrograms, and warps time.

    Lets a network for speech or sound rely on more than one band or moment. Each of
    `frequency_masks` bands has a width drawn from 0 to `frequency_mask_size`, each of
    `time_masks` one from 0 to `min(time_mask_size, time_mask_fraction time)`; their
    positions are uniform. The time warp moves a random step by up to `time_warp` and
    stretches what is before and after it.

    | Paper | `time_warp` | `frequency_masks` | `time_masks` | `time_mask_fraction` |
    |---|---|---|---|---|
    | LB | 80 | 1 of 27 | 1 of 100 | 1.0 |
    | LD | 80 | 2 of 27 | 2 of 100 | 1.0 |
    | SM | 40 | 2 of 15 | 2 of 70 | 0.2 |
    | SS | 40 | 2 of 27 | 2 of 70 | 0.2 |

    Reference: Park et al., 2019, [SpecAugment: A Simple Data Augmentation Method for
    Automatic Speech Recognition](https://arxiv.org/abs/1904.08779).

    Works in a model, called directly, and in `tf.data` pipelines on every backend.
    Active in training only.

    Args:
        frequency_masks: Number of masks along the last axis, at least 0. Defaults to
            `2`.
        frequency_mask_size: Largest width of such a mask, in bins. Defaults to `27`.
        time_masks: Number of masks along time, at least 0. Defaults to `2`.
        time_mask_size: Largest length of such a mask, in steps. Defaults to `100`.
        time_mask_fraction: Largest length as a fraction of the time, in `[0, 1]`.
            Defaults to `1.0`.
        time_warp: Largest shift of the time warp, in steps; 0 for none, as it helps
            least and costs most. Defaults to `0`.
        fill_value: Value of what is masked, or `"mean"` for the mean of each
            spectrogram, which is 0 for normalized ones. Defaults to `0.0`.
        seed: Integer that makes the draws reproducible, or `None`.
            Defaults to `None`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        data: Spectrograms, or a dict with the key `signals`.
        training: Whether to mask. Defaults to `True`, as for Keras's random layers.

    Input shape:
        `(time, frequencies)` or `(batch, time, frequencies)`.

    Output shape:
        The same.

    Raises:
        ValueError: If an argument is outside its range.

    Example:

    ```python
    import numpy as np
    from keras_strategies.augmentation.signal import SpecAugment

    spectrograms = np.random.rand(4, 100, 40)
    masked = SpecAugment(frequency_mask_size=8, time_mask_size=20)(spectrograms)
    ```
    """

    _AXES = "(batch, time, frequencies)"

    def __init__(
        self,
        frequency_masks: int = 2,
        frequency_mask_size: int = 27,
        time_masks: int = 2,
        time_mask_size: int = 100,
        time_mask_fraction: float = 1.0,
        time_warp: int = 0,
        fill_value: float | str = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        sizes = {
            "frequency_masks": frequency_masks,
            "frequency_mask_size": frequency_mask_size,
            "time_masks": time_masks,
            "time_mask_size": time_mask_size,
            "time_warp": time_warp,
        }
        for name, size in sizes.items():
            checks.integer(name, size, low=0)
        self.frequency_masks: int = frequency_masks
        self.frequency_mask_size: int = frequency_mask_size
        self.time_masks: int = time_masks
        self.time_mask_size: int = time_mask_size
        self.time_warp: int = time_warp
        self.time_mask_fraction: float = checks.real(
            "time_mask_fraction", time_mask_fraction, low=0, high=1
        )
        if isinstance(fill_value, str):
            checks.choice("fill_value", fill_value, ("mean",), fix="Or give a number.")
        else:
            checks.real("fill_value", fill_value)
        self.fill_value: float | str = fill_value

    def _augment(self, batch: Tensor, draws: Draws, ops: Any) -> Tensor:
        count, steps, bins = ops.shape(batch)
        if self.time_warp:
            positions = bent_times(
                draws.uniform((count, 2)), steps, self.time_warp, ops
            )
            batch = interpolate(batch, positions, ops)
        longest = ops.floor(self.time_mask_fraction * ops.cast(steps, "float32"))
        longest = ops.minimum(longest, float(self.time_mask_size))
        uniform = draws.uniform((count, 2 * (self.time_masks + self.frequency_masks)))
        split = 2 * self.time_masks
        rows = bands(uniform[:, :split], steps, longest, self.time_masks, ops)
        columns = bands(
            uniform[:, split:],
            bins,
            self.frequency_mask_size,
            self.frequency_masks,
            ops,
        )
        masked = ops.logical_or(ops.expand_dims(rows, -1), ops.expand_dims(columns, 1))
        if self.fill_value == "mean":
            filling = ops.mean(batch, axis=(1, 2), keepdims=True)
        else:
            filling = ops.cast(self.fill_value, batch.dtype)
        return ops.where(masked, filling, batch)

    def get_config(self) -> Config:
        names = (
            "frequency_masks",
            "frequency_mask_size",
            "time_masks",
            "time_mask_size",
            "time_mask_fraction",
            "time_warp",
            "fill_value",
        )
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
