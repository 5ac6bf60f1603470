"""Augmentation on the workers of the tf.data service."""

import socket

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import runs_in_tf_data
from keras_strategies.augmentation._service import (
    SHARDING,
    check_pipeline,
    epoch_after_epoch,
    seeded_layers,
)


def distribute(
    dataset,
    service,
    layers=(),
    seed=None,
    key=None,
    sharding="dynamic",
    allow_loss=False,
    initial_epoch=0,
):
    """Runs a `tf.data` pipeline, and augmentation after it, on other processes.

    The workers of the [tf.data service](https://www.tensorflow.org/api_docs/python/tf/data/experimental/service)
    read, decode and augment, on this machine or on many, and this process gets
    finished elements. `scripts/data_service` of the repository starts a dispatcher and
    workers.

    Random layers need care there: a worker starts in each epoch with the seeds that
    the layers had when the pipeline was registered, so that every epoch brings the
    same pictures and the workers draw the same numbers. Layers that are given here
    draw from

        numbers = f(seed, epoch, key(element))

    instead. What happens to an element depends on nothing else: neither the number of
    workers nor their sharding nor the backend, and `service=None`, which
    augments in this process, gives the same pictures. Each pass over the result is the
    next epoch. Elements come in the order in which workers finish them. Batch and
    repeat the result, not the pipeline. Read files in the pipeline: arrays that it
    holds are sent to the dispatcher and to every worker in every epoch.

    | `sharding` | Workers process | Each element comes |
    |---|---|---|
    | `"dynamic"` | the next of the source (slices, files) that nobody has | once |
    | `"data"` | every n-th element; the dispatcher knows their addresses | once |
    | `"file"` | every n-th file; the dispatcher knows their addresses | once |
    | `"off"` | everything, each of them | once a worker |

    What a worker held when it died is lost, a few elements (4 of 240 in one trial).
    It must be started again: the service waits for it for ever. Each worker compiles
    a layer's XLA program once an epoch; where epochs have few images, layers with
    `jit_compile=False` are faster.

    Args:
        dataset: `tf.data.Dataset` of single elements: an image, a tuple that starts
            with it, or a dict as Keras's image layers take it. It must not call Python
            (`from_generator`, `numpy_function`).
        service: Address of the dispatcher, `"host:port"`, or `None` for none.
        layers: Layer, or list of layers, that augment single images: this package's
            and Keras's.
        seed: Integer that makes the draws reproducible; `None` takes one from
            `keras.utils.set_random_seed`. Default `None`.
        key: Function of an element's parts that returns its name or number, a scalar.
            Elements with the same key get the same numbers in an epoch. Default
            `None`: a hash of all that is in the element.
        sharding: `"dynamic"` (default), `"data"`, `"file"` or `"off"`, see above.
        allow_loss: Whether an epoch may end with elements missing. By default that
            raises TensorFlow's `FailedPreconditionError`, where the length of `dataset`
            is known. Default `False`.
        initial_epoch: Number of the first pass, at least 0, to go on after an
            interruption. Default 0.

    Returns:
        A `tf.data.Dataset` for `fit` on every backend.

    Raises:
        ConnectionError: If nothing answers at `service`.
        TypeError: If `dataset` or a layer is none.
        ValueError: If the pipeline calls Python, draws from a layer's own seed,
            repeats or batches what `layers` shall augment, or an argument is outside
            its range.

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
    result = epoch_after_epoch(dataset, pipelines, service, sharding, initial_epoch)
    length = dataset.cardinality()
    whole = service is None or sharding != "off"
    if whole and length >= 0 and not allow_loss:
        result = result.apply(tf.data.experimental.assert_cardinality(length))
    return result


def _checked_layers(layers):
    """A flat list of layers; the containers of Keras are taken apart."""
    given = list(layers) if isinstance(layers, list | tuple) else [layers]
    flat = []
    for layer in given:
        checks.instance("layers", layer, keras.layers.Layer)
        if isinstance(layer, keras.Sequential | keras.layers.Pipeline):
            flat += _checked_layers(layer.layers)
        elif runs_in_tf_data(layer):
            flat.append(layer)
        else:
            fix = "Give this package's or Keras's image layers."
            name = type(layer).__name__
            checks.fail("`layers` must run in tf.data", fix=fix, layer=name)
    return flat


def _reachable(service):
    """The address with its protocol, if something listens there."""
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
