"""Ranges of activations, against NumPy on all values at once."""

import numpy as np
import pytest

from keras_strategies.export._calibration import range_reducers


def _blocks(seed=0):
    """Blocks of very different kind: signed, rectified, tiny, with an outlier."""
    rng = np.random.default_rng(seed)
    values = {
        "normal": rng.normal(size=(40, 500)),
        "relu": np.maximum(rng.normal(size=(40, 500)), 0),
        "tiny": rng.normal(size=(40, 500)) * 1e-9,
        "lognormal": rng.lognormal(sigma=3, size=(40, 500)),
        "negative": -rng.lognormal(sigma=1, size=(40, 500)),
        "constant": np.full((40, 500), 2.5),
        "zero": np.zeros((40, 500)),
    }
    values["outlier"] = values["normal"].copy()
    values["outlier"][3, 7] = 1e4
    return {name: array.astype("float32") for name, array in values.items()}


def _reduce(reducer, blocks):
    for block in blocks:
        reducer.update(block)
    return reducer.range()


@pytest.mark.parametrize("name", _blocks())
def test_minmax(name):
    blocks = _blocks()[name]
    expected = (blocks.min(), blocks.max())
    assert (
        _reduce(range_reducers.create_reducer("minmax", 99.99, 0.99), blocks)
        == expected
    )


@pytest.mark.parametrize("percentile", [90.0, 99.0, 99.99, 100.0])
@pytest.mark.parametrize("name", _blocks())
def test_percentile_within_the_stated_error(name, percentile):
    blocks = _blocks()[name]
    low, high = _reduce(
        range_reducers.create_reducer("percentile", percentile, 0.99), blocks
    )
    assert blocks.min() <= low <= high <= blocks.max()
    for value, share in ((low, 100 - percentile), (high, percentile)):
        # Between two order statistics any value is a percentile.
        around = [
            np.percentile(blocks, share, method=method)
            for method in ("lower", "higher")
        ]
        slack = max(abs(edge) for edge in around) / 128
        assert around[0] - slack <= value <= around[1] + slack


def test_an_outlier_does_not_blur_the_percentile():
    blocks = _blocks()["outlier"]
    _, high = _reduce(range_reducers.create_reducer("percentile", 99.9, 0.99), blocks)
    assert high == pytest.approx(np.percentile(blocks, 99.9), rel=1 / 128)
    assert (
        _reduce(range_reducers.create_reducer("minmax", 99.9, 0.99), blocks)[1] == 1e4
    )


def test_percentile_memory_is_bounded():
    rng = np.random.default_rng(0)
    reducer = range_reducers.create_reducer("percentile", 99.0, 0.99)
    for _ in range(50):
        reducer.update(rng.normal(size=2000).astype("float32"))
    assert len(reducer.rows) < 80
    assert sum(int(row.sum()) for row in reducer.rows.values()) == 100_000


def test_moving_average():
    blocks = [np.array([low, high], "float32") for low, high in ((-1, 1), (-3, 2))]
    low, high = _reduce(
        range_reducers.create_reducer("moving_average", 99.0, 0.9), blocks
    )
    assert low == pytest.approx(-1.2) and high == pytest.approx(1.1)


@pytest.mark.parametrize("method", range_reducers.METHODS)
def test_non_finite_values_are_left_out_and_told(method):
    reducer = range_reducers.create_reducer(method, 100.0, 0.99)
    assert reducer.range() is None
    reducer.update(np.array([np.nan, np.inf], "float32"))
    assert reducer.range() is None and reducer.non_finite
    reducer.update(np.array([1, np.nan, 2, -np.inf], "float32"))
    assert reducer.range() == (1.0, 2.0) and reducer.non_finite


def test_large_finite_values_are_no_infinity():
    reducer = range_reducers.create_reducer("minmax", 100.0, 0.99)
    reducer.update(np.array([-3e38, 3e38], "float32"))
    assert not reducer.non_finite
    assert reducer.range() == pytest.approx((-3e38, 3e38))


def test_convergence():
    early = {"still": (-1, 1), "grew": (-1, 1), "point": (2, 2), "flat": (0, 0)}
    late = {"still": (-1.04, 1.05), "grew": (-1, 1.2), "point": (2, 2), "flat": (0, 1)}
    found = range_reducers.measure_convergence(early, late)
    assert found["moving"] == 0.5 and not found["settled"]
    assert found["moving_tensors"] == ["flat", "grew"]
    assert range_reducers.measure_convergence(late, late)["settled"]
    unknown = range_reducers.measure_convergence(None, late)
    assert unknown["moving"] is None and not unknown["settled"]
