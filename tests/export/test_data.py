"""Calibration and verification data in every accepted and refused form."""

import keras
import numpy as np
import pytest

from keras_strategies.export import ExportError
from keras_strategies.export._common import sample_data
from keras_strategies.export._common.model_signature import Spec
from keras_strategies.export.verify._reference import reference_outputs

ONE = [Spec("x", (None, 3), "float32")]
TWO = [Spec("b", (None, 3), "float32"), Spec("a", (None, 2), "int32")]
B, A = np.ones((5, 3), "float32"), np.ones((5, 2), "int32")


class Batches(keras.utils.PyDataset):
    num_batches = 3

    def __getitem__(self, index):
        return np.full((2, 3), index, "float32"), np.zeros(2)


def _same(found, expected):
    assert list(found) == list(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)


@pytest.mark.parametrize(
    "data", [{"a": A, "b": B}, [B, A], (B, A), iter([{"b": B, "a": A}])]
)
def test_two_inputs(data):
    _same(sample_data.named_samples("verify", data, TWO), {"b": B, "a": A})


def test_one_input_forms():
    _same(sample_data.named_samples("verify", B, ONE), {"x": B})
    _same(sample_data.named_samples("verify", [B], ONE), {"x": B})
    _same(sample_data.named_samples("verify", {"x": B.astype("uint8")}, ONE), {"x": B})
    _same(sample_data.named_samples("verify", keras.ops.ones((5, 3)), ONE), {"x": B})
    found = sample_data.named_samples("verify", Batches(), ONE)
    assert found["x"][:, 0].tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.tensorflow
def test_tf_data():
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices((B, np.zeros(5))).batch(2)
    _same(sample_data.named_samples("verify", data, ONE), {"x": B})
    endless = data.repeat()
    assert (
        len(sample_data.named_samples("verify", endless, ONE)["x"])
        == sample_data.ITERABLE_LIMIT
    )


@pytest.mark.parametrize(
    ("data", "specs", "error", "match"),
    [
        (np.ones((0, 3)), ONE, ValueError, "must not be empty"),
        (iter([]), ONE, ValueError, "must not be empty"),
        (np.ones((5, 4)), ONE, ValueError, r"must have shape \(samples, 3\)"),
        (np.ones(3), ONE, ValueError, r"Add the sample axis: data\[None\]"),
        (np.array([[1, np.nan, 3]]), ONE, ValueError, "must be finite"),
        (np.array([[1, 2, np.inf]]), ONE, ValueError, "non_finite=1"),
        (np.array([["a", "b", "c"]]), ONE, ValueError, "numbers or booleans"),
        ([[1, 2], [3]], [*TWO], ValueError, "shape|numbers"),
        (B, TWO, ValueError, "Give a dict by input name"),
        ([B], TWO, ValueError, "must have 2 arrays"),
        ([B, B], ONE, ValueError, "samples first"),
        ({"b": B}, TWO, ValueError, r"must have the keys \['b', 'a'\]"),
        ({"b": B, "a": A[:4]}, TWO, ValueError, "as many samples"),
        ({"b": B, "a": A + 0.5}, TWO, ValueError, "whole numbers"),
        (A + 255, [Spec("x", (None, 2), "uint8")], ValueError, "fit into uint8"),
        (-A, [Spec("x", (None, 2), "uint8")], ValueError, "smallest=-1"),
        (A + 0.5, [Spec("x", (None, 2), "bool")], ValueError, "fit into bool"),
        (7, ONE, TypeError, "must be an array"),
        (iter([B, np.ones((1, 4))]), ONE, ValueError, "same sample shape"),
    ],
)
def test_refused(data, specs, error, match):
    with pytest.raises(error, match=match):
        sample_data.named_samples("verify", data, specs)


def test_generated_inputs_fit_the_model():
    ids = keras.Input((None,), dtype="int32", name="ids")
    flag = keras.Input((1,), dtype="bool", name="flag")
    embedded = keras.layers.Embedding(7, 2)(ids)
    model = keras.Model([ids, flag], [embedded, flag])
    specs = [Spec("ids", (None, None), "int32"), Spec("flag", (None, 1), "bool")]
    made = sample_data.generate_samples(model, specs, count=50)
    assert made["ids"].shape == (50, 16)
    assert set(np.unique(made["ids"])) == set(range(7))
    assert made["flag"].dtype == bool
    again = sample_data.generate_samples(model, specs, count=50)
    np.testing.assert_array_equal(made["ids"], again["ids"])


def test_generated_pixels_have_the_range_the_model_rescales():
    plain = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    pixels = keras.Sequential([keras.Input((4,)), keras.layers.Rescaling(1 / 255)])
    spec = [Spec("x", (None, 4), "float32")]
    assert np.abs(sample_data.generate_samples(plain, spec)["x"]).max() < 10
    assert sample_data.generate_samples(pixels, spec)["x"].max() > 200


def test_batches_are_full_and_cover_every_sample_once():
    samples = {"x": np.arange(7)}
    found = list(sample_data.full_batches(samples, 3))
    assert [count for _, count in found] == [3, 3, 1]
    assert [batch["x"].tolist() for batch, _ in found] == [
        [0, 1, 2],
        [3, 4, 5],
        [6, 6, 6],
    ]


def test_infinity_that_is_meant_is_told_from_broken_weights():
    x = keras.Input((3,))
    model = keras.Model(x, keras.ops.where(x > 0, x, -np.inf))
    samples = {"x": np.eye(3, dtype="float32")}
    with pytest.raises(ExportError, match="gives infinity in .* write -1e9"):
        reference_outputs(model, [None], samples)
