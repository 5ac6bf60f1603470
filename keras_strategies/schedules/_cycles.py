"""Cyclical curves as pure functions of the position in training.

As in `_curves`, `position` counts from 0 in any unit, and `xp` is the array
namespace: `keras.ops` in a compiled step, `numpy` on the host.
"""

import math
from typing import Any

from keras import ops

from keras_strategies._internal.types import Tensor

__all__ = ["one_cycle", "one_cycle_momentum", "triangular_wave"]


def _anneal(start: float, end: float, progress: Tensor, shape: str, xp: Any) -> Tensor:
    """Interpolates from `start` to `end` as `progress` goes from 0 to 1."""
    if shape == "cosine":
        progress = 0.5 * (1.0 - xp.cos(math.pi * progress))
    return start + (end - start) * progress


def one_cycle(
    position: Tensor,
    total_steps: float,
    warmup_fraction: float,
    start: float,
    peak: float,
    end: float,
    shape: str = "cosine",
    xp: Any = ops,
) -> Tensor:
    """Anneals from `start` to `peak`, then to `end`, constant afterwards.

    ```
    up = warmup_fraction * total_steps
    start + (peak - start) * f(position / up)                        position < up
    peak + (end - peak) * f((position - up) / (total_steps - up))    afterwards
    linear: f(p) = p          cosine: f(p) = (1 - cos(pi * p)) / 2
    ```

    Args:
        position: Number or tensor, at least 0.
        total_steps: Position at which `end` is reached.
        warmup_fraction: Part of `total_steps` before the peak, in (0, 1).
        start: Value at position 0.
        peak: Value at the turning point.
        end: Value from `total_steps` on.
        shape: `"cosine"` or `"linear"`.
        xp: Array namespace, `keras.ops` or `numpy`.

    Returns:
        The value, in the unit of `start`, `peak` and `end`.
    """
    up = warmup_fraction * total_steps
    # Both are computed and one is taken: a condition would not compile. Clipped, so
    # that the one that is not taken has no values out of its range.
    rising = xp.minimum(position / up, 1.0)
    falling = xp.minimum(xp.maximum(position - up, 0.0) / (total_steps - up), 1.0)
    return xp.where(
        position < up,
        _anneal(start, peak, rising, shape, xp),
        _anneal(peak, end, falling, shape, xp),
    )


def one_cycle_momentum(
    position: Tensor,
    total_steps: float,
    warmup_fraction: float = 0.3,
    base_momentum: float = 0.85,
    max_momentum: float = 0.95,
    shape: str = "cosine",
    xp: Any = ops,
) -> Tensor:
    """Momentum of the one-cycle policy: low where the learning rate is high.

    ```
    one_cycle(position, total_steps, warmup_fraction,
              start=max_momentum, peak=base_momentum, end=max_momentum)
    ```

    Args:
        position: Number or tensor, at least 0.
        total_steps: Position at which `max_momentum` is reached again.
        warmup_fraction: Part of `total_steps` before the lowest momentum, in (0, 1).
        base_momentum: The lowest momentum, at the peak of the learning rate.
        max_momentum: The momentum at both ends.
        shape: `"cosine"` or `"linear"`.
        xp: Array namespace, `keras.ops` or `numpy`.

    Returns:
        The momentum.
    """
    ends = {"start": max_momentum, "peak": base_momentum, "end": max_momentum}
    return one_cycle(position, total_steps, warmup_fraction, **ends, shape=shape, xp=xp)


def triangular_wave(
    position: Tensor,
    step_size: float,
    mode: str = "triangular",
    gamma: float = 1.0,
    xp: Any = ops,
) -> Tensor:
    """Triangular wave from 0 to 1 and back, `step_size` each way (Smith, 2017).

    ```
    cycle = floor(1 + position / (2 * step_size))
    wave  = max(0, 1 - |position / step_size - 2 * cycle + 1|)
    triangular:  wave
    triangular2: wave / 2 ** (cycle - 1)
    exp_range:   wave * gamma ** position
    ```

    Args:
        position: Number or tensor, at least 0.
        step_size: Half the length of a cycle, greater than 0.
        mode: `"triangular"`, `"triangular2"` or `"exp_range"`.
        gamma: Decay per position of `"exp_range"`, in (0, 1].
        xp: Array namespace, `keras.ops` or `numpy`.

    Returns:
        The height of the wave, in [0, 1].
    """
    # The number of the cycle, from 1, as in the paper.
    cycle = xp.floor(1.0 + position / (2.0 * step_size))
    wave = xp.maximum(0.0, 1.0 - xp.abs(position / step_size - 2.0 * cycle + 1.0))
    if mode == "triangular2":
        return wave * xp.power(0.5, cycle - 1.0)
    if mode == "exp_range":
        return wave * xp.power(gamma, position)
    return wave
