"""Staircase decay with a lower bound."""

from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Tensor
from keras_strategies.schedules import _curves
from keras_strategies.schedules._base import CurveSchedule, fraction, positive


@serializable
class StepDecay(CurveSchedule):
    """Multiplies the learning rate by a factor every `decay_steps` steps.

    The schedule of many published image classifiers. Without `alpha` it is Keras's
    `ExponentialDecay(staircase=True)`; the lower bound keeps the learning rate of a
    long training from vanishing.

    ```
    rate(step) = initial_learning_rate
                 * max(decay_rate ** floor(step / decay_steps), alpha)
    ```

    Steps are optimizer steps.

    Reference:

    - [He et al., 2016, Deep Residual Learning for Image
      Recognition](https://arxiv.org/abs/1512.03385)

    Args:
        initial_learning_rate: Initial learning rate, greater than 0.
        decay_steps: Optimizer steps between two multiplications, at least 1.
        decay_rate: Factor applied each time, in (0, 1]. Defaults to `0.1`.
        alpha: Lower bound as a fraction of `initial_learning_rate`, in [0, 1].
            Defaults to `0.0`, no bound.
        name: Name of the operation. Defaults to `"StepDecay"`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    ```python
    from keras_strategies import schedules

    schedule = schedules.StepDecay(0.1, decay_steps=30, decay_rate=0.1, alpha=0.01)
    print([round(float(schedule(step)), 4) for step in (0, 29, 30, 60, 90, 1000)])
    # [0.1, 0.1, 0.01, 0.001, 0.001, 0.001]
    ```
    """

    _arguments = ("initial_learning_rate", "decay_steps", "decay_rate", "alpha", "name")

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float = 0.1,
        alpha: float = 0.0,
        name: str = "StepDecay",
    ) -> None:
        super().__init__()
        self.initial_learning_rate: float = positive(
            "initial_learning_rate", initial_learning_rate
        )
        self.decay_steps: int = checks.integer("decay_steps", decay_steps, low=1)
        self.decay_rate: float = fraction("decay_rate", decay_rate, low_open=True)
        self.alpha: float = fraction("alpha", alpha)
        self.name: str = checks.instance("name", name, str)

    def _learning_rate(self, position: Tensor) -> Tensor:
        factor = _curves.step_decay(position, float(self.decay_steps), self.decay_rate)
        return self.initial_learning_rate * ops.maximum(factor, self.alpha)
