"""Cyclical learning-rate schedule."""

from typing import Literal

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Tensor
from keras_strategies.schedules import _cycles
from keras_strategies.schedules._base import CurveSchedule, fraction, positive

_MODES = ("triangular", "triangular2", "exp_range")


@serializable
class Cyclical(CurveSchedule):
    """Cycles the learning rate between two bounds.

    Raising the learning rate repeatedly carries the weights past saddle points and
    makes the choice of one best value unnecessary. Snapshots of the model at the lower
    bound form an ensemble.

    ```
    cycle = floor(1 + step / (2 * step_size))
    wave  = max(0, 1 - |step / step_size - 2 * cycle + 1|)
    rate(step) = initial_learning_rate
                 + (max_learning_rate - initial_learning_rate) * wave * s
    s = 1 (triangular), 1 / 2 ** (cycle - 1) (triangular2), gamma ** step (exp_range)
    ```

    Reference:

    - [Smith, 2017, Cyclical Learning Rates for Training Neural
      Networks](https://arxiv.org/abs/1506.01186)

    Args:
        initial_learning_rate: Lower bound, and value at step 0; at least 0.
        max_learning_rate: Upper bound, greater than `initial_learning_rate`.
        step_size: Half the length of a cycle in optimizer steps, at least 1. The
            paper advises 2 to 10 epochs.
        mode: `"triangular"`, `"triangular2"` (half the amplitude in each further
            cycle) or `"exp_range"`. Defaults to `"triangular"`.
        gamma: Decay of the amplitude per step, in (0, 1]; only with
            `mode="exp_range"`. Defaults to `1.0`.
        name: Name of the operation. Defaults to `"Cyclical"`.

    Raises:
        ValueError: If an argument is out of its range, or `gamma` is given for a
            mode without it.

    Example:

    ```python
    from keras_strategies import schedules

    schedule = schedules.Cyclical(0.1, 0.5, step_size=10, mode="triangular2")
    print([round(float(schedule(step)), 2) for step in (0, 5, 10, 20, 30, 40)])
    # [0.1, 0.3, 0.5, 0.1, 0.3, 0.1]
    ```
    """

    _arguments = (
        "initial_learning_rate",
        "max_learning_rate",
        "step_size",
        "mode",
        "gamma",
        "name",
    )

    def __init__(
        self,
        initial_learning_rate: float,
        max_learning_rate: float,
        step_size: int,
        mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
        gamma: float = 1.0,
        name: str = "Cyclical",
    ) -> None:
        super().__init__()
        self.initial_learning_rate: float = checks.real(
            "initial_learning_rate", initial_learning_rate, low=0
        )
        self.max_learning_rate: float = positive("max_learning_rate", max_learning_rate)
        if self.max_learning_rate <= self.initial_learning_rate:
            checks.fail(
                "`max_learning_rate` must be greater than `initial_learning_rate`",
                initial_learning_rate=initial_learning_rate,
                max_learning_rate=max_learning_rate,
            )
        self.step_size: int = checks.integer("step_size", step_size, low=1)
        self.mode: str = checks.choice("mode", mode, _MODES)
        self.gamma: float = fraction("gamma", gamma, low_open=True)
        if self.gamma != 1.0 and mode != "exp_range":
            checks.fail(
                "`gamma` must be 1 unless `mode` is 'exp_range'", mode=mode, gamma=gamma
            )
        self.name: str = checks.instance("name", name, str)

    def _learning_rate(self, position: Tensor) -> Tensor:
        wave = _cycles.triangular_wave(
            position, float(self.step_size), self.mode, self.gamma
        )
        amplitude = self.max_learning_rate - self.initial_learning_rate
        return self.initial_learning_rate + amplitude * wave
