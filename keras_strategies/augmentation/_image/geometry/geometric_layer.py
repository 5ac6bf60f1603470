"""Base class of image layers that read images at other positions."""

from collections.abc import Callable
from typing import Any, Literal

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import backend_ops
from keras_strategies._internal.types import Config, Tensor
from keras_strategies.augmentation._base.spatial_layer import SpatialLayer
from keras_strategies.augmentation._common.affine_maps import sample
from keras_strategies.augmentation._common.compiled import apply

_FILL_MODES = ("constant", "nearest", "reflect", "wrap")

# (x, y, numbers, height, width, *settings, ops) -> (x, y), 0 at the edges.
Move = Callable[..., tuple[Tensor, Tensor]]


def resample(
    images: Tensor,
    numbers: Tensor,
    source: Move,
    settings: Any,
    interpolation: str,
    fill_mode: str,
    fill_value: float,
    ops: Any = keras.ops,
) -> Tensor:
    """Reads each pixel of the output at its position in the input.

    Args:
        images: Tensor `(batch, height, width, channels)`.
        numbers: Tensor `(batch, n)` from which `source` derives the positions.
        source: Function from positions in the output to those in the input.
        settings: Its settings.
        interpolation: As for `sample`.
        fill_mode: As for `sample`.
        fill_value: As for `sample`.
        ops: Namespace of operations.
    """
    batch, height, width, _ = ops.shape(images)
    x = ops.reshape(ops.arange(width, dtype="float32"), (1, 1, -1)) + 0.5
    y = ops.reshape(ops.arange(height, dtype="float32"), (1, -1, 1)) + 0.5
    x, y = (ops.broadcast_to(p, (batch, height, width)) for p in (x, y))
    flat = [ops.reshape(p, (batch, height * width)) for p in (x, y)]
    moved = source(*flat, numbers, height, width, *settings, ops=ops)
    positions = [ops.reshape(p, (batch, height, width)) - 0.5 for p in moved]
    return sample(images, positions, interpolation, fill_mode, fill_value, ops)


class GeometricLayer(SpatialLayer):
    """Base of layers whose images are read at positions that `_SOURCE` gives.

    A subclass sets the functions from positions in the output to the input, `_SOURCE`,
    and back, `_TARGET`, and their settings in `_settings`. Masks, boxes and keypoints
    follow.
    """

    _POINTS = 5
    _SOURCE: Move
    _TARGET: Move

    def __init__(
        self,
        interpolation: Literal["nearest", "bilinear"],
        fill_mode: Literal["constant", "nearest", "reflect", "wrap"],
        fill_value: float,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.interpolation: str = checks.choice(
            "interpolation", interpolation, ("nearest", "bilinear")
        )
        self.fill_mode: str = checks.choice("fill_mode", fill_mode, _FILL_MODES)
        self.fill_value: float = checks.real("fill_value", fill_value)

    def _settings(self) -> tuple[Any, ...]:
        return ()

    def _numbers(self, transformation: Any) -> Tensor:
        return transformation["uniform"]

    def _augment(self, images: Tensor, transformation: Any) -> Tensor:
        return self._resampled(images, transformation, self.interpolation)

    def _augment_masks(self, masks: Tensor, transformation: Any) -> Tensor:
        return self._resampled(masks, transformation, "nearest")

    def _resampled(
        self, images: Tensor, transformation: Any, interpolation: str
    ) -> Tensor:
        return apply(
            resample,
            images,
            self._numbers(transformation),
            type(self)._SOURCE,
            self._settings(),
            interpolation,
            self.fill_mode,
            self.fill_value,
            layer=self,
        )

    def _move(self, transformation: Any) -> Callable[..., Any]:
        ops = backend_ops(self.backend)
        size = transformation["height"], transformation["width"]
        numbers, settings = self._numbers(transformation), self._settings()

        def move(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            return type(self)._TARGET(x, y, numbers, *size, *settings, ops=ops)

        return move

    def get_config(self) -> Config:
        names = ("interpolation", "fill_mode", "fill_value")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
