"""What a compiled loop of steps does beside the steps."""

from typing import Any, NamedTuple


class StepProgram(NamedTuple):
    """What a launch does beside its steps.

    Attributes:
        variables: Variables that are assigned a value of a table before each step.
        averages: `DeviceAverages` that move after each step, or `None`.
        averaged: The variables that they move towards.
        records: Whether the logs of each step are kept.
        stops_at_nan: Whether the loop ends after a step whose loss is not finite.
        capacity: Number of steps that tables and records have room for.
    """

    variables: tuple[Any, ...] = ()
    averages: Any = None
    averaged: tuple[Any, ...] = ()
    records: bool = False
    stops_at_nan: bool = False
    capacity: int = 1

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing but the steps."""
        return not (
            self.variables
            or self.averages is not None
            or self.records
            or self.stops_at_nan
        )

    @property
    def key(self) -> tuple[Any, ...]:
        """What a compiled loop depends on."""
        return (
            tuple(id(variable) for variable in self.variables),
            id(self.averages),
            tuple(id(variable) for variable in self.averaged),
            self.records,
            self.stops_at_nan,
            self.capacity,
        )


class Launched(NamedTuple):
    """What a launch returns.

    Attributes:
        logs: Logs of the last step.
        records: Logs of each step as arrays over the steps, or `None`.
        steps: How many steps were made.
        state: State of the model on JAX, else `None`.
    """

    logs: Any
    records: Any
    steps: int
    state: Any = None
