"""Base class of layers that add noise to pixels."""

from typing import Any

from keras_strategies._internal.keras_private import backend_ops
from keras_strategies._internal.types import Config, Tensor, Tensors
from keras_strategies.augmentation._base.image_layer import (
    ImageLayer,
    checked_value_range,
)


class NoiseLayer(ImageLayer):
    """Base of layers that add normally distributed noise and clip to the range.

    A subclass returns the standard deviation in `_deviation(images, uniform, ops)`, for
    images in `[0, 1]`.
    """

    _DRAWS = 2

    def __init__(
        self, value_range: tuple[float, float], seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.value_range: tuple[float, float] = checked_value_range(value_range)

    def _draw_more(
        self, data: Tensors, drawn: dict[str, Any], seed: Any
    ) -> dict[str, Any]:
        images = data["images"] if isinstance(data, dict) else data
        shape = tuple(backend_ops(self.backend).shape(images))
        shape = shape if len(shape) == 4 else (1, *shape)
        noise = self.backend.random.normal(shape, dtype="float32", seed=seed)
        return {"noise": noise}

    def _augment(self, images: Tensor, transformation: Any) -> Tensor:
        ops = backend_ops(self.backend)
        low, high = self.value_range
        values = (ops.cast(images, "float32") - low) / (high - low)
        deviation = self._deviation(values, transformation["uniform"], ops)
        noisy = ops.clip(values + deviation * transformation["noise"], 0.0, 1.0)
        return ops.cast(noisy * (high - low) + low, images.dtype)

    def _deviation(self, images: Tensor, uniform: Tensor, ops: Any) -> Tensor:
        raise NotImplementedError

    def _drawn(
        self, bounds: float | tuple[float, float], uniform: Tensor, i: int, ops: Any
    ) -> Any:
        """Returns a number for each image, `(batch, 1, 1, 1)`, or one for all."""
        if not isinstance(bounds, tuple):
            return bounds
        number = bounds[0] + (bounds[1] - bounds[0]) * uniform[:, i]
        return ops.reshape(number, (-1, 1, 1, 1))

    def get_config(self) -> Config:
        return {**super().get_config(), "value_range": self.value_range}
