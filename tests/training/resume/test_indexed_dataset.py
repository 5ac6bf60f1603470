"""Batches of an IndexedDataset: the same whatever came before, for every source."""

import pathlib
import random
import warnings

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_strategies import training
from keras_strategies.training._indexed.tfrecord import masked_checksums

BACKEND = keras.backend.backend()


def _records(data, epoch):
    return [data.records(step, epoch) for step in range(data.steps_per_epoch)]


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(1, 60),
    batch=st.integers(1, 9),
    seed=st.integers(0, 2**40),
    epoch=st.integers(0, 1000),
)
def test_each_epoch_has_every_record_once(size, batch, seed, epoch):
    data = training.IndexedDataset((np.arange(size),), batch, seed)
    rows = np.concatenate(_records(data, epoch))
    assert sorted(rows) == list(range(size))
    assert len(data) == -(-size // batch)
    again = training.IndexedDataset((np.arange(size),), batch, seed)
    # Any order of asking.
    for step in reversed(range(len(data))):
        np.testing.assert_array_equal(
            again.records(step, epoch), data.records(step, epoch)
        )


@settings(max_examples=40, deadline=None)
@given(size=st.integers(8, 50), shards=st.sampled_from([2, 4]))
def test_shards_have_together_what_one_has(size, shards):
    options = {"batch_size": 8, "seed": 1, "drop_remainder": True}
    whole = training.IndexedDataset((np.arange(size),), **options)
    parts = [
        training.IndexedDataset(
            (np.arange(size),), num_shards=shards, shard_index=i, **options
        )
        for i in range(shards)
    ]
    for step in range(len(whole)):
        rows = np.stack([part.records(step, 3) for part in parts], axis=1)
        np.testing.assert_array_equal(rows.reshape(-1), whole.records(step, 3))


def test_order_follows_philox():
    data = training.IndexedDataset((np.arange(20),), 20, seed=7)
    expected = np.random.Generator(np.random.Philox(key=[7, 2])).permutation(20)
    np.testing.assert_array_equal(data.records(0, 2), expected)
    plain = training.IndexedDataset((np.arange(20),), 20, shuffle=False)
    np.testing.assert_array_equal(plain.records(0, 2), np.arange(20))


def test_augmentation_is_a_function_of_record_and_epoch():
    def noisy(record, rng):
        return record[0] + rng.random(), record[1]

    x = np.arange(12.0)

    def values(batch, epoch, threads=0):
        data = training.IndexedDataset((x, x), batch, transform=noisy, threads=threads)
        data.epoch = epoch
        pairs = [data[step] for step in range(len(data))]
        return {
            float(b): float(a) for xs, ys in pairs for a, b in zip(xs, ys, strict=True)
        }

    assert values(5, 1) == values(3, 1) == values(4, 1, threads=3)
    assert values(5, 1) != values(5, 2)
    assert len({a - b for b, a in values(5, 1).items()}) == 12


@pytest.mark.parametrize("shuffle", [True, False])
def test_fit_takes_the_batches_in_order(shuffle):
    order = []

    class Recording(training.IndexedDataset):
        def _read(self, epoch, step):
            order.append((epoch, step))
            return super()._read(epoch, step)

    x = np.ones((10, 2), "float32")
    data = Recording((x, x[:, :1]), 4)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    state = random.getstate()
    model.fit(data, epochs=2, shuffle=shuffle, validation_data=data, verbose=0)
    model.fit(data, epochs=1, shuffle=shuffle, verbose=0)
    assert random.getstate() == state  # Keras would have drawn an order from it
    wanted = [(e, s) for e in range(3) for s in range(3)]
    trained = list(dict.fromkeys(order))
    assert trained == wanted
    assert data.epoch == 2


def test_steps_per_epoch_shortens_each_epoch():
    seen = []

    class Recording(training.IndexedDataset):
        def _read(self, epoch, step):
            seen.append((epoch, step))
            return super()._read(epoch, step)

    x = np.ones((10, 2), "float32")
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(Recording((x, x), 4), epochs=3, steps_per_epoch=2, verbose=0)
    # TensorFlow reads ahead; no epoch goes on where the last one ended.
    assert [(e, s) for e, s in dict.fromkeys(seen) if s < 2] == [
        (e, s) for e in range(3) for s in range(2)
    ]


def test_begin_at_is_the_rest_of_an_epoch():
    seen = []

    class Recording(training.IndexedDataset):
        def _read(self, epoch, step):
            seen.append((epoch, step))
            return super()._read(epoch, step)

    x = np.ones((12, 2), "float32")
    data = Recording((x, x[:, :1]), 3)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(data, verbose=0)
    data.begin_at(4, 2)
    assert len(data) == 4  # until the epoch begins
    seen.clear()
    with warnings.catch_warnings():  # `fit` itself expects four batches
        warnings.simplefilter("ignore")
        model.fit(data, verbose=0)
    assert [pair for pair in dict.fromkeys(seen) if pair[0]] == [(4, 2), (4, 3)]
    assert len(data) == 4
    with pytest.raises(ValueError, match="`step`"):
        data.begin_at(0, 5)


def test_wrong_arguments_are_named():
    x = np.arange(10)
    for options, text in [
        ({"batch_size": 3, "num_shards": 2}, "multiple of `num_shards`"),
        ({"batch_size": 9, "num_shards": 3}, "a record for each shard"),
        ({"batch_size": 11, "drop_remainder": True}, "records of a batch"),
        ({"shard_index": 1}, "`shard_index`"),
        ({"seed": -1}, "`seed`"),
    ]:
        with pytest.raises(ValueError, match=text):
            training.IndexedDataset((x,), **options)
    with pytest.raises(TypeError, match=r"len\(source\)"):
        training.IndexedDataset(iter([1]))
    with pytest.raises(ValueError, match="same number of records"):
        training.IndexedDataset((x, x[:3]))
    with pytest.raises(ValueError, match="Use `threads`"):
        training.IndexedDataset((x,)).workers = 4
    with pytest.raises(IndexError):
        training.IndexedDataset((x,))[1]


def test_dicts_and_sequences():
    data = training.IndexedDataset(
        {"a": np.arange(6), "b": np.ones((6, 2))}, 4, shuffle=False
    )
    assert data[1]["a"].tolist() == [4, 5]
    pairs = training.IndexedDataset([(i, [i, i]) for i in range(6)], 4, shuffle=False)
    assert pairs[1][0].tolist() == [4, 5]
    assert pairs[0][1].shape == (4, 2)


def test_directory_of_images(tmp_path):
    import cv2

    for label, name in enumerate(["cat", "dog"]):
        (tmp_path / name).mkdir()
        for i in range(3):
            image = np.full((6, 8, 3), 40 * label + 10 * i, "uint8")
            image[..., 0] = 255  # blue, in OpenCV's order
            cv2.imwrite(str(tmp_path / name / f"{i}.png"), image)
    data = training.IndexedDataset.from_directory(
        tmp_path, (3, 4), batch_size=4, shuffle=False, threads=2
    )
    images, labels = data[0]
    assert images.shape == (4, 3, 4, 3)
    assert images.dtype == "float32"
    assert labels.tolist() == [0, 0, 0, 1]
    assert images[3, 0, 0].tolist() == [40, 40, 255]
    (tmp_path / "dog" / "0.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match="cannot be decoded"):
        data[0]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="folders with images"):
        training.IndexedDataset.from_directory(tmp_path / "empty", (3, 4))


def test_npz_shards_are_mapped(tmp_path):
    rng = np.random.default_rng(0)
    shards = [(rng.normal(size=(n, 3)), np.arange(n)) for n in (4, 1, 7)]
    paths = []
    for i, (x, y) in enumerate(shards):
        paths.append(tmp_path / f"{i}.npz")
        np.savez(paths[-1], y=y, x=np.asfortranarray(x) if i else x)
    data = training.IndexedDataset.from_npz(paths, ("x", "y"), batch_size=5, seed=3)
    x, y = (np.concatenate([shard[i] for shard in shards]) for i in range(2))
    same = training.IndexedDataset((x, y), batch_size=5, seed=3)
    for step in range(3):
        for a, b in zip(data[step], same[step], strict=True):
            np.testing.assert_array_equal(a, b)
    np.savez_compressed(tmp_path / "small.npz", x=x)
    with pytest.raises(ValueError, match="compressed"):
        training.IndexedDataset.from_npz(tmp_path / "small.npz", ("x",))
    with pytest.raises(KeyError, match="no such array"):
        training.IndexedDataset.from_npz(paths, ("z",))


def _tfrecord(records):
    """The file format, by its definition; checksums of data are not read."""
    parts = []
    for record in records:
        length = np.array([len(record)], "uint64")
        parts += [length.tobytes(), masked_checksums(length).astype("<u4").tobytes()]
        parts += [record, b"\0\0\0\0"]
    return b"".join(parts)


def test_tfrecord_files(tmp_path):
    records = [bytes([i]) * (i + 1) for i in range(9)]
    (tmp_path / "a").write_bytes(_tfrecord(records[:5]))
    (tmp_path / "b").write_bytes(_tfrecord(records[5:]))

    def parse(content):
        return np.int64(content[0]), np.int64(len(content))

    data = training.IndexedDataset.from_tfrecord(
        [tmp_path / "a", tmp_path / "b"], parse, batch_size=4, seed=1, threads=2
    )
    pairs = [data[step] for step in range(3)]
    first = np.concatenate([a for a, _ in pairs])
    np.testing.assert_array_equal(first + 1, np.concatenate([b for _, b in pairs]))
    assert sorted(first) == list(range(9))
    content = (tmp_path / "a").read_bytes()
    (tmp_path / "a").write_bytes(content[:-7])
    with pytest.raises(ValueError, match="damaged"):
        training.IndexedDataset.from_tfrecord(tmp_path / "a", parse)
    flipped = bytes([content[0] ^ 4]) + content[1:]
    (tmp_path / "a").write_bytes(flipped + b"\0" * 40)
    with pytest.raises(ValueError, match="damaged"):
        training.IndexedDataset.from_tfrecord(tmp_path / "a", parse)


@pytest.mark.tensorflow
def test_tfrecord_files_of_tensorflow(tmp_path):
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(tmp_path / "a")) as writer:
        for i in range(5):
            writer.write(bytes([i]) * (300 * i + 1))
    data = training.IndexedDataset.from_tfrecord(
        tmp_path / "a",
        lambda content: (np.int64(len(content)),),
        batch_size=5,
        shuffle=False,
    )
    assert data[0][0].tolist() == [1, 301, 601, 901, 1201]


def test_array_record_files(tmp_path):
    module = pytest.importorskip("array_record.python.array_record_module")
    for name, numbers in (("a", range(5)), ("b", range(5, 9))):
        writer = module.ArrayRecordWriter(str(tmp_path / name), "group_size:1")
        for i in numbers:
            writer.write(bytes([i]) * (i + 1))
        writer.close()

    def parse(content):
        return np.int64(content[0]), np.int64(len(content))

    paths = [tmp_path / "a", tmp_path / "b"]
    data = training.IndexedDataset.from_array_record(
        paths, parse, batch_size=4, seed=1, threads=2
    )
    same = training.IndexedDataset((np.arange(9), np.arange(1, 10)), 4, seed=1)
    for step in range(3):
        for a, b in zip(data[step], same[step], strict=True):
            np.testing.assert_array_equal(a, b)
    (tmp_path / "c").write_bytes(b"no records" * 10)
    with pytest.raises(ValueError, match="no ArrayRecord file"):
        training.IndexedDataset.from_array_record(tmp_path / "c", parse)
    with pytest.raises(FileNotFoundError, match="ArrayRecord"):
        training.IndexedDataset.from_array_record(tmp_path / "d", parse)


@pytest.mark.tensorflow
def test_tf_data(tmp_path):
    import tensorflow as tf

    x = np.arange(10, dtype="float32")
    source = tf.data.Dataset.from_tensor_slices((x, 2 * x)).map(lambda a, b: (a + 1, b))
    same = training.IndexedDataset((x + 1, 2 * x), 4, seed=5)
    # With random access, and through files.
    for dataset in (source, source.filter(lambda a, b: True)):
        known = dataset.apply(tf.data.experimental.assert_cardinality(10))
        data = training.IndexedDataset.from_dataset(
            known, cache=tmp_path, batch_size=4, seed=5
        )
        for step in range(3):
            for a, b in zip(data[step], same[step], strict=True):
                np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="known size"):
        training.IndexedDataset.from_dataset(source.repeat())


def _anonymous_megabytes():
    """Memory of this process; pages of a mapped file are the system's to take back."""
    status = pathlib.Path("/proc/self/status")
    if not status.exists():
        pytest.skip("the system does not tell")
    line = next(x for x in status.read_text().splitlines() if x.startswith("RssAnon"))
    return int(line.split()[1]) / 1024


@pytest.mark.slow
def test_memory_stays_the_same_on_a_large_file(tmp_path):
    """A file of 400 MB is read by batches of a few kilobytes."""
    shape = (100_000, 1000)
    np.lib.format.open_memmap(tmp_path / "x.npy", "w+", "float32", shape).flush()
    data = training.IndexedDataset((np.load(tmp_path / "x.npy", mmap_mode="r"),), 32)
    data[0]
    before = _anonymous_megabytes()
    for step in range(len(data)):
        assert data[step][0].shape == (32, 1000)
    assert _anonymous_megabytes() - before < 20


@pytest.mark.slow
def test_memory_stays_the_same_on_many_images(tmp_path):
    """20,000 images of 48 KB each when decoded: 960 MB together."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    image = np.zeros((64, 64, 3), "uint8")
    keras.utils.save_img(tmp_path / "a" / "0.png", image, scale=False)
    content = (tmp_path / "a" / "0.png").read_bytes()
    for number in range(20_000):
        (tmp_path / "ab"[number % 2] / f"{number}.png").write_bytes(content)
    data = training.IndexedDataset.from_directory(tmp_path, (64, 64), batch_size=100)
    data[0]
    before = _anonymous_megabytes()
    for step in range(len(data)):
        assert data[step][0].shape == (100, 64, 64, 3)
    assert _anonymous_megabytes() - before < 60
