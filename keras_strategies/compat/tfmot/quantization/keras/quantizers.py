"""`tfmot.quantization.keras.quantizers` for Keras 3."""

import abc
from typing import Any, Self

import keras
from keras import ops

from keras_strategies._internal import checks
from keras_strategies.compat.tfmot.quantization import _rounding

__all__ = [
    "AllValuesQuantizer",
    "FixedQuantizer",
    "LastValueQuantizer",
    "MovingAverageQuantizer",
    "Quantizer",
]


class Quantizer(abc.ABC):
    """Quantization of a tensor; subclass it for a custom one, on `keras.ops`."""

    @abc.abstractmethod
    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """Creates variables by `layer.add_weight`; returns them in a dict."""

    @abc.abstractmethod
    def __call__(
        self, inputs: Any, training: bool, weights: dict[str, Any], **kwargs: Any
    ) -> Any:
        """Returns `inputs` quantized; `weights` is what `build` returned."""

    @abc.abstractmethod
    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Returns a quantizer from its config."""
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Quantizer) or type(self) is not type(other):
            return False
        return self.get_config() == other.get_config()

    def __hash__(self) -> int:
        return hash((type(self), *self.get_config().items()))


class _RangeQuantizer(Quantizer):
    """Quantizes by a range that it computes from batches."""

    # Ranges start from minus this to this.
    start: float = 6.0

    def __init__(
        self, num_bits: int, per_axis: bool, symmetric: bool, narrow_range: bool
    ) -> None:
        self.num_bits: int = checks.integer("num_bits", num_bits, low=2, high=8)
        self.per_axis: bool = checks.boolean("per_axis", per_axis)
        self.symmetric: bool = checks.boolean("symmetric", symmetric)
        self.narrow_range: bool = checks.boolean("narrow_range", narrow_range)

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """Creates the variables of the range; returns them in a dict."""
        # Activations have no shape here: they have one range.
        shape = ()
        if self.per_axis and tensor_shape is not None:
            shape = (tensor_shape[-1],)
        return {
            key: layer.add_weight(
                shape=shape,
                initializer=keras.initializers.Constant(sign * self.start),
                trainable=False,
                name=f"{name}_{key[:3]}",
            )
            for key, sign in (("min_var", -1.0), ("max_var", 1.0))
        }

    def __call__(
        self, inputs: Any, training: bool, weights: dict[str, Any], **kwargs: Any
    ) -> Any:
        """Returns `inputs` quantized."""
        low, high = (
            ops.convert_to_tensor(weights[key]) for key in ("min_var", "max_var")
        )
        if training:
            batch = _rounding.batch_range(
                inputs, self.num_bits, low.shape, self.symmetric, self.narrow_range
            )
            low, high = self._next((low, high), batch)
            weights["min_var"].assign(low)
            weights["max_var"].assign(high)
        return _rounding.fake_quantize(
            inputs, low, high, self.num_bits, self.narrow_range
        )

    def _next(self, current: Any, batch: Any) -> Any:
        """The range after a batch, `(low, high)`."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        names = ("num_bits", "per_axis", "symmetric", "narrow_range")
        return {name: getattr(self, name) for name in names}


class LastValueQuantizer(_RangeQuantizer):
    """Quantizes by the range of the current values, as weights are.

    Args:
        num_bits: From 2 to 8.
        per_axis: Whether each index of the last axis has a range.
        symmetric: Whether ranges are symmetric about 0.
        narrow_range: Whether there is one value less, so that 0 is in the middle.
    """

    def _next(self, current: Any, batch: Any) -> Any:
        return batch


class MovingAverageQuantizer(_RangeQuantizer):
    """Quantizes by a moving average of the batches' ranges, from -6 to 6 at first.

    The weight of a batch is 0.001, so it takes thousands of steps;
    `quantize_model` starts at the first batch instead. Arguments as for
    `LastValueQuantizer`.
    """

    def _next(self, current: Any, batch: Any) -> Any:
        # The momentum of TFMOT.
        pairs = zip(current, batch, strict=True)
        return tuple(old * 0.999 + new * 0.001 for old, new in pairs)


class AllValuesQuantizer(_RangeQuantizer):
    """Quantizes by the smallest and the largest of all values so far.

    Arguments as for `LastValueQuantizer`.
    """

    start: float = 0.0

    def _next(self, current: Any, batch: Any) -> Any:
        return ops.minimum(current[0], batch[0]), ops.maximum(current[1], batch[1])


class FixedQuantizer(Quantizer):
    """Quantizes by a fixed range.

    Args:
        num_bits: From 2 to 8.
        init_min: The smallest value.
        init_max: The largest value.
        narrow_range: Whether there is one value less.
    """

    def __init__(
        self, num_bits: int, init_min: float, init_max: float, narrow_range: bool
    ) -> None:
        self.num_bits: int = checks.integer("num_bits", num_bits, low=2, high=8)
        self.init_min: float = checks.real("init_min", init_min)
        self.init_max: float = checks.real("init_max", init_max)
        self.narrow_range: bool = checks.boolean("narrow_range", narrow_range)

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """Creates the variables of the range; returns them in a dict."""
        return {}

    def __call__(
        self, inputs: Any, training: bool, weights: dict[str, Any], **kwargs: Any
    ) -> Any:
        """Returns `inputs` quantized."""
        low, high = (
            ops.convert_to_tensor(limit, "float32")
            for limit in (self.init_min, self.init_max)
        )
        return _rounding.fake_quantize(
            inputs, low, high, self.num_bits, self.narrow_range
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        names = ("num_bits", "init_min", "init_max", "narrow_range")
        return {name: getattr(self, name) for name in names}
