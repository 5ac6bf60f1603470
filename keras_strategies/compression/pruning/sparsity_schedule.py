"""Base class of sparsity schedules."""

from typing import Any, Self

from keras import ops

from keras_strategies._internal import checks


def is_pruning_step(step: Any, begin_step: int, end_step: int, frequency: int) -> Any:
    """Whether `step` is one of `begin_step, begin_step + frequency, ..., end_step`.

    A negative `end_step` means that it never ends.
    """
    elapsed = step - begin_step
    is_due = ops.logical_and(elapsed >= 0, ops.equal(ops.mod(elapsed, frequency), 0))
    if end_step < 0:
        return is_due
    return ops.logical_and(is_due, step <= end_step)


class SparsitySchedule:
    """The share of zeros to aim at, at each training step.

    Base class of `ConstantSparsity` and `PolynomialSparsity`. Subclass it for a
    curve of your own: pass `begin_step`, `end_step` and `frequency` to
    `super().__init__`, return the sparsity from `__call__` with `keras.ops`, and
    put every argument in `get_config`.

    Masks are renewed at the steps where `should_prune(step)` is true and do not
    change in between: `step >= begin_step`, `step <= end_step` unless `end_step`
    is -1, and `(step - begin_step) % frequency == 0`.

    Args:
        begin_step: Optimizer step of the first pruning. At least 0.
        end_step: Last optimizer step at which masks may change; -1 for no end.
            Defaults to -1.
        frequency: Steps from one renewal of the masks to the next. At least 1.
            Defaults to 100.

    Raises:
        ValueError: If a step is negative, the end is before the begin, or
            `frequency` is below 1.

    Example:

    ```python
    import keras
    from keras_strategies.compression import SparsitySchedule

    class StairSparsity(SparsitySchedule):
        def __call__(self, step):
            stairs = keras.ops.cast(step, "float32") // 1000
            return keras.ops.minimum(0.2 * stairs, 0.8)

    schedule = StairSparsity(begin_step=1000, end_step=4000, frequency=1000)
    print(float(schedule(2500)), bool(schedule.should_prune(3000)))  # 0.4 True
    ```
    """

    def __init__(
        self, begin_step: int, end_step: int = -1, frequency: int = 100
    ) -> None:
        self.begin_step: int = checks.integer("begin_step", begin_step, low=0)
        self.end_step: int = checks.integer("end_step", end_step, low=-1)
        self.frequency: int = checks.integer("frequency", frequency, low=1)
        if -1 < self.end_step < self.begin_step:
            checks.fail(
                "`end_step` must be at least `begin_step`, or -1 for no end",
                begin_step=begin_step,
                end_step=end_step,
            )

    def __call__(self, step: Any) -> Any:
        """Returns the sparsity to reach at `step`, a scalar tensor.

        Args:
            step: Optimizer step, an integer or an integer tensor.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must implement `__call__(step)`."
        )

    def should_prune(self, step: Any) -> Any:
        """Returns a boolean tensor: whether masks are renewed at `step`.

        Args:
            step: Optimizer step, an integer or an integer tensor.
        """
        step = ops.convert_to_tensor(step)
        return is_pruning_step(step, self.begin_step, self.end_step, self.frequency)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            "begin_step": self.begin_step,
            "end_step": self.end_step,
            "frequency": self.frequency,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Returns a schedule from its config."""
        return cls(**config)

    def __repr__(self) -> str:
        arguments = ", ".join(f"{k}={v!r}" for k, v in self.get_config().items())
        return f"{type(self).__name__}({arguments})"
