"""Decay and warm-up curves as pure functions of the position in training.

Every function returns a factor on the initial learning rate, so that schedules and
callbacks share one formula. `position` counts from 0 in any unit (optimizer steps,
epochs); `xp` is the array namespace that computes it: `keras.ops` inside a compiled
training step, `numpy` on the host.
"""

import math
from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_strategies._internal.types import Tensor

__all__ = [
    "cosine_decay",
    "exponential_decay",
    "flat_cosine",
    "inverse_square_root",
    "multi_step_decay",
    "step_decay",
    "tanh_decay",
    "warmup_fraction",
    "warmup_stable_decay",
]


def step_decay(
    position: Tensor, decay_steps: float, decay_rate: float, xp: Any = ops
) -> Tensor:
    """Staircase decay: multiplies by `decay_rate` once every `decay_steps`.

    ```
    decay_rate ** floor(position / decay_steps)
    ```

    Args:
        position: Number or tensor, at least 0.
        decay_steps: Length of one step of the staircase, in the unit of `position`.
        decay_rate: Factor from one step of the staircase to the next.
        xp: Array namespace, `keras.ops` or `numpy`.

    Returns:
        The factor, 1 on the first step of the staircase.
    """
    return xp.power(decay_rate, xp.floor(position / decay_steps))


def exponential_decay(
    position: Tensor, decay_steps: float, decay_rate: float, xp: Any = ops
) -> Tensor:
    """Smooth exponential: multiplies by `decay_rate` over each `decay_steps`.

    ```
    decay_rate ** (position / decay_steps)
    ```

    Args:
        position: Number or tensor, at least 0.
        decay_steps: Distance over which the factor falls to `decay_rate`.
        decay_rate: Factor after `decay_steps`.
        xp: Array namespace, `keras.ops` or `numpy`.

    Returns:
        The factor, 1 at position 0.
    """
    return xp.power(decay_rate, position / decay_steps)


def cosine_decay(
    position: Tensor, decay_steps: float, alpha: float = 0.0, xp: Any = ops
) -> Tensor:
    """Half a cosine wave from 1 down to `alpha`, constant afterwards.

    ```
    alpha + (1 - alpha) * (1 + cos(pi * min(position / decay_steps, 1))) / 2
    ```

    Args:
        position: Number or tensor, at least 0.
        decay_steps: Position at which `alpha` is reached.
        alpha: Factor at the end.
        xp: Array namespace, `keras.ops` or `numpy`.

    Returns:
        The factor, 1 at position 0.
    """
    progress = xp.minimum(position / decay_steps, 1.0)
    return alpha + (1.0 - alpha) * 0.5 * (1.0 + xp.cos(math.pi * progress))


def warmup_fraction(
    position: Tensor, warmup_steps: float, shape: str = "linear", xp: Any = ops
) -> Tensor:
    """Warm-up from 0 at position 0 to 1 at `warmup_steps`, constant afterwards.

    ```
    p = min(position / warmup_steps, 1)
    linear: p        cosine: (1 - cos(pi * p)) / 2
    ```

    Args:
        position: Number or tensor, at least 0.
        warmup_steps: Position at which 1 is reached, greater than 0.
        shape: `"linear"` or `"cosine"` (flat at both ends).
        xp: Array namespace, `keras.ops` or `numpy`.

    Returns:
        The fraction of the full learning rate, in [0, 1].
    """
    progress = xp.minimum(position / warmup_steps, 1.0)
    if shape == "cosine":
        return 0.5 * (1.0 - xp.cos(math.pi * progress))
    return progress


def multi_step_decay(
    position: Tensor, milestones: Sequence[float], decay_rate: float, xp: Any = ops
) -> Tensor:
    """Multiplies by `decay_rate` at each milestone.

    ```
    decay_rate ** (number of milestones m with m <= position)
    ```

    Args:
        position: Number or tensor, at least 0.
        milestones: Positions at which the factor is multiplied.
        decay_rate: Factor applied at each milestone.
        xp: Array namespace, `keras.ops` or `numpy`.

    Returns:
        The factor, 1 before the first milestone.
    """
    # A sum of comparisons, not a loop with a condition: compiles on every backend.
    passed = sum(xp.where(position >= mark, 1.0, 0.0) for mark in milestones)
    return xp.power(decay_rate, passed)


def flat_cosine(
    position: Tensor,
    total_steps: float,
    flat_fraction: float,
    alpha: float = 0.0,
    xp: Any = ops,
) -> Tensor:
    """Constant factor 1, then half a cosine wave down to `alpha`.

    ```
    cosine_decay(max(position - flat, 0), total_steps - flat, alpha)
    flat = flat_fraction * total_steps
    ```

    Args:
        position: Number or tensor, at least 0.
        total_steps: Position at which `alpha` is reached.
        flat_fraction: Part of `total_steps` at the full rate, in [0, 1).
        alpha: Factor at the end.
        xp: Array namespace, `keras.ops` or `numpy`.

    Returns:
        The factor, 1 during the flat part.
    """
    flat = flat_fraction * total_steps
    return cosine_decay(
        xp.maximum(position - flat, 0.0), total_steps - flat, alpha, xp=xp
    )


def warmup_stable_decay(
    position: Tensor,
    total_steps: float,
    warmup_steps: float,
    decay_steps: float,
    shape: str = "sqrt",
    alpha: float = 0.0,
    xp: Any = ops,
) -> Tensor:
    """Linear warm-up, plateau at 1, and decay to `alpha` in the last steps.

    With `p` from 0 to 1 over the last `decay_steps`:

    ```
    alpha + (1 - alpha) * d(p)
    linear: 1 - p      cosine: (1 + cos(pi * p)) / 2      sqrt: 1 - sqrt(p)
    ```

    Args:
        position: Number or tensor, at least 0.
        total_steps: Position at which `alpha` is reached.
        warmup_steps: Length of the warm-up from 0, at least 0.
        decay_steps: Length of the decay, greater than 0.
        shape: `"linear"`, `"cosine"` or `"sqrt"`.
        alpha: Factor at the end.
        xp: Array namespace, `keras.ops` or `numpy`.

    Returns:
        The factor, 1 on the plateau.
    """
    start = total_steps - decay_steps
    progress = xp.minimum(xp.maximum(position - start, 0.0) / decay_steps, 1.0)
    if shape == "cosine":
        remaining = 0.5 * (1.0 + xp.cos(math.pi * progress))
    else:
        # 1 - sqrt(p), the cooldown that Hägele et al. (2024) found best.
        remaining = 1.0 - (xp.sqrt(progress) if shape == "sqrt" else progress)
    factor = alpha + (1.0 - alpha) * remaining
    if warmup_steps == 0:
        return factor
    return factor * warmup_fraction(position, warmup_steps, xp=xp)


def inverse_square_root(position: Tensor, warmup_steps: float, xp: Any = ops) -> Tensor:
    """Linear warm-up to 1 at `warmup_steps`, then decay as `1 / sqrt(position)`.

    ```
    min(position / warmup_steps, sqrt(warmup_steps / position))
    ```

    Args:
        position: Number or tensor, at least 0.
        warmup_steps: Position of the peak, greater than 0.
        xp: Array namespace, `keras.ops` or `numpy`.

    Returns:
        The factor, 0 at position 0 and 1 at the peak.
    """
    # Clamped to the peak: the decay is 1 during the warm-up and never divides by 0.
    decay = xp.sqrt(warmup_steps / xp.maximum(position, warmup_steps))
    return warmup_fraction(position, warmup_steps, xp=xp) * decay


def tanh_decay(
    position: Tensor,
    decay_steps: float,
    lower: float = -6.0,
    upper: float = 3.0,
    alpha: float = 0.0,
    xp: Any = ops,
) -> Tensor:
    """Hyperbolic-tangent decay from nearly 1 to nearly `alpha`, constant afterwards.

    ```
    alpha + (1 - alpha) * (1 - tanh(lower + (upper - lower) * p)) / 2
    p = min(position / decay_steps, 1)
    ```

    Args:
        position: Number or tensor, at least 0.
        decay_steps: Position at which the curve ends.
        lower: Argument of tanh at position 0.
        upper: Argument of tanh at the end, greater than `lower`.
        alpha: Factor approached as `upper` goes to infinity.
        xp: Array namespace, `keras.ops` or `numpy`.

    Returns:
        The factor; `alpha + (1 - alpha) * (1 - tanh(lower)) / 2` at position 0.
    """
    progress = xp.minimum(position / decay_steps, 1.0)
    bend = xp.tanh(lower + (upper - lower) * progress)
    return alpha + (1.0 - alpha) * 0.5 * (1.0 - bend)
