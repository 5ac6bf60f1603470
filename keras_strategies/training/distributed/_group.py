"""The group of this process, whoever has started it."""

import json
import os
import sys
import zlib
from collections.abc import Mapping

import keras

from keras_strategies._internal.launcher import group as launched
from keras_strategies._internal.launcher.group import Group


def current_group(environment: Mapping[str, str] | None = None) -> Group | None:
    """Returns the group of this process, `None` if it is in none.

    That is the group of our launcher, else one that another has made: workers named by
    `TF_CONFIG` on TensorFlow, processes that `jax.distributed` has connected on JAX.
    """
    environment = os.environ if environment is None else environment
    ours = launched.current_group(environment)
    return ours or _group_of_tensorflow(environment) or _group_of_jax()


def _group_of_tensorflow(environment: Mapping[str, str]) -> Group | None:
    if not environment.get("TF_CONFIG"):
        return None
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
