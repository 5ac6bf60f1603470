"""The comparison against closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_strategies.export import ExportError
from keras_strategies.export.artifact import _interpreter
from keras_strategies.export.verify import _agreement, _reference


def test_top_1_counts_equal_argmax_only():
    reference = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.5, 0.5]], "float32")
    actual = np.array([[0.6, 0.4], [0.7, 0.3], [0.9, 0.1], [0.5, 0.5]], "float32")
    figures = _agreement.compare_output(reference, actual, 0.1)
    assert figures["kind"] == "top-1"
    assert figures["agreement"] == 0.75
    assert figures["max_difference"] == pytest.approx(0.5)
    assert figures["mean_difference"] == pytest.approx((0.3 + 0.5 + 0.3 + 0) / 4)


def test_top_1_of_dense_predictions_counts_pixels():
    reference = np.zeros((2, 4, 4, 3), "float32")
    reference[..., 1] = 1
    actual = reference.copy()
    actual[0, 0, 0] = [1, 0, 0]
    assert _agreement.compare_output(reference, actual, 0.1)["agreement"] == 31 / 32


def test_values_are_measured_against_the_range():
    reference = np.array([[100.0], [101.0], [102.0]], "float32")
    actual = reference + np.array([[0.1], [0.3], [0.0]], "float32")
    figures = _agreement.compare_output(reference, actual, 0.1)
    assert figures["kind"] == "values"
    assert figures["agreement"] == pytest.approx(2 / 3)


def test_logits_are_values_unless_told_otherwise():
    reference = np.array([[5.0, -3.0], [2.0, 2.5]], "float32")
    actual = np.array([[9.0, -3.0], [2.0, 2.6]], "float32")
    assert _agreement.compare_output(reference, actual, 0.1)["agreement"] == 0.5
    assert (
        _agreement.compare_output(reference, actual, 0.1, classes=True)["agreement"]
        == 1
    )


def test_integers_and_booleans_must_be_equal():
    reference = np.array([[1, 200], [3, 4]], "int32")
    actual = np.array([[1, 201], [3, 4]], "int32")
    assert _agreement.compare_output(reference, actual, 0.5)["agreement"] == 0.5
    same = np.array([[True], [False]])
    assert _agreement.compare_output(same, same, 0.5)["agreement"] == 1
    assert _agreement.compare_output(same, ~same, 0.5)["agreement"] == 0


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([[1.0], [3.0]], 2.0),
        ([[1000.0], [1000.001]], 10.00001),
        ([[5.0]], 5.0),
        ([[0.0], [0.0]], 1.0),
    ],
)
def test_value_scale(values, scale):
    assert _agreement.value_scale(np.array(values)) == pytest.approx(scale)


def test_non_finite_names_the_output():
    outputs = {
        "a": np.ones(3),
        "b": np.array([1.0, np.nan]),
        "c": np.array([np.inf]),
        "d": np.array([1]),
    }
    assert _agreement.non_finite(outputs) == ["b", "c"]


@settings(deadline=None, max_examples=50)  # other work must not fail it
@given(
    st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=20),
    st.floats(2**-8, 2.0, width=32),
    st.sampled_from(["int8", "uint8"]),
)
def test_quantize_round_trip_is_within_half_a_step(values, scale, dtype):
    zero = 0 if dtype == "int8" else 128
    values = np.array(values, "float32")
    levels = _interpreter.quantize(values, scale, zero, dtype)
    assert levels.dtype == dtype
    back = _interpreter.dequantize(levels, scale, zero)
    limits = np.iinfo(dtype)
    low, high = (limits.min - zero) * scale, (limits.max - zero) * scale
    inside = np.clip(values, low, high)
    assert np.abs(back - inside).max() <= scale * 0.5001


def _compare(reference, actual, min_agreement=0.95):
    return _reference.compare_outputs(None, reference, actual, 0.1, min_agreement)


def test_comparison_takes_the_worst_output():
    good = np.array([[0.0], [1.0]], "float32")
    figures = _compare(
        {"a": good, "b": good}, {"a": good, "b": 1 - good}, min_agreement=0
    )
    assert figures["agreement"] == 0
    assert figures["outputs"]["a"]["agreement"] == 1
    assert figures["max_difference"] == 1
    assert figures["mean_difference"] == 0.5


@pytest.mark.parametrize(
    ("actual", "reason"),
    [
        ({"a": np.array([[0.0], [np.nan]], "float32")}, "non-finite"),
        ({"a": np.array([[0.0], [np.inf]], "float32")}, "non-finite"),
        ({"a": np.array([[0.5], [0.0]], "float32")}, "disagreement"),
        ({"a": np.array([[0.0]], "float32")}, "disagreement"),
        ({"b": np.array([[0.0], [1.0]], "float32")}, "disagreement"),
    ],
)
def test_comparison_refuses(actual, reason):
    reference = {"a": np.array([[0.0], [1.0]], "float32")}
    with pytest.raises(ExportError) as caught:
        _compare(reference, actual)
    assert caught.value.reason == reason
