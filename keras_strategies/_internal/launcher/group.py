"""What a process is told about the group it belongs to, in its environment."""

import dataclasses
import os
from collections.abc import Mapping

PREFIX = "KERAS_STRATEGIES_GROUP_"


@dataclasses.dataclass(frozen=True)
class Group:
    """The position of this process in its group.

    Attributes:
        rank: Number of the process, from 0. The one of rank 0 is the chief.
        size: Number of processes.
        local_rank: Number among those of its host.
        engine: `"jax"` or `"tensorflow"`.
        addresses: `host:port` of each process, by rank.
        restarts: How often the group has been restarted.
        seed: A seed that is the same in all processes and after each restart; `None` if
            the processes have yet to agree on one.
    """

    rank: int
    size: int
    local_rank: int
    engine: str
    addresses: tuple[str, ...]
    restarts: int
    seed: int | None

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the files of the group."""
        return self.rank == 0

    def variables(self) -> dict[str, str]:
        """Returns the environment variables that `current_group` reads."""
        values = dataclasses.asdict(self) | {"addresses": ",".join(self.addresses)}
        return {PREFIX + name.upper(): str(value) for name, value in values.items()}


def current_group(environment: Mapping[str, str] | None = None) -> Group | None:
    """Returns the group of this process, `None` if it was not launched in one."""
    environment = os.environ if environment is None else environment
    if f"{PREFIX}RANK" not in environment:
        return None

    def number(name: str) -> int:
        return int(environment[PREFIX + name])

    return Group(
        rank=number("RANK"),
        size=number("SIZE"),
        local_rank=number("LOCAL_RANK"),
        engine=environment[f"{PREFIX}ENGINE"],
        addresses=tuple(environment[f"{PREFIX}ADDRESSES"].split(",")),
        restarts=number("RESTARTS"),
        seed=number("SEED"),
    )
