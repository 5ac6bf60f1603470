"""Repairs of `fit` under the strategies of tf.distribute.

What Keras lacks there, in the order of what is met first:

* with several workers the mean of scalars asks for an axis (keras#20585), and a batch
  of each worker cannot be looked at in order to build the model;
* a batch that the replicas do not share evenly weighs its samples unevenly: each
  replica takes the mean of its own samples (or their weights, or masks), and then the
  mean of these means is taken;
* optimizers clip and check the gradients of each replica, not those of the batch;
* `BatchNormalization` uses and keeps statistics of each replica, of which those of the
  first are saved.

Here a batch is cut into parts that differ by one sample at most, every mean divides by
the number of all samples, and gradients are summed before an optimizer sees them, so
that a step is that of one device. The loop has no public place for any of it.
Keras 3.12 to 3.15.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from keras import tree
from keras.src.trainers.epoch_iterator import EpochIterator
from keras.src.utils.module_utils import tensorflow as lazy_tensorflow

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private.distribution import shared_means
from keras_strategies._internal.keras_private.distribution.global_gradients import (
    all_optimizers_global,
)
from keras_strategies._internal.keras_private.distribution.process_group import (
    ProcessGroup,
    checksum,
)
from keras_strategies._internal.keras_private.distribution.replaced_names import (
    replaced,
)
from keras_strategies._internal.keras_private.optimizers import nested_optimizers

_strategies: dict[tuple[str, ...], Any] = {}


@contextlib.contextmanager
def strategy_repaired(group: ProcessGroup | None) -> Iterator[None]:
    """Has `fit`, `evaluate` and `predict` do under a strategy what they do alone."""
    from keras.src.backend.tensorflow import trainer

    of_trainer = trainer.TensorFlowTrainer
    of_iterator = trainer.TFEpochIterator
    changes: list[tuple[Any, str, Any]] = [
        (trainer, "reduce_per_replica", _reduce_per_replica),
        (of_iterator, "__init__", _make_iterator(group)),
        (of_iterator, "_enumerate_iterator", _enumerate_checked(group)),
        (of_trainer, "_maybe_symbolic_build", _symbolic_build(of_trainer)),
        (of_trainer, "_make_function", _make_function(of_trainer)),
        *shared_means.CHANGES,
    ]
    losses = shared_means.losses_of_replicas()
    with replaced(changes), losses, all_optimizers_global():
        yield


def _is_single(strategy):
    return strategy.num_replicas_in_sync == 1


def _make_iterator(group):
    def __init__(self, distribute_strategy=None, *args, **kwargs):
        EpochIterator.__init__(self, *args, **kwargs)
        self._distribute_strategy = distribute_strategy
        adapter, tf = self.data_adapter, lazy_tensorflow
        dataset = adapter.get_tf_dataset()
        if not isinstance(dataset, tf.distribute.DistributedDataset):
            self._batch_spec = dataset.element_spec
            self._first_batches = []
            shards = getattr(getattr(adapter, "py_dataset", None), "num_shards", 1)
            is_own_part = group is not None and shards == group.size
            if group is not None and not is_own_part:
                dataset = _observed(dataset, self._first_batches)
            if not _is_single(distribute_strategy):
                dataset = _divided(dataset, distribute_strategy, is_own_part)
        self._distributed_dataset = dataset

    return __init__


def _divided(dataset, strategy, is_own_part):
    """Deals the batches out: to each replica a part, to all of them the whole."""
    workers = 1 if is_own_part else _workers(strategy)
    here = len(strategy.extended.worker_devices)

    def of_worker(number):
        first = 0 if is_own_part else number * here
        return dataset.flat_map(
            lambda *batch: _parts(batch, first, here, workers * here)
        ).prefetch(2 * here)

    if here == 1:
        # Every worker has a part of every batch, so none needs to hear from the others
        # before each step whether they have data left, as iterators of the strategy do.
        return of_worker(strategy.extended._id_in_cluster)
    return strategy.distribute_datasets_from_function(
        lambda context: of_worker(context.input_pipeline_id)
    )


def _workers(strategy):
    return strategy.num_replicas_in_sync // len(strategy.extended.worker_devices)


def _parts(batch, first, count, total):
    """The parts `first` to `first + count` of `total` of a batch, as a dataset."""
    tf = lazy_tensorflow

    def is_array(leaf):
        return not isinstance(leaf, tf.experimental.Optional)

    rows = tf.shape(next(x for x in tree.flatten(batch) if is_array(x)))[0]

    def part(index):
        index = tf.cast(index, "int32")
        begin, end = index * rows // total, (index + 1) * rows // total

        def cut(leaf):
            return leaf[begin:end] if is_array(leaf) else leaf

        return tree.map_structure(cut, batch)

    return tf.data.Dataset.range(first, first + count).map(part)


def _observed(dataset, seen):
    """Notes a checksum of the first batch that is read, and changes nothing."""
    tf = lazy_tensorflow

    def note(*leaves):
        if not seen:
            seen.append(checksum(list(leaves)))
        return 0

    def look(index, batch):
        leaves = [
            leaf
            for leaf in tree.flatten(batch)
            if not isinstance(leaf, tf.experimental.Optional)
        ]

        def first():
            return tf.numpy_function(note, leaves, tf.int64)

        with tf.control_dependencies(
            [tf.cond(index == 0, first, lambda: tf.constant(0, tf.int64))]
        ):
            return tree.map_structure(
                lambda x: (
                    x if isinstance(x, tf.experimental.Optional) else tf.identity(x)
                ),
                batch,
            )

    return dataset.enumerate().map(look)


def _enumerate_checked(group):
    original = EpochIterator._enumerate_iterator

    def _enumerate_iterator(self):
        seen = getattr(self, "_first_batches", None)
        for item in original(self):
            yield item
            if group is not None and seen and not hasattr(self, "_is_checked"):
                self._is_checked = True
                group.require_equal(
                    seen[0],
                    "The batches of the data",
                    "Use data whose order depends on a seed alone, such as a "
                    "training.IndexedDataset, and set the same seed in all processes.",
                )

    return _enumerate_iterator


def _symbolic_build(of_trainer):
    original = of_trainer._maybe_symbolic_build

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        if self._distribute_strategy is None:
            return
        if iterator is None:
            original(self, iterator, data_batch)
            return
        spec = getattr(iterator, "_batch_spec", None)
        if spec is not None:
            with self.distribute_strategy.scope():
                self._symbolic_build(data_batch=tree.map_structure(_without, spec))

    return _maybe_symbolic_build


def _without(spec):
    return spec if hasattr(spec, "dtype") else None  # what is missing is an Optional


def _make_function(of_trainer):
    original = of_trainer._make_function

    def make(self, step_function):
        strategy = self.distribute_strategy
        if _is_single(strategy):
            return original(self, step_function)
        for name in ("jit_compile", "steps_per_execution"):
            value = getattr(self, name)
            if int(value) > (0 if name == "jit_compile" else 1):
                checks.fail(
                    f"`{name}` cannot be used under tf.distribute",
                    fix="Leave it out of `compile`, or use the JAX backend.",
                    **{name: value},
                )
        _refuse_accumulation(self.optimizer)
        return original(self, shared_means.shared_step(step_function))

    return make


def _refuse_accumulation(optimizer):
    """Keras updates inside a condition then, where replicas cannot meet."""
    for item in nested_optimizers(optimizer) if optimizer is not None else ():
        steps = getattr(item, "gradient_accumulation_steps", None)
        if steps:
            checks.fail(
                "`gradient_accumulation_steps` cannot be used under tf.distribute",
                fix="Give `fit` larger batches, or use the JAX backend.",
                gradient_accumulation_steps=steps,
            )


def _reduce_per_replica(values, strategy, reduction):
    """As Keras's, for scalars of several workers, and parts in the order of rows."""
    tf = lazy_tensorflow
    several = _workers(strategy) > 1

    def reduce(value):
        if _is_single(strategy):
            return value
        if reduction == "concat":
            if several:
                return strategy.gather(value, axis=0)
            parts = strategy.experimental_local_results(value)
            return _concatenated(parts)
        if several:
            operation = "SUM" if reduction == "sum" else "MEAN"
            return strategy.reduce(operation, value, axis=None)
        parts = strategy.experimental_local_results(value)
        if len(parts) == 1:
            return value
        if reduction == "sum":
            return tf.reduce_sum(parts)
        return tf.reduce_mean(parts, axis=0)

    return tree.map_structure(reduce, values)


def _concatenated(parts):
    tf = lazy_tensorflow
    if isinstance(parts[0], tf.SparseTensor):
        return tf.sparse.concat(axis=0, sp_inputs=list(parts))
    return tf.concat(parts, axis=0)


def mirrored(devices: list[str]) -> Any:
    """The strategy over some devices of this process, one for each choice of these.

    A second one would number its collectives as the first one did, and TensorFlow, for
    which the numbers are those of the process, would end both with an error.
    """
    key = tuple(devices)
    if key not in _strategies:
        strategy = lazy_tensorflow.distribute.MirroredStrategy(devices)
        _strategies[key] = strategy
    return _strategies[key]


def multi_worker() -> Any:
    """The strategy of a group, as `TF_CONFIG` tells.

    Raises:
        RuntimeError: If TensorFlow has begun to compute before.
    """
    try:
        return lazy_tensorflow.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        checks.fail(
            "`scope` must come before anything is computed",
            fix="Enter it right after the imports.",
            error=RuntimeError,
            by_tensorflow=str(error),
        )


def local_devices() -> list[str]:
    """The accelerators of this process, else its logical processors."""
    config = lazy_tensorflow.config
    for kind in ("GPU", "CPU"):
        devices = config.list_logical_devices(kind)
        if devices:
            return [device.name for device in devices]
    return []
