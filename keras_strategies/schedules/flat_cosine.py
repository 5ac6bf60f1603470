"""Constant phase followed by cosine decay."""

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Tensor
from keras_strategies.schedules import _curves
from keras_strategies.schedules._base import CurveSchedule, fraction, positive


@serializable
class FlatCosine(CurveSchedule):
    """Keeps the learning rate constant, then decays it along a cosine.

    The choice of fastai for optimizers that need no warm-up, such as `RAdam` and
    `Lookahead`: training starts at full speed, and the late decay still lets the
    weights converge.

    ```
    flat = flat_fraction * total_steps
    p    = clip((step - flat) / (total_steps - flat), 0, 1)
    rate(step) = initial_learning_rate
                 * (alpha + (1 - alpha) * (1 + cos(pi * p)) / 2)
    ```

    Reference:

    - [Howard and Gugger, 2020, fastai: A Layered API for Deep
      Learning](https://arxiv.org/abs/2002.04688)

    Args:
        initial_learning_rate: Learning rate of the constant phase, greater than 0.
        total_steps: Length of both phases in optimizer steps, at least 1.
        flat_fraction: Fraction of `total_steps` before the decay, in [0, 1). Defaults
            to `0.75`.
        alpha: Final rate as a fraction of `initial_learning_rate`, in [0, 1].
            Defaults to `0.0`.
        name: Name of the operation. Defaults to `"FlatCosine"`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    ```python
    from keras_strategies import schedules

    schedule = schedules.FlatCosine(0.1, total_steps=100, flat_fraction=0.6)
    print([round(float(schedule(step)), 3) for step in (0, 60, 80, 100, 500)])
    # [0.1, 0.1, 0.05, 0.0, 0.0]
    ```
    """

    _arguments = (
        "initial_learning_rate",
        "total_steps",
        "flat_fraction",
        "alpha",
        "name",
    )

    def __init__(
        self,
        initial_learning_rate: float,
        total_steps: int,
        flat_fraction: float = 0.75,
        alpha: float = 0.0,
        name: str = "FlatCosine",
    ) -> None:
        super().__init__()
        self.initial_learning_rate: float = positive(
            "initial_learning_rate", initial_learning_rate
        )
        self.total_steps: int = checks.integer("total_steps", total_steps, low=1)
        self.flat_fraction: float = fraction(
            "flat_fraction", flat_fraction, high_open=True
        )
        self.alpha: float = fraction("alpha", alpha)
        self.name: str = checks.instance("name", name, str)

    def _learning_rate(self, position: Tensor) -> Tensor:
        factor = _curves.flat_cosine(
            position, float(self.total_steps), self.flat_fraction, self.alpha
        )
        return self.initial_learning_rate * factor
