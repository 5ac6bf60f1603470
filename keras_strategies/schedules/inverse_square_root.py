"""Inverse-square-root schedule of the original Transformer."""

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Tensor
from keras_strategies.schedules import _curves
from keras_strategies.schedules._base import CurveSchedule, positive


@serializable
class InverseSquareRoot(CurveSchedule):
    """Warms up linearly, then decays with the inverse square root of the step (Noam).

    The schedule of the original Transformer and of many language models since. It has
    no fixed length, so that training can continue as long as it improves.

    ```
    rate(step) = peak * min(step / warmup_steps, sqrt(warmup_steps / step))
    peak = max_learning_rate   or   1 / sqrt(d_model * warmup_steps)
    ```

    With `d_model` this is the formula of the paper,
    `d_model ** -0.5 * min(step ** -0.5, step * warmup_steps ** -1.5)`. Keras counts
    steps from 0, where the rate is 0.

    Reference:

    - [Vaswani et al., 2017, Attention Is All You
      Need](https://arxiv.org/abs/1706.03762)

    Args:
        warmup_steps: Length of the linear warm-up in optimizer steps, at least 1.
        max_learning_rate: Learning rate at the peak, greater than 0. Defaults to
            `None`; exactly one of it and `d_model` must be given.
        d_model: Width of the model, at least 1, from which the paper computes the
            peak. Defaults to `None`.
        name: Name of the operation. Defaults to `"InverseSquareRoot"`.

    Raises:
        ValueError: If an argument is out of its range, or not exactly one of
            `max_learning_rate` and `d_model` is given.

    Example:

    ```python
    from keras_strategies import schedules

    schedule = schedules.InverseSquareRoot(100, max_learning_rate=0.1)
    print([round(float(schedule(step)), 3) for step in (0, 50, 100, 400, 10_000)])
    # [0.0, 0.05, 0.1, 0.05, 0.01]
    paper = schedules.InverseSquareRoot(warmup_steps=4000, d_model=512)
    ```
    """

    _arguments = ("warmup_steps", "max_learning_rate", "d_model", "name")

    def __init__(
        self,
        warmup_steps: int,
        max_learning_rate: float | None = None,
        d_model: int | None = None,
        name: str = "InverseSquareRoot",
    ) -> None:
        super().__init__()
        if (max_learning_rate is None) == (d_model is None):
            checks.fail(
                "Exactly one of `max_learning_rate` and `d_model` must be given",
                max_learning_rate=max_learning_rate,
                d_model=d_model,
            )
        self.warmup_steps: int = checks.integer("warmup_steps", warmup_steps, low=1)
        self.max_learning_rate: float | None = max_learning_rate
        if max_learning_rate is not None:
            self.max_learning_rate = positive("max_learning_rate", max_learning_rate)
        self.d_model: int | None = checks.integer(
            "d_model", d_model, low=1, optional=True
        )
        self.name: str = checks.instance("name", name, str)

    def _learning_rate(self, position: Tensor) -> Tensor:
        peak = self.max_learning_rate
        if peak is None:
            # The paper's formula at step `warmup_steps`, where both terms are equal.
            peak = (self.d_model * self.warmup_steps) ** -0.5
        return peak * _curves.inverse_square_root(position, float(self.warmup_steps))
