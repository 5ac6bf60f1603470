"""The environment that each engine wants in the processes of a group."""

import json
import os
import pathlib
from collections.abc import Mapping

from keras_strategies._internal import checks
from keras_strategies._internal.launcher.group import Group

ENGINES = ("jax", "tensorflow")
_ACCELERATORS = pathlib.Path("/proc/driver/nvidia/gpus")


def resolve_engine(engine: str, environment: Mapping[str, str] | None = None) -> str:
    """Returns the engine for `"auto"`: the backend that Keras would choose.

    Raises:
        ValueError: If that backend cannot train over several processes in Keras.
    """
    checks.choice("engine", engine, ("auto", *ENGINES))
    if engine != "auto":
        return engine
    environment = os.environ if environment is None else environment
    backend = environment.get("KERAS_BACKEND") or _configured_backend(environment)
    if backend not in ENGINES:
        checks.fail(
            "Keras trains over several processes on JAX and TensorFlow only",
            fix="Set KERAS_BACKEND=jax, or launch a training loop of your own with "
            "torchrun and torch.nn.parallel.DistributedDataParallel.",
            backend=backend,
        )
    return backend


def _configured_backend(environment):
    home = environment.get("KERAS_HOME") or os.path.expanduser("~/.keras")
    try:
        config = json.loads((pathlib.Path(home) / "keras.json").read_text())
    except (OSError, ValueError):
        return "tensorflow"
    return config.get("backend", "tensorflow")


def worker_environment(group: Group, local_size: int) -> dict[str, str]:
    """Returns what to set in the environment of one process.

    Args:
        group: The position of the process.
        local_size: Number of processes of the group on its host.
    """
    values = {**group.variables(), "KERAS_BACKEND": group.engine}
    # A line that is printed is one that is seen, also if the process is killed next.
    values["PYTHONUNBUFFERED"] = "1"
    if group.engine == "tensorflow":
        values["TF_CONFIG"] = json.dumps(
            {
                "cluster": {"worker": list(group.addresses)},
                "task": {"type": "worker", "index": group.rank},
            }
        )
    else:
        coordinator = group.addresses[0]
        for prefix in ("KERAS_DISTRIBUTION_", "JAX_"):
            values[f"{prefix}NUM_PROCESSES"] = str(group.size)
            values[f"{prefix}PROCESS_ID"] = str(group.rank)
        values["KERAS_DISTRIBUTION_JOB_ADDRESSES"] = coordinator
        values["JAX_COORDINATOR_ADDRESS"] = coordinator
    if local_size > 1:
        devices = share_of(visible_devices(), group.local_rank, local_size)
        if devices is not None:
            values["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
    return values


def visible_devices(environment: Mapping[str, str] | None = None) -> list[str]:
    """Returns the NVIDIA accelerators that a process of this host would see."""
    environment = os.environ if environment is None else environment
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        names = [name.strip() for name in visible.split(",") if name.strip()]
        return [] if names == ["-1"] else names
    if not _ACCELERATORS.is_dir():
        return []
    return [str(index) for index, _ in enumerate(sorted(_ACCELERATORS.iterdir()))]


def share_of(devices: list[str], local_rank: int, local_size: int) -> list[str] | None:
    """Returns the devices of one of `local_size` processes, `None` without any.

    Raises:
        ValueError: If they cannot be divided evenly.
    """
    if not devices:
        return None
    count, rest = divmod(len(devices), local_size)
    if rest or not count:
        checks.fail(
            "`workers` must divide the accelerators of the host",
            fix="Give as many workers as accelerators, or choose these by "
            "CUDA_VISIBLE_DEVICES.",
            workers=local_size,
            accelerators=devices,
        )
    return devices[local_rank * count : (local_rank + 1) * count]
