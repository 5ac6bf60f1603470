"""A flat start and a cosine end."""

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies.schedules import curves
from keras_strategies.schedules._base import CurveSchedule, fraction, positive


@serializable
class FlatCosine(CurveSchedule):
    """Keeps the learning rate, then lets it fall along a cosine.

    The choice of fastai for optimizers that warm up by themselves, such as
    `RAdam` and `Lookahead`: nothing is lost on a slow start, and the late fall
    still settles the weights.

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
        initial_learning_rate: Learning rate of the flat part, greater than 0.
        total_steps: Length of both parts in optimizer steps, at least 1.
        flat_fraction: Part of `total_steps` before the fall, in [0, 1). Defaults to
            `0.75`.
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
        initial_learning_rate,
        total_steps,
        flat_fraction=0.75,
        alpha=0.0,
        name="FlatCosine",
    ):
        super().__init__()
        self.initial_learning_rate = positive(
            "initial_learning_rate", initial_learning_rate
        )
        self.total_steps = checks.integer("total_steps", total_steps, low=1)
        self.flat_fraction = fraction("flat_fraction", flat_fraction, high_open=True)
        self.alpha = fraction("alpha", alpha)
        self.name = checks.instance("name", name, str)

    def _rate(self, position):
        factor = curves.flat_cosine(
            position, float(self.total_steps), self.flat_fraction, self.alpha
        )
        return self.initial_learning_rate * factor
