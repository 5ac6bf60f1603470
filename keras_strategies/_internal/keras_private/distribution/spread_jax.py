"""Repairs of training over a mesh of JAX: any data, any batch size, `predict`.

Keras places a batch by the layout of the first one, so that a last batch that the
devices cannot share ends in an error; of several processes it asks for a part of each
batch, which it makes from a tf.data.Dataset only; and `predict` reads outputs of which
a process has a part. The loop has no public place for any of it. Keras 3.12 to 3.15.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private.distribution.process_group import (
    ProcessGroup,
    checksum,
    require_equal_weights,
    whole_array,
)
from keras_strategies._internal.keras_private.distribution.replaced_names import (
    replaced,
)

_ADVICE = (
    "Use data whose order depends on a seed alone, such as a training.IndexedDataset, "
    "and set the same seed in all processes."
)


def initialize_processes() -> None:
    """Connects the processes of a group, as its launcher has told.

    Raises:
        RuntimeError: If something has been computed before.
    """
    import jax

    if jax.distributed.is_initialized():
        return
    try:
        keras.distribution.initialize()
    except RuntimeError as error:
        checks.fail(
            "`scope` must come before anything is computed",
            fix="Enter it right after the imports.",
            error=RuntimeError,
            by_jax=str(error),
        )


@contextlib.contextmanager
def mesh_repaired(group: ProcessGroup | None) -> Iterator[None]:
    """Has `fit`, `evaluate` and `predict` take any data while it is open."""
    from keras.src.backend.jax import trainer

    changes: list[tuple[Any, str, Any]] = [
        (trainer, "_distribute_data", lambda data, layouts=None: placed(data)),
        (
            trainer.JAXEpochIterator,
            "_get_distributed_iterator",
            lambda self, distribution: _batches(self.data_adapter, group),
        ),
        (trainer.JAXTrainer, "make_train_function", _make_function("train", group)),
        (trainer.JAXTrainer, "make_test_function", _make_function("test", None)),
    ]
    if group is not None:
        changes += [
            (trainer.JAXTrainer, "make_predict_function", _whole_outputs()),
        ]
    with replaced(changes):
        yield


def _batches(adapter, group):
    is_own_part = group is not None and _shards(adapter) == group.size > 1
    is_first = True
    for data in adapter.get_jax_iterator():
        if is_own_part:
            yield _from_parts(data, group)
            continue
        if is_first and group is not None:
            group.require_equal(checksum(data), "The batches of the data", _ADVICE)
        is_first = False
        yield placed(data)


def _shards(adapter):
    """How many processes share the batches that a data set gives."""
    dataset = getattr(adapter, "py_dataset", None)
    return getattr(dataset, "num_shards", 1)


def placed(data: Any) -> Any:
    """Returns a batch, which all processes have, divided over the mesh.

    One that the devices cannot share evenly is computed by each of them as a whole:
    the same result, of a batch that is at most the last one of an epoch.
    """
    import jax

    distribution = keras.distribution.distribution()
    if distribution is None:
        return keras.tree.map_structure(jax.device_put, data)
    replicas = distribution.num_model_replicas
    leaves = [leaf for leaf in keras.tree.flatten(data) if leaf is not None]
    divides = all(leaf.ndim and leaf.shape[0] % replicas == 0 for leaf in leaves)

    def place(leaf):
        if leaf is None:
            return None
        sharding = _sharding(distribution, leaf.shape, divides)
        if sharding.is_fully_addressable:
            return jax.device_put(leaf, sharding)
        array = np.asarray(leaf)
        return jax.make_array_from_callback(array.shape, sharding, array.__getitem__)

    return keras.tree.map_structure(place, data)


def _sharding(distribution, shape, divides):
    layout = distribution.get_data_layout(shape)
    if not divides:
        none = [None] * len(shape)
        layout = keras.distribution.TensorLayout(none, distribution.device_mesh)
    return layout.backend_layout


def _from_parts(data, group):
    """A batch of which each process has read its own records."""
    import jax

    distribution = keras.distribution.distribution()
    rows = keras.tree.flatten(data)[0].shape[0]
    counts = group.gather(np.array(rows, "int32"))
    local = distribution.num_model_replicas // group.size
    if len(set(counts.tolist())) > 1 or rows % max(1, local):
        checks.fail(
            "Each process must have as many records of a batch, for all its devices",
            fix="Give drop_remainder=True, another `batch_size`, or num_shards=1.",
            records=counts.tolist(),
        )

    def place(leaf):
        if leaf is None:
            return None
        sharding = _sharding(distribution, leaf.shape, True)
        return jax.make_array_from_process_local_data(sharding, np.asarray(leaf))

    return keras.tree.map_structure(place, data)


def _make_function(kind, group):
    from keras.src.backend.jax import trainer

    original = getattr(trainer.JAXTrainer, f"make_{kind}_function")
    attribute = f"{kind}_function"

    def make_function(self, force=False):
        if group is not None:
            require_equal_weights(self, group)
        before = getattr(self, attribute)
        original(self, force)
        distribution = keras.distribution.distribution()
        if getattr(self, attribute) is not before and isinstance(
            distribution, keras.distribution.DataParallel
        ):
            step = getattr(self, f"{kind}_step")
            function = _replicating(self, step, distribution.device_mesh)
            setattr(self, attribute, function)

    return make_function


def _replicating(model, step, mesh):
    """A step that leaves all of its state on every device.

    Keras compiles one for the layouts of each weight that trained when it was made, and
    a callback that unfreezes a layer afterwards ends it with an error.
    """
    import jax

    if model.jit_compile and not model.run_eagerly:
        everywhere = keras.distribution.TensorLayout([], mesh).backend_layout
        step = jax.jit(step, donate_argnums=0, out_shardings=(None, everywhere))
    return model._make_function(step)


def _whole_outputs():
    from keras.src.backend.jax import trainer

    original = trainer.JAXTrainer.make_predict_function

    def make_predict_function(self, force=False):
        before = self.predict_function
        result = original(self, force)
        function = self.predict_function
        if function is not before:

            def predict_function(state, iterator):
                outputs, state = function(state, iterator)
                return keras.tree.map_structure(whole_array, outputs), state

            self.predict_function = predict_function
        return result

    return make_predict_function
