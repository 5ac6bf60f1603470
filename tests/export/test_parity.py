"""The count of agreement, and the comparison of all outputs, against closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_strategies.export import ExportError
from keras_strategies.export.artifact import _interpreter
from keras_strategies.export.verify import _agreement, _outputs, _reference
from keras_strategies.export.verify._criteria import MODE_LIMITS, Criteria
from keras_strategies.export.verify._output_kinds import Span, output_spans


def _count(reference, actual, kind=None, tolerance=0.1, rounding=0.0):
    [spans] = output_spans(None, {"y": reference}, kind).values()
    return _agreement.compare_output(reference, actual, spans, tolerance, rounding)


def test_top_1_counts_equal_argmax_only():
    reference = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.5, 0.5]], "float32")
    actual = np.array([[0.6, 0.4], [0.7, 0.3], [0.9, 0.1], [0.5, 0.5]], "float32")
    figures = _count(reference, actual)
    assert figures["kind"] == "top-1"
    assert figures["agreement"] == 0.75
    assert figures["max_difference"] == pytest.approx(0.5)
    assert figures["mean_difference"] == pytest.approx((0.3 + 0.5 + 0.3 + 0) / 4)


def test_what_the_model_itself_cannot_decide_is_no_difference():
    reference = np.array([[0.5, 0.5], [0.501, 0.499], [0.9, 0.1]], "float32")
    figures = _count(reference, 1 - reference, rounding=1 / 256)
    assert figures["agreement"] == pytest.approx(2 / 3)
    assert _count(reference, 1 - reference)["agreement"] == pytest.approx(1 / 3)
    yes = np.array([[0.5], [0.501], [0.9]], "float32")
    figures = _count(yes, 1 - yes, "binary_probabilities", rounding=1 / 256)
    assert figures["kind"] == "yes or no"
    assert figures["agreement"] == pytest.approx(2 / 3)


def test_top_1_of_dense_predictions_counts_pixels():
    reference = np.zeros((2, 4, 4, 3), "float32")
    reference[..., 1] = 1
    actual = reference.copy()
    actual[0, 0, 0] = [1, 0, 0]
    assert _count(reference, actual)["agreement"] == 31 / 32


def test_values_are_measured_against_the_range_of_their_channel():
    reference = np.array([[100.0], [101.0], [102.0]], "float32")
    actual = reference + np.array([[0.1], [0.3], [0.0]], "float32")
    figures = _count(reference, actual)
    assert figures["kind"] == "values"
    assert figures["agreement"] == pytest.approx(2 / 3)
    # Beside a channel of thousands the same error counts the same.
    wide = np.array([[0.0], [1000.0], [2000.0]], "float32")
    both = np.hstack([wide, reference]), np.hstack([wide, actual])
    assert _count(*both)["agreement"] == pytest.approx(2 / 3)


def test_logits_are_values_unless_told_otherwise():
    reference = np.array([[5.0, -3.0], [2.0, 2.5]], "float32")
    actual = np.array([[9.0, -3.0], [2.0, 2.6]], "float32")
    assert _count(reference, actual)["agreement"] == 0.5
    assert _count(reference, actual, "logits")["agreement"] == 1


def test_integers_and_booleans_count_equal_elements():
    reference = np.array([[1, 200], [3, 4]], "int32")
    actual = np.array([[1, 201], [3, 4]], "int32")
    figures = _count(reference, actual, tolerance=0.5)
    assert (figures["kind"], figures["agreement"]) == ("equal", 0.75)
    same = np.array([[True], [False]])
    assert _count(same, same)["agreement"] == 1
    assert _count(same, ~same)["agreement"] == 0


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([[1.0], [3.0]], 2.0),
        ([[1000.0], [1000.001]], 10.00001),
        ([[5.0]], 5.0),
        ([[0.0], [0.0]], 1.0),
    ],
)
def test_channel_scales(values, scale):
    assert _agreement.channel_scales(np.array(values)) == pytest.approx(scale)


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


def _compare(reference, actual, **settings):
    criteria = Criteria(MODE_LIMITS["int8"], **settings)
    spans = {name: (Span("regression", 0, 1, "user"),) for name in reference}
    return _outputs.compare_outputs(reference, actual, spans, criteria), criteria


def test_comparison_takes_the_worst_output():
    good = np.array([[0.0], [1.0]], "float32")
    figures, _ = _compare({"a": good, "b": good}, {"a": good, "b": 1 - good})
    assert figures["agreement"] == 0
    assert figures["outputs"]["a"]["agreement"] == 1
    assert figures["max_difference"] == 1
    assert figures["mean_difference"] == 0.5
    assert figures["verdicts"]["a"].passed and not figures["verdicts"]["b"].passed


@pytest.mark.parametrize(
    ("actual", "reason", "text"),
    [
        ({"a": np.array([[0.0], [np.nan]])}, "non-finite", "NaN"),
        ({"a": np.array([[0.0], [np.inf]])}, "non-finite", "NaN"),
        ({"a": np.array([[0.5], [0.0]])}, "disagreement", "times what is allowed"),
        ({"a": np.array([[0.0]])}, "disagreement", "shape"),
        ({"b": np.array([[0.0], [1.0]])}, "disagreement", "shape None"),
    ],
)
def test_comparison_refuses(actual, reason, text):
    reference = {"a": np.array([[0.0], [1.0]], "float32")}
    figures, criteria = _compare(reference, actual)
    assert not figures["verdicts"]["a"].passed
    with pytest.raises(ExportError, match=text) as caught:
        _outputs.check(figures, criteria, "Nothing was written.")
    assert caught.value.reason == reason


def test_a_bound_of_the_agreement_counts_beside_the_verdict():
    reference = {"a": np.linspace(0, 1, 40, dtype="float32")[:, None]}
    actual = {"a": reference["a"].copy()}
    actual["a"][3] += 0.2
    figures, criteria = _compare(reference, actual, min_agreement=1.0, max_loss=5)
    assert figures["verdicts"]["a"].passed
    with pytest.raises(ExportError, match="agrees .* 0.9750 .*less than the 1 "):
        _outputs.check(figures, criteria, "")
    # 0 lets all pass that are finite and of the right shape.
    figures, criteria = _compare(reference, {"a": -reference["a"]}, min_agreement=0)
    _outputs.check(figures, criteria, "")
    assert "Refused, output 'a'" in _outputs.warnings(figures)[0]


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((200, 5), 32),
        ((200, 96, 96, 3), 100),
        ((10, 8, 8, 1), 32),
        ((99, 512, 512, 3), 32),
    ],
)
def test_batches_of_the_reference(shape, size):
    samples = {"x": np.broadcast_to(np.float32(0), shape)}
    assert _reference._call_size(samples) == size
