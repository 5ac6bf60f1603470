"""Kernels by their input and output channels, and their rounding.

Arrays are NumPy's; output channels of depthwise kernels are numbered as in what the
layer returns: channel `i * multiplier + j`.
"""

from typing import Any

import keras
import numpy as np

_LAYERS = keras.layers
DEPTHWISE = (_LAYERS.DepthwiseConv1D, _LAYERS.DepthwiseConv2D)
CONVOLUTIONS = (_LAYERS.Conv1D, _LAYERS.Conv2D, *DEPTHWISE)
WEIGHTED = (_LAYERS.Dense, *CONVOLUTIONS)


def is_weighted(layer: Any) -> bool:
    """Whether the rescue knows the kernel of a layer: an ordinary float one."""
    if not isinstance(layer, WEIGHTED) or not layer.built:
        return False
    if not type(layer).__module__.startswith("keras."):
        return False
    plain = not getattr(layer, "lora_enabled", False)
    return plain and layer.dtype_policy.quantization_mode is None


def kernel_of(layer: Any) -> np.ndarray:
    """The kernel as float64."""
    return np.array(keras.ops.convert_to_numpy(layer.kernel), "float64")


def bias_of(layer: Any) -> np.ndarray:
    """The bias as float64; zeros without one."""
    if layer.use_bias:
        return np.array(keras.ops.convert_to_numpy(layer.bias), "float64")
    return np.zeros(num_outputs(layer))


def num_outputs(layer: Any) -> int:
    """Number of output channels."""
    shape = layer.kernel.shape
    return int(shape[-1] * shape[-2] if isinstance(layer, DEPTHWISE) else shape[-1])


def by_output(layer: Any, kernel: np.ndarray) -> np.ndarray:
    """The kernel as a matrix with a column for each output channel."""
    return kernel.reshape(-1, num_outputs(layer))


def scale_outputs(layer: Any, kernel: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """The kernel with each output channel times its factor."""
    return (by_output(layer, kernel) * factor).reshape(kernel.shape)


def scale_inputs(layer: Any, kernel: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """The kernel with each input channel times its factor."""
    # The input axis is the last but one, of depthwise kernels too.
    return kernel * factor[:, None]


def input_ranges(layer: Any, kernel: np.ndarray) -> np.ndarray:
    """The largest `|w|` of each input channel."""
    moved = np.moveaxis(np.abs(kernel), -2, 0)
    return moved.reshape(len(moved), -1).max(axis=1)


def output_ranges(layer: Any, kernel: np.ndarray) -> np.ndarray:
    """The largest `|w|` of each output channel."""
    return np.abs(by_output(layer, kernel)).max(axis=0)


def scales(layer: Any, kernel: np.ndarray, bits: int, per_channel: bool) -> np.ndarray:
    """The distance of two values, of each output channel: `max |w| / (2^(b-1) - 1)`."""
    limits = output_ranges(layer, kernel)
    if not per_channel:
        limits = np.full_like(limits, limits.max())
    return np.where(limits > 0, limits, 1.0) / (2 ** (bits - 1) - 1)


def rounded(layer: Any, kernel: np.ndarray, bits: int, per_channel: bool) -> np.ndarray:
    """The kernel rounded to the nearest of the `2^b - 1` symmetric values."""
    step = scales(layer, kernel, bits, per_channel)
    columns = np.round(by_output(layer, kernel) / step) * step
    return columns.reshape(kernel.shape)


def assign(layer: Any, kernel: np.ndarray, bias: np.ndarray | None = None) -> None:
    """Sets the kernel, and the bias of a layer that has one."""
    layer.kernel.assign(kernel.astype("float32"))
    if bias is not None and layer.use_bias:
        layer.bias.assign(bias.astype("float32"))
