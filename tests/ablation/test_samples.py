"""Data of a study: what it may come as, and how it is split."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_strategies.ablation._runs.samples import Samples, collect, joined
from keras_strategies.ablation._runs.splits import divide, split
from tests.ablation.networks import blobs


def parts_of(data, test_data=None, splits=None, **options):
    given_ = {"validation_split": 0.2, "runs": 4, "seed": 0, "stratify": True}
    return split(data, test_data, splits, **{**given_, **options})


class Batches(keras.utils.PyDataset):
    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y

    def __len__(self):
        return 4

    def __getitem__(self, index):
        rows = slice(30 * index, 30 * index + 30)
        return self.x[rows], self.y[rows]


def test_arrays_datasets_and_nests():
    x, y = blobs()
    tf = pytest.importorskip("tensorflow")
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(50)
    for data in ((x, y), Batches(x, y), dataset, (x.tolist(), y.tolist())):
        found = collect("data", data)
        np.testing.assert_allclose(found.x, x, rtol=1e-6)
        np.testing.assert_array_equal(found.y, y)
    nest = collect("data", ({"a": x, "b": x[:, :2]}, y, np.ones(len(x))))
    some = nest.rows(np.array([3, 1]))
    np.testing.assert_array_equal(some.x["b"], x[[3, 1], :2])
    assert some.weight.shape == (2,)


@pytest.mark.parametrize(
    ("data", "error", "text"),
    [
        ("text", TypeError, "must be \\(x, y\\)"),
        ((np.zeros((3, 2)), np.zeros(4)), ValueError, "same number of samples"),
        ((np.zeros((0, 2)), np.zeros(0)), ValueError, "at least 1"),
    ],
)
def test_bad_data(data, error, text):
    with pytest.raises(error, match=text):
        collect("data", data)


def test_an_endless_dataset_is_refused():
    tf = pytest.importorskip("tensorflow")
    dataset = tf.data.Dataset.from_tensor_slices(blobs()).batch(8).repeat()
    with pytest.raises(ValueError, match="must end"):
        collect("data", dataset)


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        (np.array([0, 1, 1]), [0, 1, 1]),
        (np.array([[0], [5], [0]]), [0, 1, 0]),
        (np.eye(3)[[2, 0, 1]], [2, 0, 1]),
        (np.array(["b", "a", "b"]), [1, 0, 1]),
        (np.array([0.5, 1.5, 2.5]), None),
        (np.array([[1, 1], [0, 1]]), None),
        (np.arange(100), None),
    ],
)
def test_classes(y, expected):
    classes = Samples(np.zeros(len(y)), y).classes()
    assert (None if classes is None else classes.tolist()) == expected


@given(st.integers(20, 200), st.integers(2, 4), st.floats(0.15, 0.6))
def test_parts_are_whole_and_stratified(count, classes, fraction):
    rows, of_rows = np.arange(count), np.arange(count) % classes
    rest, part = divide(rows, of_rows, fraction, np.random.default_rng(0), "test")
    assert sorted([*rest, *part]) == rows.tolist()
    shares = [np.mean(of_rows[part] == number) for number in range(classes)]
    assert max(shares) - min(shares) <= 1.5 / len(part) + 1e-9


def test_parts_of_a_study_do_not_overlap():
    found = parts_of(collect("data", blobs()))
    part = found.of(0)
    everything = [*part.training, *part.validation, *part.test, *found.confirmation]
    assert sorted(everything) == list(range(120))
    assert found.is_fixed and found.overlap == 0
    assert len(found.confirmation) == pytest.approx(len(part.test) / 2, abs=1)


def test_given_test_data():
    data, test = collect("data", blobs(60)), collect("test", blobs(30, seed=1))
    found = parts_of(data, test)
    assert min(found.of(0).test) >= 60
    assert len(found.of(0).test) == 20
    np.testing.assert_array_equal(found.samples.x[60:], test.x)


def test_weights_where_only_training_data_have_some():
    x, y = blobs(10)
    both = joined(Samples(x, y, np.full(10, 2.0)), Samples(x, y))
    np.testing.assert_array_equal(both.weight, [2.0] * 10 + [1.0] * 10)


def test_folds_test_every_sample_once_a_round():
    found = parts_of(collect("data", blobs()), splits=3, runs=6)
    for start in (0, 3):
        tests = [found.of(run).test for run in range(start, start + 3)]
        joined_ = np.sort(np.concatenate(tests))
        rest = np.setdiff1d(np.arange(120), found.confirmation)
        np.testing.assert_array_equal(joined_, rest)
    part = found.of(0)
    assert found.overlap == pytest.approx(len(part.test) / len(part.training), rel=0.1)
    assert not set(part.training) & set(part.test)


EVEN = np.arange(0, 120, 2)  # all of class 0


def test_given_splits():
    pairs = [(np.arange(60), np.arange(60, 120))] * 4
    found = parts_of(collect("data", blobs()), splits=pairs)
    assert max(found.of(1).training) < 60 <= min(found.of(1).test)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"splits": 3, "test_data": Samples(*blobs(30))}, "must not be given both"),
        ({"splits": [(np.arange(5), np.arange(5, 9))]}, "for each of `max_seeds`"),
        ({"splits": [(np.arange(5), np.arange(9))] * 4}, "must not overlap"),
        ({"splits": [(np.arange(5), np.array([500]))] * 4}, "positions of samples"),
        ({"splits": [(EVEN[:30], np.arange(60, 120))] * 4}, "missing_classes=\\[1"),
        ({"splits": [(np.arange(9), np.arange(9, 10))] * 4}, "leave samples for"),
        ({"splits": True}, "a number of folds, or a pair"),
        ({"test_data": Samples(*blobs(30, classes=1))}, "every class"),
        ({"test_data": Samples(np.zeros((9, 3)), np.zeros(9))}, "shape of `data`"),
    ],
)
def test_bad_splits(change, text):
    with pytest.raises(ValueError, match=text):
        parts_of(collect("data", blobs()), **change)


def test_a_rare_class_is_an_error():
    x, y = blobs()
    y[:] = 0
    y[0] = 1
    with pytest.raises(ValueError, match="every class must be in the test part"):
        parts_of(Samples(x, y))


def test_too_few_samples():
    with pytest.raises(ValueError, match="enough samples for the"):
        parts_of(Samples(*blobs(5)))
