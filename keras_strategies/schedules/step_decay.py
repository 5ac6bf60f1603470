"""Staircase decay with a floor."""

from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies.schedules import curves
from keras_strategies.schedules._base import CurveSchedule, fraction, positive


@serializable
class StepDecay(CurveSchedule):
    """Cuts the learning rate by a factor every so many steps, down to a floor.

    The oldest schedule, and still the one of many published image classifiers.
    Without `alpha` it is Keras's `ExponentialDecay(staircase=True)`; the floor
    keeps a long training from freezing.

    ```
    rate(step) = initial_learning_rate
                 * max(decay_rate ** floor(step / decay_steps), alpha)
    ```

    Steps are optimizer steps.

    Reference:

    - [He et al., 2016, Deep Residual Learning for Image
      Recognition](https://arxiv.org/abs/1512.03385)

    Args:
        initial_learning_rate: Learning rate of the first stair, greater than 0.
        decay_steps: Length of a stair in optimizer steps, at least 1.
        decay_rate: Factor of each cut, in (0, 1]. Defaults to `0.1`.
        alpha: Smallest rate as a fraction of `initial_learning_rate`, in [0, 1].
            Defaults to `0.0`, no floor.
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
        initial_learning_rate,
        decay_steps,
        decay_rate=0.1,
        alpha=0.0,
        name="StepDecay",
    ):
        super().__init__()
        self.initial_learning_rate = positive(
            "initial_learning_rate", initial_learning_rate
        )
        self.decay_steps = checks.integer("decay_steps", decay_steps, low=1)
        self.decay_rate = fraction("decay_rate", decay_rate, low_open=True)
        self.alpha = fraction("alpha", alpha)
        self.name = checks.instance("name", name, str)

    def _rate(self, position):
        factor = curves.step_decay(position, float(self.decay_steps), self.decay_rate)
        return self.initial_learning_rate * ops.maximum(factor, self.alpha)
