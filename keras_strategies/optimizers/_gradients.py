"""Gradient transforms as pure functions of tensors.

A "unit" of a weight is the part that belongs to one output: all axes but the last,
which numbers the outputs in Keras's kernels. Weights of rank 0 and 1 are one unit.
"""

import math
from collections.abc import Sequence

from keras import ops

from keras_strategies._internal.types import Tensor
from keras_strategies._internal.weights.kernel_axes import as_float32

__all__ = [
    "adaptive_clip",
    "centralize",
    "global_norm",
    "percentile",
    "sharpness_perturbation",
    "stddev_of_noise",
    "unit_norm",
    "zero_non_finite",
]


def global_norm(gradients: Sequence[Tensor]) -> Tensor:
    """Returns the Euclidean norm of all gradients together, a float32 scalar."""
    squares = [ops.sum(ops.square(ops.cast(g, "float32"))) for g in gradients]
    return ops.sqrt(ops.sum(ops.stack(squares)))


def unit_norm(tensor: Tensor) -> Tensor:
    """Returns the norm of each unit, broadcastable against `tensor`."""
    tensor = as_float32(tensor)
    rank = len(tensor.shape)
    axes = tuple(range(rank - 1)) if rank > 1 else None
    return ops.sqrt(ops.sum(ops.square(tensor), axis=axes, keepdims=True))


def centralize(gradient: Tensor) -> Tensor:
    """Subtracts the mean of each unit; does not change gradients of rank 0 and 1.

    ```
    g - mean(g over all axes but the last)
    ```

    Args:
        gradient: Tensor.

    Returns:
        A tensor of the same shape, with units of mean 0.
    """
    rank = len(gradient.shape)
    if rank < 2:
        return gradient
    precise, axes = as_float32(gradient), tuple(range(rank - 1))
    centered = precise - ops.mean(precise, axis=axes, keepdims=True)
    return ops.cast(centered, gradient.dtype)


def adaptive_clip(
    gradient: Tensor, weight: Tensor, clip_factor: float = 0.01, epsilon: float = 1e-3
) -> Tensor:
    """Limits the norm of each unit relative to the norm of its weights (AGC).

    ```
    limit = clip_factor * max(||w||, epsilon)
    g * min(1, limit / ||g||)          for each unit w and its gradient g
    ```

    Args:
        gradient: Tensor.
        weight: Tensor of the same shape.
        clip_factor: Largest ratio of both norms, greater than 0.
        epsilon: Lower bound of the norm of a unit, so that zero weights can learn.

    Returns:
        A tensor of the same shape.
    """
    limit = clip_factor * ops.maximum(unit_norm(weight), epsilon)
    norm = unit_norm(gradient)
    # Above `limit` the norm is not 0.
    scale = ops.where(norm > limit, limit / ops.where(norm > limit, norm, 1.0), 1.0)
    return ops.cast(as_float32(gradient) * scale, gradient.dtype)


def percentile(values: Tensor, count: Tensor, q: float) -> Tensor:
    """Returns the `q`-th percentile of the first `count` of `values`.

    As `numpy.percentile` with linear interpolation, but `count` may be a tensor, so
    that a history can grow inside a compiled step.

    Args:
        values: Tensor of shape `(n,)`.
        count: Number of leading values to use, in [1, n].
        q: Percentile in [0, 100].

    Returns:
        A scalar tensor.
    """
    length = values.shape[0]
    # Unused values sort behind the others; they are never read.
    valid = ops.arange(length, dtype="int32") < ops.cast(count, "int32")
    ranked = ops.sort(ops.where(valid, values, math.inf))
    position = ops.cast(count - 1, "float32") * (q / 100.0)
    low = ops.cast(ops.floor(position), "int32")
    high = ops.minimum(low + 1, ops.cast(count - 1, "int32"))
    fraction = position - ops.floor(position)
    first, second = ops.take(ranked, low), ops.take(ranked, high)
    return first + (second - first) * fraction


def stddev_of_noise(step: Tensor, eta: float = 0.01, gamma: float = 0.55) -> Tensor:
    """Returns the standard deviation of annealed gradient noise.

    ```
    sqrt(eta / (1 + step) ** gamma)
    ```

    Args:
        step: Number of updates so far.
        eta: Variance at step 0, at least 0.
        gamma: Exponent of the decay, at least 0.

    Returns:
        A scalar tensor.
    """
    return ops.sqrt(eta / ops.power(1.0 + ops.cast(step, "float32"), gamma))


def zero_non_finite(gradient: Tensor) -> Tensor:
    """Replaces NaN and infinite elements by 0."""
    return ops.where(ops.isfinite(gradient), gradient, ops.zeros_like(gradient))


def sharpness_perturbation(
    gradients: Sequence[Tensor],
    weights: Sequence[Tensor],
    rho: float = 0.05,
    adaptive: bool = False,
    eta: float = 0.01,
) -> list[Tensor]:
    """Returns the step to the highest loss nearby, to first order (SAM, ASAM).

    ```
    SAM:  rho * g / ||g||
    ASAM: rho * t * t * g / ||t * g||,  t = |w| + eta for kernels, 1 for vectors
    ```

    with `||.||` over all gradients together.

    Args:
        gradients: List of tensors.
        weights: List of tensors of the same shapes.
        rho: Radius of the neighbourhood, greater than 0.
        adaptive: Whether the neighbourhood scales with the weights.
        eta: Added to the scale of each element of a kernel in the adaptive case.

    Returns:
        A list of tensors to add to the weights.
    """
    if not adaptive:
        scale = rho / (global_norm(gradients) + 1e-12)
        return [
            ops.cast(as_float32(g) * ops.cast(scale, as_float32(g).dtype), g.dtype)
            for g in gradients
        ]
    # As in the authors' code, biases and normalization vectors are not scaled.
    scales = [
        ops.abs(w) + eta if len(w.shape) > 1 else ops.ones_like(w) for w in weights
    ]
    scaled = [
        as_float32(t) * as_float32(g) for t, g in zip(scales, gradients, strict=True)
    ]
    radius = rho / (global_norm(scaled) + 1e-12)
    return [
        ops.cast(as_float32(t) * s * ops.cast(radius, s.dtype), g.dtype)
        for t, s, g in zip(scales, scaled, gradients, strict=True)
    ]
