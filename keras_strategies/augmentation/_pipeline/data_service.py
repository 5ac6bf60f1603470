"""Pipelines with random numbers per element and epoch, for the tf.data service."""

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import seeds_from
from keras_strategies._internal.types import Tensor
from keras_strategies.augmentation._base.element_seeds import ElementSeeds, content_hash

if TYPE_CHECKING:
    import tensorflow as tf


# Names of this package -> those of tf.data.experimental.service.ShardingPolicy.
SHARDING = {"dynamic": "DYNAMIC", "data": "DATA", "file": "FILE", "off": "OFF"}
_PYTHON = {"PyFunc", "PyFuncStateless", "EagerPyFunc"}
_REPEATS = {"RepeatDataset", "ForeverRepeatDataset"}
_ASSIGNS = {
    *("AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp"),
    "LookupTableInsertV2",
}


def check_pipeline(dataset: "tf.data.Dataset", augments: bool) -> None:
    """Checks for operations that workers cannot run, or would silently run wrong."""
    import tensorflow as tf

    # Only the serialized graph shows which operations a pipeline has.
    variant = tf.data.experimental.to_variant(dataset)
    graph = tf.compat.v1.GraphDef.FromString(
        tf.raw_ops.DatasetToGraphV2(input_dataset=variant).numpy()
    )
    outer = {node.op for node in graph.node}
    inner = {node.op for f in graph.library.function for node in f.node_def}
    if (outer | inner) & _PYTHON:
        raise ValueError(
            "`dataset` must not call Python (from_generator, py_function, "
            "numpy_function, text operations), which the workers do not have. Read "
            "and transform the data with TensorFlow's operations."
        )
    if inner & _ASSIGNS:
        raise ValueError(
            "`dataset` must not change a variable, as random layers do with their "
            "seed: each worker would start from the same seeds in every epoch. Give "
            "such layers in `layers`."
        )
    if not augments:
        return
    if outer & _REPEATS:
        raise ValueError(
            "`dataset` must not repeat before `layers` augment: every repetition would "
            "get the same numbers. Repeat the result."
        )
    if any(op.startswith(("BatchDataset", "ParallelBatchDataset")) for op in outer):
        raise ValueError(
            "`dataset` must have single elements, which `layers` augment separately. "
            "Batch the result."
        )


def seeded_layers(
    dataset: "tf.data.Dataset",
    layers: Sequence[keras.layers.Layer],
    seed: int,
    key: Callable[..., Any] | None,
) -> Callable[[Any], Any]:
    """Returns `pipeline(epoch)`: `dataset` augmented by numbers of seed and element."""
    import tensorflow as tf

    is_single = not isinstance(dataset.element_spec, tuple)

    def augment(epoch: int, *element: Any) -> Tensor:
        element_id = _element_id(element, key)
        numbers = tf.stack([tf.constant(seed, tf.int64), epoch])
        numbers = tf.random.experimental.stateless_fold_in(numbers, element_id)
        seeds = ElementSeeds(numbers)
        image, *labels = element
        for layer in layers:
            with seeds_from(layer, seeds):
                image = layer(image, training=True)
        return image if is_single else (image, *labels)

    # Traced once; every epoch calls the same function.
    spec = dataset.element_spec
    specs = (spec,) if is_single else spec
    traced = tf.function(augment, autograph=False).get_concrete_function(
        tf.TensorSpec((), tf.int64), *specs
    )
    if any(tensor.dtype == tf.resource for tensor in traced.captured_inputs):
        _check_states(traced, layers)

    def pipeline(epoch: int) -> Any:
        run = functools.partial(traced, tf.cast(epoch, tf.int64))
        return dataset.map(lambda *e: run(*e), num_parallel_calls=tf.data.AUTOTUNE)

    return pipeline


def _check_states(traced: Any, layers: Sequence[keras.layers.Layer]) -> None:
    """Checks that no layer draws from a state of its own instead of the seeds."""
    graph = traced.graph.as_graph_def()
    inner = {node.op for f in graph.library.function for node in f.node_def}
    if (inner | {node.op for node in graph.node}) & _ASSIGNS:
        names = [type(layer).__name__ for layer in layers]
        fix = "Only image layers draw from given seeds."
        checks.fail("`layers` must not change a variable", fix=fix, layers=names)


def _element_id(element: Any, key: Callable[..., Any] | None) -> Tensor:
    """Returns the number that identifies an element, an int64."""
    import tensorflow as tf

    if key is None:
        return content_hash(*tf.nest.flatten(element, expand_composites=True))
    name = tf.convert_to_tensor(key(*element))
    if name.shape.rank not in (0, None):
        rule = "`key` must return a scalar"
        checks.fail(rule, shape=tuple(name.shape))
    if name.dtype == tf.string:
        return tf.strings.to_hash_bucket_fast(name, 2**63 - 1)
    if not name.dtype.is_integer:
        rule = "`key` must return an integer or a string"
        checks.fail(rule, error=TypeError, dtype=name.dtype.name)
    return tf.cast(name, tf.int64)


def consecutive_epochs(
    dataset: "tf.data.Dataset",
    pipeline: Callable[[Any], Any] | None,
    service: str | None,
    sharding: str,
    initial_epoch: int,
) -> "tf.data.Dataset":
    """Returns a dataset of which each iteration is the next epoch."""
    import tensorflow as tf

    served = tf.data.experimental.service
    mode = getattr(served.ShardingPolicy, SHARDING[sharding])
    if pipeline is None:
        if service is None:
            return dataset
        return dataset.apply(served.distribute(mode, service))
    counter = itertools.count(initial_epoch)
    if service is None:
        epochs = _new_element(lambda: next(counter), tf.int64)
        return epochs.flat_map(pipeline)
    spec = pipeline(0).element_spec

    def register() -> Any:
        # A worker does not know how often a pipeline has run: each epoch is
        # registered as a pipeline of its own.
        return served.register_dataset(service, pipeline(next(counter))).numpy()

    return _new_element(register, tf.string).flat_map(
        lambda name: served.from_dataset_id(mode, service, name, element_spec=spec)
    )


def _new_element(create: Callable[[], Any], dtype: Any) -> "tf.data.Dataset":
    """Returns a dataset of one element that is created anew in each iteration."""
    import tensorflow as tf

    def elements() -> Iterator[Any]:
        yield create()

    spec = tf.TensorSpec((), dtype)
    return tf.data.Dataset.from_generator(elements, output_signature=spec)
