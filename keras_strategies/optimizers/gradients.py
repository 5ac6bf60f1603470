"""What can be done to gradients, as pure functions on tensors.

A "unit" of a weight is what belongs to one output: all axes but the last, where
Keras keeps the outputs of kernels. Weights of rank 0 and 1 are one unit.
"""

import math

from keras import ops

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


def global_norm(gradients):
    """The Euclidean norm of all gradients together, a float32 scalar."""
    squares = [ops.sum(ops.square(ops.cast(g, "float32"))) for g in gradients]
    return ops.sqrt(ops.sum(ops.stack(squares)))


def unit_norm(tensor):
    """The norm of each unit, with the rank of `tensor`."""
    rank = len(tensor.shape)
    axes = tuple(range(rank - 1)) if rank > 1 else None
    return ops.sqrt(ops.sum(ops.square(tensor), axis=axes, keepdims=True))


def centralize(gradient):
    """Subtracts the mean of each unit; gradients of rank 0 and 1 stay.

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
    return gradient - ops.mean(gradient, axis=tuple(range(rank - 1)), keepdims=True)


def adaptive_clip(gradient, weight, clip_factor=0.01, epsilon=1e-3):
    """Limits the norm of each unit relative to the norm of its weights (AGC).

    ```
    limit = clip_factor * max(||w||, epsilon)
    g * min(1, limit / ||g||)          for each unit w and its gradient g
    ```

    Args:
        gradient: Tensor.
        weight: Tensor of the same shape.
        clip_factor: Largest ratio of both norms, greater than 0.
        epsilon: Smallest norm of a unit, so that zeros can still learn.

    Returns:
        A tensor of the same shape.
    """
    limit = clip_factor * ops.maximum(unit_norm(weight), epsilon)
    norm = unit_norm(gradient)
    return gradient * ops.where(norm > limit, limit / ops.maximum(norm, 1e-6), 1.0)


def percentile(values, count, q):
    """The `q`-th percentile of the first `count` of `values`.

    As `numpy.percentile` with linear interpolation, but with a number of values that
    may be a tensor, so that a history can fill up inside a compiled step.

    Args:
        values: Tensor of shape `(n,)`.
        count: Number of values that count, in [1, n], from the front.
        q: Percentile in [0, 100].

    Returns:
        A scalar tensor.
    """
    length = values.shape[0]
    valid = ops.arange(length, dtype="int32") < ops.cast(count, "int32")
    ranked = ops.sort(ops.where(valid, values, math.inf))
    position = ops.cast(count - 1, "float32") * (q / 100.0)
    low = ops.cast(ops.floor(position), "int32")
    high = ops.minimum(low + 1, ops.cast(count - 1, "int32"))
    part = position - ops.floor(position)
    first, second = ops.take(ranked, low), ops.take(ranked, high)
    return first + (second - first) * part


def stddev_of_noise(step, eta=0.01, gamma=0.55):
    """The standard deviation of annealed gradient noise.

    ```
    sqrt(eta / (1 + step) ** gamma)
    ```

    Args:
        step: Number of updates so far.
        eta: Variance at step 0, at least 0.
        gamma: How fast the variance falls, at least 0.

    Returns:
        A scalar tensor.
    """
    return ops.sqrt(eta / ops.power(1.0 + ops.cast(step, "float32"), gamma))


def zero_non_finite(gradient):
    """Replaces NaN and infinite elements by 0."""
    return ops.where(ops.isfinite(gradient), gradient, ops.zeros_like(gradient))


def sharpness_perturbation(gradients, weights, rho=0.05, adaptive=False, eta=0.01):
    """The step to where the loss is highest nearby (SAM, ASAM).

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
        eta: Smallest scale of a kernel's element in the adaptive case.

    Returns:
        A list of tensors to add to the weights.
    """
    if not adaptive:
        scale = rho / (global_norm(gradients) + 1e-12)
        return [g * ops.cast(scale, g.dtype) for g in gradients]
    sizes = [
        ops.abs(w) + eta if len(w.shape) > 1 else ops.ones_like(w) for w in weights
    ]
    scaled = [t * g for t, g in zip(sizes, gradients, strict=True)]
    scale = rho / (global_norm(scaled) + 1e-12)
    return [
        t * s * ops.cast(scale, s.dtype) for t, s in zip(sizes, scaled, strict=True)
    ]
