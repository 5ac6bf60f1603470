"""Warm-up, constant phase and decay (WSD)."""

from typing import Literal

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Tensor
from keras_strategies.schedules import _curves
from keras_strategies.schedules._base import CurveSchedule, fraction, positive


@serializable
class WarmupStableDecay(CurveSchedule):
    """Warms up, stays constant, and decays only in the last steps (WSD).

    As good as a cosine, but the length of the training need not be known in advance:
    from any point of the plateau, training can be continued or finished with a short
    decay.

    ```
    p = clip((step - (total_steps - decay_steps)) / decay_steps, 0, 1)
    rate(step) = max_learning_rate * min(step / warmup_steps, 1)
                 * (alpha + (1 - alpha) * d(p))
    linear: d(p) = 1 - p    cosine: (1 + cos(pi * p)) / 2    sqrt: 1 - sqrt(p)
    ```

    Reference:

    - [Hu et al., 2024, MiniCPM](https://arxiv.org/abs/2404.06395)
    - [Hägele et al., 2024, Scaling Laws and Compute-Optimal Training Beyond Fixed
      Training Durations](https://arxiv.org/abs/2405.18392)

    Args:
        max_learning_rate: Learning rate of the plateau, greater than 0.
        total_steps: Length of the training in optimizer steps, at least 1.
        warmup_steps: Length of the linear warm-up from 0, at least 0.
        decay_steps: Length of the decay, at least 1; 10 to 20 % of `total_steps` are
            common. `warmup_steps + decay_steps` must not exceed `total_steps`.
        shape: `"linear"`, `"cosine"` or `"sqrt"`, which decays fastest at first.
            Defaults to `"sqrt"`.
        alpha: Final rate as a fraction of `max_learning_rate`, in [0, 1]. Defaults
            to `0.0`.
        name: Name of the operation. Defaults to `"WarmupStableDecay"`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    ```python
    from keras_strategies import schedules

    schedule = schedules.WarmupStableDecay(
        0.1, total_steps=100, warmup_steps=10, decay_steps=20
    )
    print([round(float(schedule(step)), 3) for step in (0, 5, 10, 80, 85, 100)])
    # [0.0, 0.05, 0.1, 0.1, 0.05, 0.0]
    ```
    """

    _arguments = (
        "max_learning_rate",
        "total_steps",
        "warmup_steps",
        "decay_steps",
        "shape",
        "alpha",
        "name",
    )

    def __init__(
        self,
        max_learning_rate: float,
        total_steps: int,
        warmup_steps: int,
        decay_steps: int,
        shape: Literal["linear", "cosine", "sqrt"] = "sqrt",
        alpha: float = 0.0,
        name: str = "WarmupStableDecay",
    ) -> None:
        super().__init__()
        self.max_learning_rate: float = positive("max_learning_rate", max_learning_rate)
        self.total_steps: int = checks.integer("total_steps", total_steps, low=1)
        self.warmup_steps: int = checks.integer("warmup_steps", warmup_steps, low=0)
        self.decay_steps: int = checks.integer("decay_steps", decay_steps, low=1)
        if self.warmup_steps + self.decay_steps > self.total_steps:
            checks.fail(
                "`warmup_steps + decay_steps` must be at most `total_steps`",
                warmup_steps=warmup_steps,
                decay_steps=decay_steps,
                total_steps=total_steps,
            )
        self.shape: str = checks.choice("shape", shape, ("linear", "cosine", "sqrt"))
        self.alpha: float = fraction("alpha", alpha)
        self.name: str = checks.instance("name", name, str)

    def _learning_rate(self, position: Tensor) -> Tensor:
        factor = _curves.warmup_stable_decay(
            position,
            float(self.total_steps),
            float(self.warmup_steps),
            float(self.decay_steps),
            self.shape,
            self.alpha,
        )
        return self.max_learning_rate * factor
