"""What the processes of a group agree on, and who of them writes files.

`tf.distribute` and JAX have collectives; that there are several processes, and that a
model is saved by one of them, no public name of Keras says. Keras 3.12 to 3.15.
"""

import contextlib
import functools
import os
import tempfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras.src.utils import rng_utils
from keras.src.utils.module_utils import tensorflow as lazy_tensorflow

from keras_strategies._internal import checks

_active: list["ProcessGroup"] = []


def active_group() -> "ProcessGroup | None":
    """The group whose `scope` this process is in, `None` outside of one."""
    return _active[-1] if _active else None


class ProcessGroup:
    """The processes that train one model, each of which makes the same calls.

    Args:
        rank: Number of this process.
        size: Number of all.
    """

    def __init__(self, rank: int, size: int):
        self.rank, self.size = rank, size

    @property
    def is_chief(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0

    def gather(self, numbers: np.ndarray) -> np.ndarray:
        """Returns the arrays of all processes, stacked by rank."""
        numbers = np.asarray(numbers)
        if keras.backend.backend() == "jax":
            from jax.experimental import multihost_utils

            gathered = multihost_utils.process_allgather(numbers)
            return np.asarray(gathered).reshape(self.size, *numbers.shape)
        strategy = lazy_tensorflow.distribute.get_strategy()
        local = lazy_tensorflow.constant(numbers[None])
        gathered = _gathered_once(strategy, local)
        return np.asarray(gathered).reshape(self.size, *numbers.shape)

    def barrier(self) -> None:
        """Returns when all processes have come here."""
        self.gather(np.zeros((), "int32"))

    def require_equal(self, number: int, what: str, fix: str) -> None:
        """Raises in all processes if they do not have the same number."""
        numbers = self.gather(np.array(number % 2**31, "int32"))
        if len(set(numbers.tolist())) > 1:
            checks.fail(
                f"{what} must be the same in all processes of the group",
                fix=fix,
                error=RuntimeError,
                checksums=numbers.tolist(),
            )


def _gathered_once(strategy, local):
    """Gathers one tensor of each worker, also of those with several replicas."""
    gathered = strategy.gather(
        strategy.experimental_distribute_values_from_function(lambda context: local),
        axis=0,
    )
    replicas = strategy.num_replicas_in_sync
    here = len(strategy.extended.worker_devices)
    return np.asarray(gathered)[::here] if here < replicas else np.asarray(gathered)


def checksum(arrays: Any) -> int:
    """A number that two different structures of arrays hardly have in common."""
    total = 0
    for leaf in keras.tree.flatten(arrays):
        if leaf is not None:
            data = np.ascontiguousarray(np.asarray(leaf))
            if data.dtype.hasobject:
                data = np.frombuffer(repr(data.tolist()).encode(), "uint8")
            total = zlib.crc32(data.view("uint8").reshape(-1), total)
    return total


def seed_once(seed: int) -> None:
    """Sets the seed of all generators unless the user has. Keras 3.12 to 3.15."""
    if rng_utils.get_random_seed() is None:
        keras.utils.set_random_seed(seed)


def require_equal_weights(model: keras.Model, group: ProcessGroup) -> None:
    """Raises if the processes begin with different weights.

    On JAX each process has its own copy of a weight that is the same everywhere, and
    nothing notices that it is not.
    """
    values = [local_value(v) for v in model.variables]
    group.require_equal(
        checksum([value for value in values if value is not None]),
        "The weights of the model",
        "Call keras.utils.set_random_seed with one number in all of them, and load the "
        "same file.",
    )


def local_value(variable: keras.Variable) -> np.ndarray | None:
    """The value as an array, `None` if this process has a part of it only."""
    value = variable.value
    if keras.backend.backend() == "jax":
        if value.is_fully_addressable or value.is_fully_replicated:
            return np.asarray(value)
        return None
    return np.asarray(keras.ops.convert_to_numpy(variable))


@contextlib.contextmanager
def in_group(group: ProcessGroup) -> Iterator[None]:
    """Has this process be one of a group, whose chief alone writes models."""
    _active.append(group)
    try:
        with _saving_once(group):
            yield
    finally:
        _active.remove(group)


@contextlib.contextmanager
def _saving_once(group):
    """`save` and `save_weights` of all processes leave the file of the chief.

    They are methods of every model, and only a replacement in the class reaches the
    callbacks of Keras that call them.
    """
    methods = {name: getattr(keras.Model, name) for name in ("save", "save_weights")}
    for name, method in methods.items():
        setattr(keras.Model, name, _once(method, group))
    try:
        yield
    finally:
        for name, method in methods.items():
            setattr(keras.Model, name, method)


def _once(method: Callable[..., Any], group: ProcessGroup) -> Callable[..., Any]:
    @functools.wraps(method)
    def save(self, filepath, *args, **kwargs):
        error = None
        with whole_values(self):
            try:
                if group.is_chief:
                    method(self, filepath, *args, **kwargs)
                else:
                    _save_aside(method, self, filepath, args, kwargs)
            except Exception as caught:  # raised when the others know
                error = caught
        # Each waits for the others in any case: one that raised alone would leave them
        # in the next collective for ever.
        failed = group.gather(np.array(error is not None, "int32"))
        if error is not None:
            raise error
        if failed.any():
            raise RuntimeError(
                f"Rank {int(np.argmax(failed))} could not save the model: see its log."
            )

    return save


def _save_aside(method, model, filepath, args, kwargs):
    """All processes must compute the same: each saves, most of them in vain.

    Reading a variable of tf.distribute is a collective, and on JAX what one process
    alone computes from weights of all has the next collective wait for ever.
    """
    with tempfile.TemporaryDirectory() as folder:
        name = os.path.basename(os.fspath(filepath))
        method(model, os.path.join(folder, name), *args, **kwargs)


@contextlib.contextmanager
def whole_values(model: keras.Model) -> Iterator[None]:
    """Gives weights that are divided between processes their whole value for a while.

    On JAX a process cannot read the parts of the others. Keras 3.12 to 3.15.
    """
    replaced = []
    if keras.backend.backend() == "jax":
        optimizer = getattr(model, "optimizer", None)
        variables = [*model.variables, *(optimizer.variables if optimizer else ())]
        for variable in variables:
            value = variable._value
            if value is not None and local_value(variable) is None:
                replaced.append((variable, value))
        for variable, value in replaced:
            variable._value = whole_array(value)
    try:
        yield
    finally:
        for variable, value in replaced:
            variable._value = value


def whole_array(value: Any) -> np.ndarray:
    """Returns the whole of an array of JAX whose parts are in several processes."""
    if value.is_fully_addressable or value.is_fully_replicated:
        return np.asarray(value)
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.process_allgather(value, tiled=True))
