"""Schedules of pruning in TFMOT's protocol: a step gives a decision and a share."""

import abc
from typing import Any, Self

from keras import ops

from keras_strategies import compression
from keras_strategies._internal import checks


class PruningSchedule(abc.ABC):
    """Schedule of pruning; subclass it for one of your own.

    `__call__(step)` returns `(should_prune, sparsity)`. It is called while the training
    step is traced, so that it must be written on `keras.ops`, or for the backend.
    """

    @abc.abstractmethod
    def __call__(self, step: Any) -> tuple[Any, Any]:
        """Returns `(whether masks are renewed, the share of zeros)` at `step`."""

    @abc.abstractmethod
    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Returns a schedule from its config."""
        return cls(**config)

    def _should_prune_in_step(
        self, step: Any, begin_step: int, end_step: int, frequency: int
    ) -> Any:
        """Whether `step` is one of `begin_step, begin_step + frequency, ...`."""
        checks.integer("frequency", frequency, low=1)
        elapsed = step - begin_step
        is_due = ops.logical_and(
            elapsed >= 0, ops.equal(ops.mod(elapsed, frequency), 0)
        )
        # A negative end means that it never ends.
        is_before_end = step <= end_step if end_step >= 0 else True
        return ops.logical_and(is_due, is_before_end)

    def _validate_step(
        self, begin_step: int, end_step: int, frequency: int, allow_negative_1: bool
    ) -> None:
        """Raises `ValueError` for steps that are no schedule."""
        compression.SparsitySchedule(begin_step, end_step, frequency)
        if end_step == -1 and not allow_negative_1:
            checks.fail("`end_step` must not be -1", end_step=end_step)

    def _validate_sparsity(self, sparsity: float, variable_name: str) -> None:
        """Raises `ValueError` for a share outside of [0, 1)."""
        checks.real(variable_name, sparsity, low=0, high=1, high_open=True)


class _NativeSchedule(PruningSchedule):
    """A schedule of `compression` under TFMOT's protocol."""

    native: compression.SparsitySchedule

    def __call__(self, step: Any) -> tuple[Any, Any]:
        return self.native.should_prune(step), self.native(step)


class ConstantSparsity(_NativeSchedule):
    """One sparsity, at once.

    Args:
        target_sparsity: Share of zeros, in [0, 1).
        begin_step: First step of pruning.
        end_step: Last step at which masks change; -1 for no end. Defaults to -1.
        frequency: Steps between renewals of the masks. Defaults to 100.
    """

    def __init__(
        self,
        target_sparsity: float,
        begin_step: int,
        end_step: int = -1,
        frequency: int = 100,
    ) -> None:
        self.native: compression.SparsitySchedule = compression.ConstantSparsity(
            target_sparsity, begin_step, end_step, frequency
        )
        self.target_sparsity: float = target_sparsity
        self.begin_step: int = begin_step
        self.end_step: int = end_step
        self.frequency: int = frequency

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return self.native.get_config()


class PolynomialDecay(_NativeSchedule):
    """A sparsity that rises by a polynomial.

    Args:
        initial_sparsity: Share of zeros at the begin, in [0, 1).
        final_sparsity: Share of zeros at the end, in [0, 1).
        begin_step: First step of pruning.
        end_step: Last step at which masks change.
        power: Exponent of the polynomial. Defaults to 3.
        frequency: Steps between renewals of the masks. Defaults to 100.
    """

    def __init__(
        self,
        initial_sparsity: float,
        final_sparsity: float,
        begin_step: int,
        end_step: int,
        power: float = 3,
        frequency: int = 100,
    ) -> None:
        self.native: compression.SparsitySchedule = compression.PolynomialSparsity(
            initial_sparsity,
            final_sparsity,
            begin_step,
            end_step,
            power=power,
            frequency=frequency,
        )
        self.initial_sparsity: float = initial_sparsity
        self.final_sparsity: float = final_sparsity
        self.power: float = power
        self.begin_step: int = begin_step
        self.end_step: int = end_step
        self.frequency: int = frequency

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return self.native.get_config()


class _ProtocolSchedule(compression.SparsitySchedule):
    """A schedule of the user's, as `compression.prune` takes it."""

    def __init__(self, schedule: PruningSchedule) -> None:
        # Steps that the schedule may have as attributes are for messages only: its
        # own answer decides whether a step prunes.
        begin = getattr(schedule, "begin_step", 0)
        super().__init__(begin_step=begin, end_step=-1, frequency=1)
        self.schedule: PruningSchedule = schedule

    def __call__(self, step: Any) -> Any:
        return ops.cast(self.schedule(ops.convert_to_tensor(step))[1], "float32")

    def should_prune(self, step: Any) -> Any:
        return ops.cast(self.schedule(ops.convert_to_tensor(step))[0], "bool")


def native_schedule(schedule: Any) -> compression.SparsitySchedule:
    """The schedule that `compression.prune` takes."""
    if isinstance(schedule, compression.SparsitySchedule):
        return schedule
    if isinstance(schedule, _NativeSchedule):
        return schedule.native
    if isinstance(schedule, PruningSchedule):
        return _ProtocolSchedule(schedule)
    return checks.fail(
        "`pruning_schedule` must be a PruningSchedule",
        fix="Give e.g. `ConstantSparsity(0.5, 0)`.",
        pruning_schedule=type(schedule).__name__,
    )
