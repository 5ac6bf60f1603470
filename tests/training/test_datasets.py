"""Fits on a `tf.data.Dataset` or a `PyDataset`, in blocks that are read ahead."""

import functools
import threading
import types

import keras
import numpy as np
import pytest

from keras_strategies import training
from keras_strategies.training._blocks.sources import StreamSource
from tests.training.models import (
    BACKEND,
    BATCH,
    EVEN,
    ROWS,
    Batches,
    candidates,
    data,
    dear,
    small,
)

BLOCK = candidates()[0:1]
LIMIT = 3 * 4 * BATCH * (6 * 4 + 8)  # three blocks of four batches
NO_DEVICE = types.SimpleNamespace(to_device=lambda arrays: arrays)


class Narrow(Batches):
    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return x[:, :5], y


def tf_data(rows=ROWS, batch=BATCH, known=True):
    import tensorflow as tf

    found = tf.data.Dataset.from_tensor_slices(data(rows)).batch(batch)
    return found if known else found.filter(lambda x, y: True)


SOURCES = {
    "PyDataset": (Batches, {}),
    "endless PyDataset": (lambda: Batches(EVEN, endless=True), {"steps_per_epoch": 9}),
}
if BACKEND == "tensorflow":
    SOURCES["tf.data"] = (tf_data, {})
    SOURCES["tf.data of unknown length"] = (lambda: tf_data(known=False), {})
    SOURCES["tf.data in parts"] = (tf_data, {"steps_per_epoch": 5})


@functools.cache
def compiled(planned):
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, metrics=["accuracy"])
    if planned:
        training.accelerate(model, Batches(), candidates=BLOCK, memory_limit=LIMIT)
    return model


def fitted(planned, source, options):
    model = compiled(planned)
    model.set_weights([np.linspace(-1, 1, 18).reshape(6, 3), np.zeros(3)])
    history = model.fit(
        source(),
        validation_data=source(),
        validation_steps=options.get("steps_per_epoch"),
        shuffle=False,
        epochs=2,
        verbose=0,
        **options,
    )
    return model.get_weights(), history.history


@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # so does plain fit
@pytest.mark.parametrize("name", SOURCES if BLOCK else [])
def test_same_as_plain_fit(name):
    source, options = SOURCES[name]
    expected, expected_history = fitted(False, source, options)
    weights, history = fitted(True, source, options)
    assert compiled(True)._execution_plan.is_installed
    for value, wanted in zip(weights, expected, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-5, atol=1e-6)
    assert list(history) == list(expected_history)
    for key, values in history.items():
        np.testing.assert_allclose(values, expected_history[key], rtol=1e-5)


@pytest.mark.parametrize("candidate", [dear("jax", name) for name in BLOCK])
def test_evaluate_and_class_weights_and_hooks_of_the_dataset(candidate):
    model, source = compiled(True), Batches()
    plain = compiled(False)
    plain.set_weights(model.get_weights())
    np.testing.assert_allclose(
        model.evaluate(source, verbose=0), plain.evaluate(source, verbose=0), 1e-5
    )
    ended = []
    for each in (model, plain):
        source.epochs = 0
        weights = {0: 1.0, 1: 2.0, 2: 0.5}
        each.fit(source, shuffle=False, class_weight=weights, epochs=2, verbose=0)
        ended.append(source.epochs)
    assert ended[0] == ended[1] >= 2
    np.testing.assert_allclose(
        *(each.get_weights()[0] for each in (model, plain)), 1e-5
    )
    assert model.predict(Batches(), verbose=0).shape == (ROWS, 3)


def blocks(batches, steps, limit=None):
    stream = StreamSource(NO_DEVICE, lambda: iter(batches), steps, limit)
    found = []
    for block in stream:
        parts = []
        while block is not None:
            full, partial = block.full_batches, block.partial_batch_rows
            rows = full * (block.batch_size or 0) + partial
            parts.append((full, partial, block.data[0][:rows, 0].tolist()))
            block = block.next_block
        found.append(parts)
    return found


def batches_of(*sizes):
    rows = iter(range(100))
    return [(np.array([[next(rows)] for _ in range(size)]),) for size in sizes]


def test_batches_are_put_together_in_blocks():
    found = blocks(batches_of(2, 2, 2, 1), 3)
    assert found == [[(3, 0, [0, 1, 2, 3, 4, 5])], [(0, 1, [6])]]
    assert blocks(batches_of(2, 2, 1), 4) == [[(2, 1, [0, 1, 2, 3, 4])]]
    found = blocks(batches_of(2, 1, 2, 3, 2), 5)
    assert found == [
        [(1, 1, [0, 1, 2]), (1, 0, [3, 4]), (0, 3, [5, 6, 7]), (1, 0, [8, 9])]
    ]
    found = blocks(batches_of(1, 1, 1, 1, 1, 1), 2, limit=3)
    assert [[part[0] for part in parts] for parts in found] == [[2], [1], [2], [1]]


def test_the_next_block_is_read_while_one_is_used():
    read, threads = threading.Event(), set()

    def batches():
        for number, batch in enumerate(batches_of(1, 1, 1, 1)):
            threads.add(threading.get_ident())
            yield batch
            if number == 2:
                read.set()

    stream = iter(StreamSource(NO_DEVICE, batches, 2))
    next(stream)
    assert read.wait(30)  # the second block, though only the first was asked for
    stream.close()
    assert threads and threading.get_ident() not in threads


def test_an_error_of_the_dataset_comes_out():
    def batches():
        yield from batches_of(1, 1)
        raise OSError("no such file")

    stream = iter(StreamSource(NO_DEVICE, batches, 1))
    assert [next(stream).full_batches for _ in range(2)] == [1, 1]
    with pytest.raises(OSError, match="no such file"):
        next(stream)


def test_what_cannot_be_measured_is_refused():
    model = small()
    before = model.get_weights()
    x, y = data()
    with pytest.raises(ValueError, match="must come out of the dataset"):
        training.accelerate(model, Batches(), y)
    with pytest.raises(ValueError, match="must be finite"):
        training.accelerate(model, Batches(bad=True))
    with pytest.raises(ValueError, match="must hold 3 batches"):
        training.accelerate(model, Batches(), memory_limit=10)
    with pytest.raises(ValueError, match="must match the model"):
        training.accelerate(model, Narrow())
    for value, wanted in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, wanted)
    assert "fit" not in model.__dict__


@pytest.mark.tensorflow
def test_data_that_do_not_fit_drop_the_plan():
    model = small()
    for source, message in [
        (lambda: tf_data(batch=4), "batch_size=4"),
        (lambda: tf_data().map(lambda x, y: (x, x)), "made for `y`"),
        (lambda: data()[0], "given arrays"),
    ]:
        model.__dict__["fit"] = lambda *given, **named: None
        plan = training.accelerate(model, tf_data(), candidates=["graph-block"])
        with pytest.warns(UserWarning, match=message):
            model.fit(source())
        assert not plan.is_installed
        model.__dict__.pop("fit")


@pytest.mark.tensorflow
def test_candidates_for_datasets():
    model = small()
    plan = training.accelerate(model, tf_data(EVEN, known=False), time_limit=0.01)
    assert plan.choice == "plain" and "does not stay" in plan.explain()
    names = {item.name for item in plan.measurements}
    assert names == {"plain", "graph-step", "graph-block", "xla-step", "xla-block"}
    plan = training.accelerate(
        model, tf_data(EVEN), candidates=["graph-block"], time_limit=0.01
    )
    assert plan.choices == dict.fromkeys(["train", "test", "predict"], "graph-block")


@pytest.mark.tensorflow
def test_batches_of_several_shapes_are_fed_one_by_one():
    model = keras.Sequential(
        [keras.Input((None, 1)), keras.layers.GlobalAveragePooling1D()]
    )
    model.compile("sgd", "mse")
    varied = tf_data().map(lambda x, y: (x[:, : 5 + len(x) % 2, None], y))
    with pytest.raises(ValueError, match="of several shapes"):
        training.accelerate(model, varied, candidates=["graph-block"])
    plan = training.accelerate(model, varied, candidates=["plain"])
    assert plan.choice == "plain"


def test_one_call_takes_a_dataset():
    model = small()
    history = training.fit(
        model, Batches(EVEN), epochs=1, candidates=["plain"], verbose=0
    )
    assert history.epoch == [0] and model._execution_plan.is_installed


def _frames():
    pandas = pytest.importorskip("pandas")
    x, y = data()
    return {"x": pandas.DataFrame(x), "y": pandas.Series(y), "batch_size": BATCH}


def _sparse_rows():
    sparse = pytest.importorskip("scipy.sparse")
    x, y = data()
    return {"x": sparse.csr_matrix(x), "y": y, "batch_size": BATCH}


def _loader():
    torch = pytest.importorskip("torch")
    from torch.utils.data import DataLoader, TensorDataset

    arrays = TensorDataset(*map(torch.from_numpy, data()))
    return {"x": DataLoader(arrays, batch_size=BATCH)}


def _endless_batches():
    batches = Batches()

    def generator():
        while True:
            yield from (batches[i] for i in range(batches.num_batches))

    return {"x": generator(), "steps_per_epoch": batches.num_batches}


OTHERS = {
    "pandas": _frames,
    "scipy.sparse": _sparse_rows,
    "DataLoader": _loader,
    "generator": _endless_batches,
}


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("source", OTHERS)
def test_fit_takes_what_plain_fit_takes(source):
    if source == "scipy.sparse" and BACKEND == "torch":
        pytest.skip("nor does plain fit")
    weights = []
    for fit in (keras.Model.fit, training.fit):
        keras.utils.set_random_seed(1)
        model = small()
        fit(model, **OTHERS[source](), epochs=2, shuffle=False, verbose=0)
        weights.append([np.copy(keras.ops.convert_to_numpy(v)) for v in model.weights])
    for plain, ours in zip(*weights, strict=True):
        np.testing.assert_allclose(ours, plain, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("source", ["scipy.sparse", "DataLoader", "generator"])
def test_what_cannot_be_measured_is_told(source):
    with pytest.raises((TypeError, ValueError), match="training.fit"):
        training.accelerate(small(), OTHERS[source]()["x"])
