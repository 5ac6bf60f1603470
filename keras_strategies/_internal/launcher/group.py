"""What a process is told about the group it belongs to, in its environment."""

import dataclasses
import json
import os
import sys
import zlib
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
    """Returns the group of this process, `None` if it is in none.

    That is the group of our launcher, else one that another has made: workers named by
    `TF_CONFIG` on TensorFlow, processes that `jax.distributed` has connected on JAX.
    """
    environment = os.environ if environment is None else environment
    if f"{PREFIX}RANK" not in environment:
        return _group_of_tensorflow(environment) or _group_of_jax()

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


def _group_of_tensorflow(environment: Mapping[str, str]) -> Group | None:
    if not environment.get("TF_CONFIG"):
        return None
    import keras

    config = json.loads(environment["TF_CONFIG"])
    cluster, task = config.get("cluster", {}), config.get("task", {})
    # A chief is the first of the workers.
    kinds = [kind for kind in ("chief", "worker") if kind in cluster]
    addresses = tuple(address for kind in kinds for address in cluster[kind])
    is_worker = len(addresses) > 1 and task.get("type") in kinds
    if not is_worker or keras.backend.backend() != "tensorflow":
        return None
    before = len(cluster.get("chief", ())) if task["type"] == "worker" else 0
    return Group(
        rank=before + int(task["index"]),
        size=len(addresses),
        local_rank=0,
        engine="tensorflow",
        addresses=addresses,
        restarts=0,
        seed=zlib.crc32(",".join(addresses).encode()) % 2**31,
    )


def _group_of_jax() -> Group | None:
    jax = sys.modules.get("jax")  # who has connected processes has imported it
    if jax is None or not jax.distributed.is_initialized() or jax.process_count() == 1:
        return None
    import keras

    if keras.backend.backend() != "jax":
        return None
    return Group(
        rank=jax.process_index(),
        size=jax.process_count(),
        local_rank=0,
        engine="jax",
        addresses=(),
        restarts=0,
        seed=None,
    )
