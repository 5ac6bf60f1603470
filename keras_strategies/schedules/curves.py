"""Learning-rate curves as pure functions of the position.

Every function returns a multiple of the undecayed learning rate, so that
schedules and callbacks share one formula. `position` counts from 0 in any unit
(optimizer steps, epochs); `xp` is the array namespace that computes it:
`keras.ops` inside a compiled training step, `numpy` on the host.
"""

import math

from keras import ops

__all__ = ["cosine_decay", "exponential_decay", "step_decay", "warmup_fraction"]


def step_decay(position, decay_steps, decay_rate, xp=ops):
    """Staircase: multiplies by `decay_rate` once every `decay_steps`.

    ```
    decay_rate ** floor(position / decay_steps)
    ```

    Args:
        position: Number or tensor, at least 0.
        decay_steps: Length of one stair, in the unit of `position`.
        decay_rate: Factor between two stairs.
        xp: Array namespace, `keras.ops` or `numpy`.

    Returns:
        The factor, 1 on the first stair.
    """
    return xp.power(decay_rate, xp.floor(position / decay_steps))


def exponential_decay(position, decay_steps, decay_rate, xp=ops):
    """Smooth exponential: multiplies by `decay_rate` over each `decay_steps`.

    ```
    decay_rate ** (position / decay_steps)
    ```

    Args:
        position: Number or tensor, at least 0.
        decay_steps: Positions in which the factor falls to `decay_rate`.
        decay_rate: Factor after `decay_steps`.
        xp: Array namespace, `keras.ops` or `numpy`.

    Returns:
        The factor, 1 at position 0.
    """
    return xp.power(decay_rate, position / decay_steps)


def cosine_decay(position, decay_steps, alpha=0.0, xp=ops):
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
    done = xp.minimum(position / decay_steps, 1.0)
    return alpha + (1.0 - alpha) * 0.5 * (1.0 + xp.cos(math.pi * done))


def warmup_fraction(position, warmup_steps, shape="linear", xp=ops):
    """Rise from 0 at position 0 to 1 at `warmup_steps`, then 1.

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
    done = xp.minimum(position / warmup_steps, 1.0)
    if shape == "cosine":
        return 0.5 * (1.0 - xp.cos(math.pi * done))
    return done
