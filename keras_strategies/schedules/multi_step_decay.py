"""Decay at given milestones."""

from collections.abc import Sequence

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Tensor
from keras_strategies.schedules import _curves
from keras_strategies.schedules._base import (
    CurveSchedule,
    fraction,
    increasing,
    positive,
)


@serializable
class MultiStepDecay(CurveSchedule):
    """Multiplies the learning rate by the same factor at each milestone.

    For the common recipe "divide the learning rate by 10 after 50 % and 75 % of the
    epochs". Unlike Keras's `PiecewiseConstantDecay`, it needs no list of values, and
    the step of a milestone already has the lower learning rate.

    ```
    rate(step) = initial_learning_rate
                 * decay_rate ** (number of milestones m with m <= step)
    ```

    Reference:

    - [Huang et al., 2017, Densely Connected Convolutional
      Networks](https://arxiv.org/abs/1608.06993)

    Args:
        initial_learning_rate: Learning rate before the first milestone, greater
            than 0.
        milestones: Optimizer steps at which the learning rate is multiplied by
            `decay_rate`: increasing integers of at least 1.
        decay_rate: Factor applied at each milestone, in (0, 1]. Defaults to `0.1`.
        name: Name of the operation. Defaults to `"MultiStepDecay"`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    ```python
    from keras_strategies import schedules

    schedule = schedules.MultiStepDecay(0.1, milestones=[150, 225])
    print([round(float(schedule(step)), 4) for step in (0, 149, 150, 225, 300)])
    # [0.1, 0.1, 0.01, 0.001, 0.001]
    ```
    """

    _arguments = ("initial_learning_rate", "milestones", "decay_rate", "name")

    def __init__(
        self,
        initial_learning_rate: float,
        milestones: Sequence[int],
        decay_rate: float = 0.1,
        name: str = "MultiStepDecay",
    ) -> None:
        super().__init__()
        self.initial_learning_rate: float = positive(
            "initial_learning_rate", initial_learning_rate
        )
        self.milestones: list[int] = increasing("milestones", milestones)
        self.decay_rate: float = fraction("decay_rate", decay_rate, low_open=True)
        self.name: str = checks.instance("name", name, str)

    def _learning_rate(self, position: Tensor) -> Tensor:
        # Floats, as the position is.
        marks = [float(mark) for mark in self.milestones]
        factor = _curves.multi_step_decay(position, marks, self.decay_rate)
        return self.initial_learning_rate * factor
