"""Augmentation on the workers of the tf.data service."""

import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import runs_in_tf_data
from keras_strategies.augmentation._pipeline.data_service import (
    SHARDING,
    check_pipeline,
    consecutive_epochs,
    seeded_layers,
)

if TYPE_CHECKING:
    import tensorflow as tf


def distribute(
    dataset: "tf.data.Dataset",
    service: str | None,
    layers: keras.layers.Layer | Sequence[keras.layers.Layer] = (),
    seed: int | None = None,
    key: Callable[..., Any] | None = None,
    sharding: Literal["dynamic", "data", "file", "off"] = "dynamic",
    allow_loss: bool = False,
    initial_epoch: int = 0,
) -> "tf.data.Dataset":
    """Runs a `tf.data` pipeline and augmentation on other processes.

    The workers of the [tf.data service](https://www.tensorflow.org/api_docs/python/tf/data/experimental/service)
    read, decode and augment, on this machine or on several, and this process receives
    finished elements. `scripts/data_service` of the repository starts a dispatcher and
    workers.

    Random layers need care with the service: in each epoch a worker starts with the
    seeds that the layers had when the pipeline was registered, so that all epochs have
    the same images and all workers draw the same numbers. Layers passed here draw from

        numbers = f(seed, epoch, key(element))

    instead. The augmentation of an element depends on nothing else, neither on the
    number of workers nor on their sharding nor on the backend, and `service=None`,
    which augments in this process, gives the same images. Each iteration over the
    result is the next epoch. Elements arrive in the order in which workers finish them.
    Batch and repeat the result, not the pipeline. Read files in the pipeline: arrays in
    it are sent to the dispatcher and to every worker in every epoch.

    | `sharding` | Workers process | Each element arrives |
    |---|---|---|
    | `"dynamic"` | the next split of the source (slices, files) | once |
    | `"data"` | every n-th element; the dispatcher knows their addresses | once |
    | `"file"` | every n-th file; the dispatcher knows their addresses | once |
    | `"off"` | all elements | once per worker |

    When a worker dies, the few elements it was processing are lost (4 of 240 in one
    trial). It must be restarted: the service waits for it indefinitely. Each worker
    compiles a layer's XLA program once per epoch; for epochs of few images, layers with
    `jit_compile=False` are faster.

    Args:
        dataset: `tf.data.Dataset` of single elements: an image, a tuple that starts
            with it, or a dict as Keras's image layers take it. It must not call Python
            (`from_generator`, `numpy_function`).
        service: Address of the dispatcher, `"host:port"`, or `None` to run in this
            process.
        layers: Layer, or list of layers, of this package or of Keras, that augment
            single images. Defaults to `()`, none.
        seed: Integer that makes the draws reproducible; `None` derives one from
            `keras.utils.set_random_seed`. Defaults to `None`.
        key: Function of an element's components that returns its name or number, a
            scalar. Elements with the same key get the same numbers in an epoch.
            Defaults to `None`, a hash of the whole element.
        sharding: `"dynamic"`, `"data"`, `"file"` or `"off"`, see above. Defaults to
            `"dynamic"`.
        allow_loss: Whether an epoch may end with missing elements. Otherwise that
            raises TensorFlow's `FailedPreconditionError`, if the length of `dataset` is
            known. Defaults to `False`.
        initial_epoch: Number of the first epoch, at least 0, to continue after an
            interruption. Defaults to `0`.

    Returns:
        A `tf.data.Dataset` for `fit` on every backend.

    Raises:
        ConnectionError: If nothing listens at `service`.
        TypeError: If `dataset` is no dataset or a layer no layer.
        ValueError: If the pipeline calls Python, draws from a layer's own seed,
            repeats or batches before `layers` augment, or an argument is out of its
            range.

    Example:

    ```python
    import keras
    import numpy as np
    import tensorflow as tf
    from keras_strategies import augmentation

    images = np.random.rand(8, 16, 16, 3).astype("float32")
    dataset = tf.data.Dataset.from_tensor_slices((images, np.arange(8)))
    augmented = augmentation.distribute(
        dataset,
        service=None,  # "localhost:5050" after scripts/data_service
        layers=augmentation.RandomAffine(rotation_factor=0.1),
        seed=1,
        key=lambda image, number: number,
    )
    for images, numbers in augmented.shuffle(8).batch(4):
        assert images.shape == (4, 16, 16, 3)
    ```
    """
    import tensorflow as tf

    checks.instance("dataset", dataset, tf.data.Dataset)
    checks.choice("sharding", sharding, tuple(SHARDING))
    checks.boolean("allow_loss", allow_loss)
    checks.integer("initial_epoch", initial_epoch, low=0)
    checks.integer("seed", seed, optional=True)
    if seed is None:
        seed = np.random.randint(1 << 31)
    layers = _checked_layers(layers)
    if key is not None and not callable(key):
        checks.fail("`key` must be a function", error=TypeError, key=key)
    if service is not None:
        service = _reachable(service)
    check_pipeline(dataset, bool(layers))
    pipelines = seeded_layers(dataset, layers, seed, key) if layers else None
    result = consecutive_epochs(dataset, pipelines, service, sharding, initial_epoch)
    length = dataset.cardinality()
    is_complete = service is None or sharding != "off"
    if is_complete and length >= 0 and not allow_loss:
        result = result.apply(tf.data.experimental.assert_cardinality(length))
    return result


def _checked_layers(layers: Any) -> list[keras.layers.Layer]:
    """Returns a flat list of layers, without Keras's containers."""
    flat = []
    for layer in layers if isinstance(layers, list | tuple) else [layers]:
        checks.instance("layers", layer, keras.layers.Layer)
        if isinstance(layer, keras.Sequential | keras.layers.Pipeline):
            flat += _checked_layers(layer.layers)
        elif runs_in_tf_data(layer):
            flat.append(layer)
        else:
            fix = "Give image layers of this package or of Keras."
            name = type(layer).__name__
            checks.fail("`layers` must run in tf.data", fix=fix, layer=name)
    return flat


def _reachable(service: str | None) -> str:
    """Checks that a dispatcher listens at an address; returns it with its protocol."""
    checks.instance("service", service, str)
    protocol, _, address = service.rpartition("://")
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        fix = 'Give "host:port" of the dispatcher.'
        checks.fail("`service` must be an address", fix=fix, service=service)
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except OSError as error:
        fix = f"Start it, for example with scripts/data_service ({error})."
        rule = "a dispatcher must listen at `service`"
        message = checks.message(rule, {"service": service}, fix)
        raise ConnectionError(message) from error
    return f"{protocol or 'grpc'}://{address}"
