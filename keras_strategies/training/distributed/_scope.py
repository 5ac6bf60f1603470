"""What Keras trains with: the devices of this process, or those of a group."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private.distribution.process_group import (
    ProcessGroup,
    in_group,
    seed_once,
)
from keras_strategies._internal.launcher.group import Group
from keras_strategies.training.distributed._group import current_group


@contextlib.contextmanager
def scope(
    devices: Sequence[str] | None = None, layout: Any | None = None
) -> Iterator[Any]:
    """Trains the models that are made inside it on several devices or processes.

    A script that runs alone uses all devices of the machine: under
    `tf.distribute.MirroredStrategy` on TensorFlow, `keras.distribution.DataParallel` on
    JAX. The same script under `launch` uses those of all processes:
    `MultiWorkerMirroredStrategy` and the processes of JAX, and so it does in processes
    that another launcher has started, such as Ray's, which sets `TF_CONFIG` or calls
    `jax.distributed.initialize`. Make, compile, train, evaluate and save the model
    inside; give `fit` what it takes anywhere: arrays, an `IndexedDataset`, a
    `tf.data.Dataset`, with the size of the *whole* batch.

    A step computes what one device would have computed of the whole batch, up to
    rounding. To that end this function repairs Keras while it is open: last batches
    that the devices cannot share evenly, `fit` on several workers of TensorFlow,
    `predict` on several processes of JAX, and on TensorFlow means, masks, clipping and
    `BatchNormalization`, which are those of each replica otherwise. One thing differs
    on TensorFlow: random layers draw the same on each replica. On JAX nothing does.

    In a group all processes must do the same, with the same data, weights and seeds: a
    seed is set unless the script has, and weights and first batches are compared. What
    is saved by `save`, `save_weights`, `ModelCheckpoint` and `ResumableTraining` is
    written by the chief alone.

    Args:
        devices: Names of the devices to use, such as `"gpu:0"`; of this process only
            with TensorFlow, and not in a group. Defaults to all.
        layout: A `keras.distribution.LayoutMap`, as of `layout`, which divides weights
            over the devices; on JAX. Defaults to `None`: every device has all weights.

    Yields:
        The `tf.distribute.Strategy`, or the `keras.distribution.Distribution`.

    Raises:
        ValueError: On Torch, for which Keras has neither; if a `layout` is given on
            TensorFlow, or the backend is not the engine of the group.
        RuntimeError: In a group, if something has been computed before.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies.training import distributed

    if keras.backend.backend() != "torch":
        with distributed.scope():
            model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
            model.compile("adam", "mse")
            model.fit(np.ones((12, 3)), np.ones((12, 1)), batch_size=6, verbose=0)
    ```
    """
    backend = keras.backend.backend()
    group = current_group()
    _check(backend, group, devices, layout)
    open_scope = _of_jax if backend == "jax" else _of_tensorflow
    with open_scope(group, devices, layout) as engine:
        yield engine


def _check(backend, group, devices, layout):
    if backend not in ("jax", "tensorflow"):
        checks.fail(
            "Keras trains over several devices on JAX and TensorFlow only",
            fix="Set KERAS_BACKEND=jax, or write a training loop with "
            "torch.nn.parallel.DistributedDataParallel.",
            backend=backend,
        )
    if group is not None and group.engine != backend:
        checks.fail(
            "The backend must be the engine of the group",
            fix="Give `engine` to launch.",
            backend=backend,
            engine=group.engine,
        )
    if group is not None and devices is not None:
        checks.fail(
            "`devices` cannot be chosen in a group",
            fix="Hide some from its processes by CUDA_VISIBLE_DEVICES.",
            devices=list(devices),
        )
    if layout is not None and backend != "jax":
        checks.fail(
            "`layout` needs the JAX backend",
            fix="Set KERAS_BACKEND=jax.",
            backend=backend,
        )
    if layout is not None:
        checks.instance("layout", layout, keras.distribution.LayoutMap)


@contextlib.contextmanager
def _of_jax(group: Group | None, devices: Any, layout: Any) -> Iterator[Any]:
    from keras_strategies._internal.keras_private.distribution import spread_jax

    processes = _joined(group, spread_jax.initialize_processes)
    if layout is not None:
        distribution = keras.distribution.ModelParallel(
            layout_map=layout,
            batch_dim_name=layout.device_mesh.axis_names[0],
            auto_shard_dataset=False,
        )
    else:
        distribution = keras.distribution.DataParallel(
            devices=list(devices or keras.distribution.list_devices()),
            auto_shard_dataset=False,
        )
    with (
        _in(processes),
        spread_jax.mesh_repaired(processes),
        distribution.scope(),
    ):
        yield distribution


@contextlib.contextmanager
def _of_tensorflow(group: Group | None, devices: Any, layout: Any) -> Iterator[Any]:
    from keras_strategies._internal.keras_private.distribution import spread_tensorflow

    if group is None:
        names = list(devices or spread_tensorflow.local_devices())
        strategy, processes = spread_tensorflow.mirrored(names), None
    else:
        strategy = spread_tensorflow.multi_worker()
        processes = _joined(group, lambda: None)
    with (
        strategy.scope(),
        _in(processes),
        spread_tensorflow.strategy_repaired(processes),
    ):
        yield strategy


def _joined(group, connect):
    if group is None:
        return None
    connect()
    processes = ProcessGroup(group.rank, group.size)
    seed = group.seed
    if seed is None:
        seed = int(processes.gather(np.random.default_rng().integers(2**31))[0])
    seed_once(seed)
    return processes


def _in(processes):
    return contextlib.nullcontext() if processes is None else in_group(processes)
