"""The order of a search, its data and its metric, without training."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_strategies.compression.search import _samples, _search_base, _size_search
from keras_strategies.compression.search._budget_metric import BudgetMetric
from keras_strategies.compression.search._candidate_evaluator import Candidate
from keras_strategies.compression.search._pareto_plot import pareto_front
from tests.compression import common


@given(
    count=st.integers(1, 12), first=st.integers(0, 11), strongest=st.integers(-1, 12)
)
def test_bisection_finds_the_strongest_level_that_succeeds(count, first, strongest):
    tried = []

    def attempt(level):
        tried.append(level)
        return level <= strongest

    found = _search_base.bisect(
        range(count), min(first, count - 1), attempt, lambda: len(tried) < 50
    )
    assert found == (None if strongest < 0 else min(strongest, count - 1))
    assert len(tried) == len(set(tried)) <= 1 + np.ceil(np.log2(count + 1))


def test_bisection_ends_when_nothing_is_left():
    left = iter([True, True, False])
    assert _search_base.bisect(range(9), 4, lambda level: True, lambda: next(left)) == 6


@settings(deadline=None, max_examples=40)
@given(steps=st.integers(1, 3000), start=st.floats(0, 0.9), end=st.floats(0.1, 0.99))
def test_a_schedule_reaches_its_sparsity_within_the_training(steps, start, end):
    plan = _size_search.schedule(start, end, steps)
    last = steps - 1 if plan.end_step < 0 else plan.end_step
    assert last < steps and (last - plan.begin_step) % plan.frequency == 0
    assert float(plan(last)) == pytest.approx(end, abs=1e-6)
    assert plan.begin_step == 0
    if steps >= 10:
        assert float(plan(0)) == pytest.approx(min(start, end), abs=1e-6)


class _Evaluator:
    """Stands for training and export: what is lost is a function of the candidate."""

    def __init__(self, lost, most=50):
        self.model, self.lost, self.most = common.mlp("adam"), lost, most
        self.candidates, self.best = [], None
        self.budget = 1.0

    @property
    def can_continue(self):
        return len(self.candidates) < self.most

    def evaluate(self, model, candidate, keep):
        candidate.drop = self.lost(candidate)
        candidate.met = candidate.drop <= self.budget
        bits = np.log2(candidate.clusters or 256)
        candidate.gzipped_bytes = int(1e5 * (1 - candidate.sparsity) * bits)
        self.candidates.append(candidate)
        if self.best is None or self._rank(candidate) < self._rank(self.best):
            self.best = candidate
        return candidate

    def _rank(self, candidate):
        return not candidate.met, candidate.gzipped_bytes

    def record_failure(self, candidate, error):
        candidate.error = str(error)
        self.candidates.append(candidate)
        return candidate


class _FineTuner:
    steps, fits = 1, 0

    def compile(self, model, factor=1.0):
        model.compile("sgd", "mse")

    def fit(self, model):
        self.fits += 1


def _searched(lost, most=50):
    evaluator = _Evaluator(lost, most)
    _size_search.SizeSearch(evaluator, _FineTuner()).run()
    return evaluator


def test_sparsity_then_values_each_as_far_as_the_budget_goes():
    evaluator = _searched(
        lambda c: 2 * (c.sparsity > 0.93) + 2 * ((c.clusters or 99) < 16)
    )
    assert (evaluator.best.sparsity, evaluator.best.clusters) == (0.93, 16)
    made = [(c.quantization, c.sparsity, c.clusters) for c in evaluator.candidates]
    assert made[0] == ("int8", 0.0, None)
    assert made[-1][0] == "int8 QAT"  # the last try, of one that was over the budget
    assert len(made) == len(set(made))


def test_without_room_for_values_the_milder_sparsity_gets_them():
    evaluator = _searched(lambda c: c.sparsity + 0.015 * bool(c.clusters))
    assert evaluator.best.sparsity == 0.98 and evaluator.best.clusters == 4


def test_a_sparsity_is_tried_again_from_weights_that_are_nearly_as_sparse():
    tried = []

    def lost(candidate):
        tried.append(candidate.sparsity)
        return 2 * (candidate.sparsity == 0.9 and tried.count(0.9) == 1)

    evaluator = _searched(lost)
    assert tried[:6] == [0.0, 0.9, 0.7, 0.8, 0.85, 0.9]
    assert evaluator.best.sparsity == 0.99


def test_numbers_of_the_first_format_that_keeps_to_the_budget():
    evaluator = _searched(lambda c: 0 if c.quantization == "dynamic" else 5)
    kinds = list(dict.fromkeys(c.quantization for c in evaluator.candidates))
    assert kinds == ["int8", "int8 QAT", "dynamic"]
    assert evaluator.best.sparsity == 0.99 and evaluator.best.clusters == 4


def test_nothing_is_pruned_where_no_format_keeps_to_the_budget():
    evaluator = _searched(lambda c: 5)
    assert [c.quantization for c in evaluator.candidates] == list(_search_base.FORMATS)


def test_no_more_candidates_than_asked_for():
    assert len(_searched(lambda c: 0, most=3).candidates) == 3


def test_pareto_front():
    points = [(10, 3.0), (20, 1.0), (30, 2.0), (40, 1.0), (50, 0.0), (20, 1.5)]
    rows = [{"gzipped_bytes": size, "drop": drop} for size, drop in points]
    assert pareto_front(rows) == [rows[0], rows[1], rows[4]]


def test_a_candidate_names_itself():
    assert str(Candidate("int8", 0.9, 16)) == "int8, 0.9 sparse, 16 values"
    assert "0.5 of filters removed" in str(Candidate("int8", filters=0.5))


def _arrays(count=10):
    x = np.arange(3 * count, dtype="float32").reshape(count, 3)
    return x, np.arange(count), np.linspace(0, 1, count)


class _Batches(keras.utils.PyDataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        rows = slice(3 * index, 3 * index + 3)
        return tuple(part[rows] for part in _arrays())


def test_data_sets_and_arrays_are_the_same_samples():
    whole = _samples.samples("data", _arrays())
    for data in (_Batches(), [_Batches()[index] for index in range(4)]):
        found = _samples.samples("data", data)
        for name in ("x", "y", "weight"):
            np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))
        assert _samples.num_batches("data", data) == 4
    assert _samples.samples("data", _arrays()[:2]).weight is None


def test_held_out_samples_are_no_validation_samples():
    whole = _samples.samples("data", _arrays(41))
    for seed in (0, 1):
        first, second = _samples.split(whole, None, seed)
        assert (len(first), len(second)) == (21, 20)
        assert set(first.y) | set(second.y) == set(range(41))
        np.testing.assert_array_equal(first.x[:, 0], 3 * first.y)
    again, _ = _samples.split(whole, None, 1)
    np.testing.assert_array_equal(first.y, again.y)
    assert _samples.split(whole, second, 0) == (whole, second)


def test_ranges_come_from_training_inputs():
    x, y, _ = _arrays(1000)
    found = _samples.calibration_inputs((x, y), 0)
    assert found.shape == (300, 3) and len(np.unique(found[:, 0])) == 300
    batches = [(x[i : i + 80], y[i : i + 80]) for i in range(0, 1000, 80)]
    np.testing.assert_array_equal(_samples.calibration_inputs(batches, 0), x[:300])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ((np.ones(3),), "must be a tuple"),
        (np.ones((3, 2)), "must be a tuple"),
        ([np.ones(3)], "batches of such tuples"),
        ((np.ones((3, 2)), np.ones(2)), "as many targets"),
        ((np.ones((0, 2)), np.ones(0)), "at least one"),
        (7, "must be a tuple"),
    ],
)
def test_bad_data_is_refused(data, words):
    with pytest.raises((TypeError, ValueError), match=words):
        _samples.samples("validation_data", data)


def test_data_without_a_length_is_refused():
    with pytest.raises(TypeError, match="known number of batches"):
        _samples.num_batches("train_data", iter([]))


def _budget_metric(loss, metrics, metric=None, mode="auto"):
    model = common.mlp()
    model.compile("sgd", loss, metrics=metrics)
    return BudgetMetric(model, metric, mode)


@pytest.mark.parametrize(
    ("metrics", "metric", "name", "mode"),
    [
        (["accuracy", "mse"], None, "accuracy", "max"),
        ([keras.metrics.MeanAbsoluteError()], None, "mean_absolute_error", "min"),
        (None, None, "mse", "min"),
        (["accuracy"], "auc", "auc", "max"),
        (["accuracy"], keras.metrics.RootMeanSquaredError(), None, "min"),
    ],
)
def test_the_metric_and_its_direction(metrics, metric, name, mode):
    found = _budget_metric("mse", metrics, metric)
    assert name in (None, found.name) and found.mode == mode


def test_a_metric_of_unknown_direction_needs_a_mode():
    def likeness(y_true, y_pred):
        return keras.ops.mean(y_pred, axis=-1)

    with pytest.raises(ValueError, match="whether less or more.*Give `mode`"):
        _budget_metric("mse", None, likeness)
    assert _budget_metric("mse", None, likeness, "max").mode == "max"


def test_scores_and_drops():
    y = np.array([[0.0], [1.0], [2.0]], "float32")
    samples = _samples.Samples(None, y, np.float32([1, 1, 2]))
    outputs = y + np.float32([[1], [1], [3]])
    for metric in (keras.metrics.MeanSquaredError(), keras.losses.MeanSquaredError()):
        measure = _budget_metric("mse", None, metric, "min")
        weighted = isinstance(metric, keras.metrics.Metric)
        expected = 5.0 if weighted else 20 / 3  # Keras's losses divide by the samples
        assert measure.score(samples, outputs) == pytest.approx(expected)
    assert measure.drop(5.0, 4.0) == pytest.approx(25)
    assert measure.drop(float("nan"), 4.0) == float("inf")
    assert _budget_metric("mse", ["accuracy"]).drop(0.9, 0.95) == pytest.approx(5)
