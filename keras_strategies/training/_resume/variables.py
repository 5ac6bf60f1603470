"""The variables of a training: model, metrics and optimizers, copied and put back."""

from collections.abc import Collection, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private.distribution.process_group import (
    whole_array,
)
from keras_strategies._internal.keras_private.distribution.replicated_values import (
    assign_parts,
    differing_parts,
    local_parts,
)
from keras_strategies._internal.traversal import all_variables, optimizer_variables
from keras_strategies.training._resume.encoding import add_array, array

_BUFFER_TYPES = {"bool", "float16", "float32", "float64"} | {
    f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}
GROUPS = ("model", "metrics", "optimizer")


def optimizers_of(model: keras.Model) -> list[Any]:
    """Returns the optimizer of a model and those in its attributes (of a GAN)."""
    kind = keras.optimizers.Optimizer
    others = [value for value in list(vars(model).values()) if isinstance(value, kind)]
    several = [getattr(model, "optimizer", None), *others]
    unique = {id(item): item for item in several if isinstance(item, kind)}
    return list(unique.values())


def variables_of(model: keras.Model) -> dict[str, list[keras.Variable]]:
    """Returns the variables by group, each once, in the order of their creation."""
    groups = {
        "model": all_variables(model),
        "metrics": model.metrics_variables,
        "optimizer": [
            v for item in optimizers_of(model) for v in optimizer_variables(item)
        ],
    }
    seen: set[int] = set()
    result: dict[str, list[keras.Variable]] = {}
    for name, variables in groups.items():
        result[name] = []
        for variable in variables:
            if id(variable) not in seen:
                seen.add(id(variable))
                result[name].append(variable)
    return result


class HostCopies:
    """Copies of variables in buffers that are used again.

    A step waits for these copies, and memory that is mapped for the first time takes
    several times as long as memory that is there.
    """

    def __init__(self) -> None:
        self._buffers: dict[str, np.ndarray] = {}

    def take(
        self, groups: Mapping[str, list[keras.Variable]]
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Returns a description of the variables and their arrays.

        The arrays are those of the next call, too: be done with them before.
        """
        described: dict[str, Any] = {}
        arrays: dict[str, np.ndarray] = {}
        for group, variables in groups.items():
            described[group] = []
            for index, variable in enumerate(variables):
                key = f"{group}/{index:05d}"
                reference = add_array(self._copy(key, variable), arrays, key)
                described[group].append({**reference, "path": variable.path})
            for index, values in differing_parts(variables).items():
                key = f"{group}/{index:05d}/replicas"
                described[group][index]["replicas"] = add_array(values, arrays, key)
        return described, arrays

    def _copy(self, key, variable):
        value = _host_view(variable)
        buffer = self._buffers.get(key)
        kind = value.shape, value.dtype
        if buffer is None or (buffer.shape, buffer.dtype) != kind:
            buffer = self._buffers[key] = np.empty(value.shape, value.dtype)
        np.copyto(buffer, value)
        return buffer


def _host_view(variable: keras.Variable) -> np.ndarray:
    """Returns the value as an array, its own memory where that is possible.

    Keras copies it, into memory that is new each time, and the copy that a checkpoint
    needs would be the second. TensorFlow's tensors on the CPU are buffers of Python,
    but not those of its own types.
    """
    backend = keras.backend.backend()
    parts = local_parts(variable)
    if parts:  # to read the whole may take all processes
        return np.asarray(parts[0])
    value = variable.value
    if backend == "jax":
        return whole_array(value)
    if backend == "torch" and value.is_cpu and "bfloat16" not in str(value.dtype):
        return value.detach().numpy()
    if backend == "tensorflow" and str(variable.dtype) in _BUFFER_TYPES:
        tensor = value.read_value() if hasattr(value, "read_value") else value
        if ":CPU:" in getattr(tensor, "device", ""):
            return np.asarray(memoryview(tensor))
    return np.asarray(ops.convert_to_numpy(variable))


def fitting(
    described: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    groups: Mapping[str, list[keras.Variable]],
    optional: Collection[str] = (),
) -> dict[str, Any]:
    """Returns the groups of a checkpoint whose values fit the variables.

    Args:
        described: What `HostCopies.take` returned.
        arrays: The arrays of the checkpoint.
        groups: The variables.
        optional: Groups that may have other shapes or types; they are left out then.

    Raises:
        ValueError: If another group has.
    """
    result = {}
    for group, references in described.items():
        variables = groups.get(group, [])
        before = [[list(arrays[r["key"]].shape), r["dtype"]] for r in references]
        now = [
            [list(v.shape), keras.backend.standardize_dtype(v.dtype)] for v in variables
        ]
        if before == now:
            result[group] = references
            continue
        if group in optional:
            continue
        pairs = zip(before, now, strict=False)
        first = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
        about: dict[str, Any] = {
            "in_checkpoint": len(before),
            "in_this_training": len(now),
        }
        if first is not None:
            about = {
                "variable": variables[first].path,
                "in_checkpoint": before[first],
                "in_this_training": now[first],
            }
        checks.fail(
            f"The checkpoint must have the variables of this training ({group})",
            fix="Use another directory for another training.",
            **about,
        )
    return result


def assign(
    described: Mapping[str, Any],
    arrays: dict[str, np.ndarray],
    groups: Mapping[str, list[keras.Variable]],
) -> None:
    """Assigns the values of a checkpoint."""
    for group, references in described.items():
        for variable, reference in zip(groups[group], references, strict=True):
            parts = reference.get("replicas")
            if parts is None or not assign_parts(variable, array(parts, arrays)):
                variable.assign(array(reference, arrays))
