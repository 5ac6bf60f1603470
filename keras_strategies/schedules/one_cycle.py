"""One-cycle policy."""

import functools
from collections.abc import Callable
from typing import Literal

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Tensor
from keras_strategies.schedules import _cycles
from keras_strategies.schedules._base import CurveSchedule, fraction, positive


@serializable
class OneCycle(CurveSchedule):
    """Raises the learning rate to a maximum and anneals it far below its start.

    A large learning rate in the middle of training regularizes and reduces the number
    of epochs. Choose `max_learning_rate` slightly below the value where the loss
    diverges. The policy also lowers the momentum while the learning rate is high:
    `momentum_schedule()` returns that curve.

    ```
    up    = warmup_fraction * total_steps
    start = max_learning_rate / div_factor
    end   = start / final_div_factor
    rate(step) = start + (max_learning_rate - start) * f(step / up)     step < up
                 max_learning_rate + (end - max_learning_rate)
                     * f((step - up) / (total_steps - up))              afterwards
    linear: f(p) = p          cosine: f(p) = (1 - cos(pi * p)) / 2
    ```

    From `total_steps` on the learning rate is `end`. Defaults are those of fastai and
    PyTorch.

    Reference:

    - [Smith and Topin, 2017, Super-Convergence: Very Fast Training of Neural
      Networks Using Large Learning Rates](https://arxiv.org/abs/1708.07120)

    Args:
        max_learning_rate: Learning rate at the peak, greater than 0.
        total_steps: Length of the cycle in optimizer steps, at least 2: the number of
            epochs times the number of batches per epoch.
        warmup_fraction: Fraction of the cycle before the peak, in (0, 1). Defaults to
            `0.3`.
        div_factor: Ratio of peak to start, at least 1. Defaults to `25.0`.
        final_div_factor: Ratio of start to end, at least 1. Defaults to `1e4`.
        shape: `"cosine"` or `"linear"`. Defaults to `"cosine"`.
        name: Name of the operation. Defaults to `"OneCycle"`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    ```python
    from keras_strategies import schedules

    schedule = schedules.OneCycle(1.0, total_steps=100)
    print([round(float(schedule(step)), 4) for step in (0, 15, 30, 65, 100)])
    # [0.04, 0.52, 1.0, 0.5, 0.0]
    momentum = schedule.momentum_schedule()
    print([round(float(momentum(step)), 3) for step in (0, 15, 30, 65, 100)])
    # [0.95, 0.9, 0.85, 0.9, 0.95]
    ```
    """

    _arguments = (
        "max_learning_rate",
        "total_steps",
        "warmup_fraction",
        "div_factor",
        "final_div_factor",
        "shape",
        "name",
    )

    def __init__(
        self,
        max_learning_rate: float,
        total_steps: int,
        warmup_fraction: float = 0.3,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        shape: Literal["cosine", "linear"] = "cosine",
        name: str = "OneCycle",
    ) -> None:
        super().__init__()
        self.max_learning_rate: float = positive("max_learning_rate", max_learning_rate)
        self.total_steps: int = checks.integer("total_steps", total_steps, low=2)
        self.warmup_fraction: float = fraction(
            "warmup_fraction", warmup_fraction, low_open=True, high_open=True
        )
        self.div_factor: float = checks.real("div_factor", div_factor, low=1)
        self.final_div_factor: float = checks.real(
            "final_div_factor", final_div_factor, low=1
        )
        self.shape: str = checks.choice("shape", shape, ("cosine", "linear"))
        self.name: str = checks.instance("name", name, str)

    def _learning_rate(self, position: Tensor) -> Tensor:
        # `final_div_factor` is relative to the start, as in fastai and PyTorch.
        start = self.max_learning_rate / self.div_factor
        return _cycles.one_cycle(
            position,
            float(self.total_steps),
            self.warmup_fraction,
            start,
            self.max_learning_rate,
            start / self.final_div_factor,
            self.shape,
        )

    def momentum_schedule(
        self, base_momentum: float = 0.85, max_momentum: float = 0.95
    ) -> Callable[..., Tensor]:
        """Returns the momentum of the policy as a function of the step.

        Args:
            base_momentum: The lowest momentum, at the peak of the learning rate, in
                [0, 1). Defaults to `0.85`.
            max_momentum: The momentum at both ends, in [0, 1). Defaults to `0.95`.

        Returns:
            `momentum(step)`, for a number on the host or a floating-point tensor
            in a compiled step; `momentum(step, xp=numpy)` computes with NumPy.
        """
        return functools.partial(
            _cycles.one_cycle_momentum,
            total_steps=float(self.total_steps),
            warmup_fraction=self.warmup_fraction,
            base_momentum=fraction("base_momentum", base_momentum, high_open=True),
            max_momentum=fraction("max_momentum", max_momentum, high_open=True),
            shape=self.shape,
        )
