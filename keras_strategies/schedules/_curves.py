"""Learning-rate curves as pure functions of the position.

Every function returns a multiple of the undecayed learning rate, so that
schedules and callbacks share one formula. `position` counts from 0 in any unit
(optimizer steps, epochs); `xp` is the array namespace that computes it:
`keras.ops` inside a compiled training step, `numpy` on the host.
"""

import math

from keras import ops

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


def multi_step_decay(position, milestones, decay_rate, xp=ops):
    """Multiplies by `decay_rate` at each milestone.

    ```
    decay_rate ** (number of milestones m with m <= position)
    ```

    Args:
        position: Number or tensor, at least 0.
        milestones: Positions of the cuts.
        decay_rate: Factor of each cut.
        xp: Array namespace, `keras.ops` or `numpy`.

    Returns:
        The factor, 1 before the first milestone.
    """
    cuts = sum(xp.where(position >= mark, 1.0, 0.0) for mark in milestones)
    return xp.power(decay_rate, cuts)


def flat_cosine(position, total_steps, flat_fraction, alpha=0.0, xp=ops):
    """Constant at first, then half a cosine wave down to `alpha`.

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
    position, total_steps, warmup_steps, decay_steps, shape="sqrt", alpha=0.0, xp=ops
):
    """Linear rise, plateau at 1, and a fall to `alpha` in the last steps.

    With `p` from 0 to 1 over the last `decay_steps`:

    ```
    alpha + (1 - alpha) * d(p)
    linear: 1 - p      cosine: (1 + cos(pi * p)) / 2      sqrt: 1 - sqrt(p)
    ```

    Args:
        position: Number or tensor, at least 0.
        total_steps: Position at which `alpha` is reached.
        warmup_steps: Length of the rise from 0, at least 0.
        decay_steps: Length of the fall, greater than 0.
        shape: `"linear"`, `"cosine"` or `"sqrt"`.
        alpha: Factor at the end.
        xp: Array namespace, `keras.ops` or `numpy`.

    Returns:
        The factor, 1 on the plateau.
    """
    start = total_steps - decay_steps
    done = xp.minimum(xp.maximum(position - start, 0.0) / decay_steps, 1.0)
    if shape == "cosine":
        left = 0.5 * (1.0 + xp.cos(math.pi * done))
    else:
        left = 1.0 - (xp.sqrt(done) if shape == "sqrt" else done)
    factor = alpha + (1.0 - alpha) * left
    if warmup_steps == 0:
        return factor
    return factor * warmup_fraction(position, warmup_steps, xp=xp)


def inverse_square_root(position, warmup_steps, xp=ops):
    """Linear rise to 1 at `warmup_steps`, then a fall like `1 / sqrt(position)`.

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
    fall = xp.sqrt(warmup_steps / xp.maximum(position, warmup_steps))
    return warmup_fraction(position, warmup_steps, xp=xp) * fall


def tanh_decay(position, decay_steps, lower=-6.0, upper=3.0, alpha=0.0, xp=ops):
    """Hyperbolic-tangent decay from nearly 1 to nearly `alpha`, constant afterwards.

    ```
    alpha + (1 - alpha) * (1 - tanh(lower + (upper - lower) * p)) / 2
    p = min(position / decay_steps, 1)
    ```

    Args:
        position: Number or tensor, at least 0.
        decay_steps: Position at which the curve ends.
        lower: Where the curve enters the tangent.
        upper: Where it leaves, greater than `lower`.
        alpha: Factor that `upper` to infinity would reach.
        xp: Array namespace, `keras.ops` or `numpy`.

    Returns:
        The factor, `(1 - tanh(lower)) / 2` of the way at position 0.
    """
    done = xp.minimum(position / decay_steps, 1.0)
    bent = xp.tanh(lower + (upper - lower) * done)
    return alpha + (1.0 - alpha) * 0.5 * (1.0 - bent)
