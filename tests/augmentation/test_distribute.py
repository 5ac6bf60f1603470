"""Pipelines on the tf.data service: in this process, and in real ones (slow)."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_strategies.augmentation import RandomAffine, distribute

SERVERS = Path(__file__).parents[2] / "scripts" / "_data_service.py"


def pipeline(count=12, size=6):
    images = np.random.default_rng(0).random((count, size, size, 3), "float32")
    return tf.data.Dataset.from_tensor_slices((images, np.arange(count)))


def layers():
    # XLA would compile one program an epoch and worker: dear for so few images.
    affine = RandomAffine(rotation_factor=0.2, jit_compile=False)
    return [affine, keras.layers.RandomBrightness(0.3, value_range=(0, 1))]


def epoch(dataset):
    """The pictures by number; every number once."""
    found = [(int(number), image.numpy()) for image, number in dataset]
    assert len(dict(found)) == len(found)
    return dict(found)


def same(some, others):
    assert some.keys() == others.keys()
    for number, image in some.items():
        np.testing.assert_array_equal(image, others[number])


def number(image, number):
    return number


@pytest.fixture(scope="module")
def service():
    """A dispatcher and two workers in this process."""
    served = tf.data.experimental.service
    dispatcher = served.DispatchServer()
    address = dispatcher.target.split("://")[1]
    config = served.WorkerConfig(dispatcher_address=address)
    workers = [served.WorkerServer(config) for _ in range(2)]
    yield address
    for worker in workers:
        worker._stop()
    dispatcher._stop()


def test_an_element_gets_its_numbers_wherever_it_is_augmented(service):
    here = distribute(pipeline(), None, layers(), seed=1, key=number)
    first, second = epoch(here), epoch(here)
    assert list(first) == list(range(12))
    assert all((first[i] != second[i]).any() for i in first)
    there = distribute(pipeline(), service, layers(), seed=1, key=number)
    same(epoch(there), first)
    same(epoch(there), second)
    late = distribute(pipeline(), None, layers(), seed=1, key=number, initial_epoch=1)
    same(epoch(late), second)
    assert len(there) == 12
    # Once a worker, and then without a length to hold.
    assert len(list(distribute(pipeline(), service, sharding="off"))) == 24


def test_numbers_follow_seed_and_key():
    def pictures(seed=3, key=None, images=None):
        images = np.stack([np.eye(6)] * 3)[..., None] if images is None else images
        dataset = tf.data.Dataset.from_tensor_slices(images.astype("float32"))
        affine = RandomAffine(rotation_factor=0.2, jit_compile=False)
        result = distribute(dataset, None, affine, seed=seed, key=key)
        return np.stack(list(result.as_numpy_iterator()))

    alike = pictures()  # the same content: the same numbers
    np.testing.assert_array_equal(alike[0], alike[1])
    np.testing.assert_array_equal(alike, pictures())
    assert (alike != pictures(seed=4)).any()
    sums = pictures(key=lambda image: tf.strings.as_string(tf.reduce_sum(image)))
    assert sums.shape == alike.shape
    others = pictures(images=np.stack([np.eye(6), 2 * np.eye(6)])[..., None])
    assert (others[1] != 2 * others[0]).any()
    # Without a seed: another one each time, that of set_random_seed.
    keras.utils.set_random_seed(7)
    free = pictures(seed=None)
    assert (free != pictures(seed=None)).any()
    keras.utils.set_random_seed(7)
    np.testing.assert_array_equal(free, pictures(seed=None))


def test_containers_of_layers_are_taken_apart():
    flips = keras.Sequential([keras.layers.RandomFlip(), keras.layers.Rescaling(2.0)])
    result = epoch(distribute(pipeline(), None, [flips], seed=0, key=number))
    for image, count in pipeline().as_numpy_iterator():
        assert result[int(count)].sum() == pytest.approx(2 * image.sum(), rel=1e-5)


def _through_python():
    spec = tf.TensorSpec((), "int32")
    return tf.data.Dataset.from_generator(lambda: iter([1]), output_signature=spec)


@pytest.mark.parametrize(
    ("make", "settings", "error", "message"),
    [
        (_through_python, {}, ValueError, "must not call Python"),
        (lambda: pipeline().repeat(2), {}, ValueError, "Repeat the result"),
        (lambda: pipeline().batch(2), {}, ValueError, "Batch the result"),
        (pipeline, {"layers": keras.layers.Dropout(0.5)}, ValueError, "run in tf.data"),
        (pipeline, {"layers": [len]}, TypeError, "must be a Layer"),
        (pipeline, {"service": "nowhere"}, ValueError, "must be an address"),
        (pipeline, {"service": "localhost:1"}, ConnectionError, "must listen"),
        (pipeline, {"sharding": "even"}, ValueError, "`sharding` must be one of"),
        (pipeline, {"key": 3}, TypeError, "must be a function"),
        (pipeline, {"key": lambda *e: e[0]}, ValueError, "must return a scalar"),
        (pipeline, {"key": lambda *e: 0.5}, TypeError, "an integer or a string"),
        (list, {}, TypeError, "must be a "),
    ],
)
def test_what_cannot_be_distributed_is_refused(make, settings, error, message):
    arguments = {"service": None, "layers": layers(), **settings}
    with pytest.raises(error, match=message):
        distribute(make(), **arguments)


def test_layers_with_seeds_of_their_own_are_refused():
    layer = RandomAffine(rotation_factor=0.1, jit_compile=False)
    mapped = pipeline().map(lambda image, count: layer(image, training=True))
    with pytest.raises(ValueError, match="must not change a variable"):
        distribute(mapped, None)


@pytest.mark.tensorflow
def test_layers_that_ignore_the_given_seeds_are_refused():
    class Stubborn(RandomAffine):
        def _get_seed_generator(self, backend=None):
            return self.generator

        def get_random_transformation(self, data, training=True, seed=None):
            return super().get_random_transformation(data, training, self.generator)

    layer = Stubborn(rotation_factor=0.1, jit_compile=False)
    with pytest.raises(ValueError, match="`layers` must not change a variable"):
        distribute(pipeline(), None, layer)


@pytest.fixture
def servers():
    """A dispatcher and two workers in processes, as scripts/data_service has them."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    command = [sys.executable, SERVERS, "--port", port, "--workers", "2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    pids = []
    for line in process.stdout:
        name, _, rest = line.strip().partition(" ")
        if name == "service:":
            break
        pids.append(int(rest))
    yield rest, pids, process
    process.send_signal(signal.SIGTERM)
    process.stdout.read()
    process.stdout.close()
    assert process.wait(30) == 0


@pytest.mark.slow
@pytest.mark.parametrize("sharding", ["dynamic", "data"])
def test_processes_give_the_same_pictures_and_train(servers, sharding):
    address, _, _ = servers
    here = distribute(pipeline(), None, layers(), seed=1)
    there = distribute(pipeline(), address, layers(), seed=1, sharding=sharding)
    for _ in range(2):
        same(epoch(there), epoch(here))
    model = keras.Sequential(
        [keras.Input((6, 6, 3)), keras.layers.Flatten(), keras.layers.Dense(12)]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, run_eagerly=True)
    history = model.fit(there.batch(4), epochs=2, shuffle=False, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


@pytest.mark.slow
@pytest.mark.parametrize("allow_loss", [False, True])
def test_a_killed_worker_loses_elements_loudly(servers, allow_loss):
    address, pids, process = servers
    count, seen = 3000, []
    dataset = distribute(pipeline(count, 32), address, allow_loss=allow_loss)
    failed = False
    try:
        for _, i in dataset:
            seen.append(int(i))
            if len(seen) == 20:
                os.kill(pids[1], signal.SIGKILL)
                assert "died" in process.stdout.readline()
    except tf.errors.FailedPreconditionError:
        failed = True
    assert len(set(seen)) == len(seen) <= count
    assert len(seen) > count / 2
    assert failed == (len(seen) < count and not allow_loss)
