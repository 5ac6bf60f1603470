"""Layers that quantize activations and affine functions of them."""

from typing import Any

import keras
from keras import ops

from keras_strategies._internal import bases
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.wrapping import deserialized
from keras_strategies.compression.quantization import (
    _fake_quantization,
    _unset_range,
)
from keras_strategies.layers import LayerScale


@serializable
class FakeQuantize(bases.Layer):
    """Rounds activations to 8 bits of a range that it learns during training.

    The range is a moving average of the batches' minima and maxima that starts with
    the first batch. It does not change if `trainable` is False; without any range,
    inputs pass unchanged outside of training.

    Args:
        momentum: Of the moving average, in [0, 1]. Defaults to 0.99.
        bits: From 2 to 8. Defaults to 8.
        narrow_range: Whether there is one value less, so that a symmetric range has 0
            in its middle. Defaults to `False`.
        **kwargs: As for `keras.layers.Layer`.
    """

    def __init__(
        self,
        momentum: float = 0.99,
        bits: int = 8,
        narrow_range: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.momentum = momentum
        self.bits = bits
        self.narrow_range = narrow_range
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        # Never in half precision: a range must not overflow.
        self.range = self.add_weight(
            shape=(2,),
            initializer="zeros",
            dtype="float32",
            trainable=False,
            autocast=False,
            name="range",
        )

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        values = ops.cast(inputs, "float32")
        limits = ops.convert_to_tensor(self.range)
        if training and self.trainable:
            batch = _fake_quantization.batch_range(values)
            limits = _fake_quantization.next_range(limits, batch, self.momentum)
            self.range.assign(limits)
        outputs = _fake_quantization.fake_quantize(
            values, limits, self.bits, self.narrow_range
        )
        if not (training and self.trainable):
            _unset_range.warn_in_export(self)
            # The converter to .tflite folds this, as the range is a constant there.
            outputs = ops.where(_fake_quantization.is_set(limits), outputs, values)
        return ops.cast(outputs, inputs.dtype)

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> Any:
        return keras.KerasTensor(inputs.shape, dtype=inputs.dtype)

    def quantize(self, *args: Any, **kwargs: Any) -> None:
        """Refuses `model.quantize`, which would round rounded weights again."""
        _fake_quantization.refuse_quantize(self.name)

    @property
    def simulated_quantization(self) -> dict[str, Any]:
        """The description that `_internal.quantized` reads."""
        low, high = (float(v) for v in ops.convert_to_numpy(self.range.value))
        is_set = (low, high) != (0.0, 0.0)
        return {
            "kind": "activation",
            "name": self.name,
            "bits": self.bits,
            "range": (low, high) if is_set else None,
        }

    def get_config(self) -> dict[str, Any]:
        config = {
            "momentum": self.momentum,
            "bits": self.bits,
            "narrow_range": self.narrow_range,
        }
        return super().get_config() | config


@serializable
class QuantizedAffine(bases.Layer):
    """A layer that scales and shifts, as a product and a sum in 8 bits each.

    For BatchNormalization that is not folded into a convolution, Normalization,
    Rescaling and LayerScale. In training, BatchNormalization normalizes by the batch as
    usual.

    Args:
        layer: One of these layers, or its config.
        momentum: Of the range of the product, in [0, 1]. Defaults to 0.99.
        batch_statistics: Whether BatchNormalization uses those of the batch in
            training. Defaults to `True`.
        **kwargs: As for `keras.layers.Layer`.
    """

    def __init__(
        self,
        layer: Any,
        momentum: float = 0.99,
        batch_statistics: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.layer = layer = deserialized(layer)
        self.momentum = momentum
        self.batch_statistics = batch_statistics
        # Without an offset the product is the output, which gets a range in any case.
        self.product = None
        is_product = isinstance(layer, keras.layers.Rescaling) and _is_zero(
            layer.offset
        )
        if not is_product and not is_layer_scale(layer):
            self.product = FakeQuantize(
                momentum, name="product", dtype=self.dtype_policy
            )
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        if not self.layer.built:
            self.layer.build(input_shape)
        if self.product is not None:
            self.product.build(input_shape)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        layer = self.layer
        scale, offset = affine(layer, len(inputs.shape))
        product = inputs * ops.cast(scale, inputs.dtype)
        if self.product is None:
            return product
        product = self.product(product, training=training)
        if training and self.batch_statistics and trains_statistics(layer):
            # The product above only learns its range.
            return layer(inputs, training=training, mask=mask)
        return product + ops.cast(offset, inputs.dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        layer = keras.saving.serialize_keras_object(self.layer)
        config = {
            "layer": layer,
            "momentum": self.momentum,
            "batch_statistics": self.batch_statistics,
        }
        return super().get_config() | config


def is_layer_scale(layer: Any) -> bool:
    """Whether a layer multiplies each channel by a weight: that of Keras's ConvNeXt.

    The class has no public name; ours computes the same.
    """
    kind = type(layer)
    return kind is LayerScale or (
        kind.__name__ == "LayerScale" and kind.__module__.startswith("keras.")
    )


def affine(layer: Any, rank: int) -> tuple[Any, Any]:
    """`(scale, offset)` of a layer at inference, broadcast to tensors of `rank`."""
    if isinstance(layer, keras.layers.Rescaling):
        return ops.convert_to_tensor(layer.scale), ops.convert_to_tensor(layer.offset)
    if is_layer_scale(layer):
        shape = [1] * rank
        shape[getattr(layer, "axis", -1)] = -1
        return ops.reshape(layer.gamma, shape), 0.0
    if isinstance(layer, keras.layers.Normalization):
        deviation = ops.maximum(ops.sqrt(layer.variance), keras.config.epsilon())
        return 1.0 / deviation, -layer.mean / deviation
    scale, offset = batch_norm_affine(layer)
    shape = [1] * rank
    shape[layer.axis] = -1
    return ops.reshape(scale, shape), ops.reshape(offset, shape)


def batch_norm_affine(layer: Any) -> tuple[Any, Any]:
    """`(scale, offset)` of BatchNormalization at inference, one number a channel."""
    scale = ops.rsqrt(layer.moving_variance + layer.epsilon)
    if layer.scale:
        scale = scale * layer.gamma
    offset = -layer.moving_mean * scale
    if layer.center:
        offset = offset + layer.beta
    return scale, offset


def trains_statistics(layer: Any) -> bool:
    """Whether a call in training uses the statistics of the batch."""
    return isinstance(layer, keras.layers.BatchNormalization) and layer.trainable


def _is_zero(value):
    return isinstance(value, int | float) and value == 0
