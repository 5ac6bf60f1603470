"""DropBlock against its formulas; rates of stochastic depth."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_strategies.layers import DropBlock1D, DropBlock2D, stochastic_depth_rates
from keras_strategies.layers._drop_block import (
    drop_blocks,
    grow_blocks,
    seed_probability,
)


def _numpy(x):
    return ops.convert_to_numpy(x)


@pytest.mark.parametrize("block", [1, 2, 3])
def test_a_seed_grows_to_a_whole_block(block):
    seeds = np.zeros((2, 8 - block + 1, 6 - block + 1, 1), "float32")
    corners = [(0, 0, 0), (0, 4, 2), (1, 8 - block, 6 - block)]
    expected = np.zeros((2, 8, 6, 1), "float32")
    for sample, row, column in corners:
        seeds[sample, row, column] = 1
        expected[sample, row : row + block, column : column + block] = 1
    np.testing.assert_array_equal(_numpy(grow_blocks(seeds, block)), expected)


def test_chance_of_a_seed_is_the_articles():
    assert seed_probability(0.1, 7, [14, 20]) == pytest.approx(
        0.1 / 49 * 14 * 20 / (8 * 14)
    )


def test_the_rest_is_scaled_to_the_mean_of_one():
    x = np.arange(12, dtype="float32").reshape(1, 12, 1)
    dropped = np.zeros((1, 12, 1), "float32")
    dropped[0, 3:6] = 1
    expected = x * (1 - dropped) * 12 / 9
    out = drop_blocks(ops.array(x), ops.array(dropped))
    np.testing.assert_allclose(_numpy(out), expected, rtol=1e-6)
    nothing = drop_blocks(ops.array(x), ops.array(np.ones_like(x)))
    np.testing.assert_array_equal(_numpy(nothing), np.zeros_like(x))


def _runs(row):
    """Lengths of the runs of zeros."""
    return [
        len(run) for run in "".join("01"[int(v != 0)] for v in row).split("1") if run
    ]


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_whole_blocks_are_dropped_at_the_rate(data_format):
    layer = DropBlock1D(0.2, 4, data_format, seed=3)
    out = _numpy(layer(np.ones((40, 50, 20), "float32"), training=True))
    last = data_format == "channels_last"
    rows = out.transpose(0, 2, 1).reshape(-1, 50) if last else out.reshape(-1, 20)
    lengths = [length for row in rows for length in _runs(row)]
    assert min(lengths) >= 4
    # Overlaps make it less than the rate: 1 - (1 - gamma)^4 = 0.19 in the middle.
    assert 0.14 < (out == 0).mean() < 0.2
    assert out.mean() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_squares_and_channels(data_format):
    layer = DropBlock2D(0.15, 3, data_format, seed=0)
    out = _numpy(layer(np.ones((4, 12, 12, 12), "float32"), training=True))
    if data_format == "channels_first":
        out = out.transpose(0, 2, 3, 1)
    zero = out == 0
    windows = np.lib.stride_tricks.sliding_window_view(zero, (3, 3), (1, 2))
    covered = np.zeros_like(zero)
    for row in range(3):
        for column in range(3):
            whole = windows.all((-1, -2))
            covered[:, row : row + 10, column : column + 10] |= whole
    np.testing.assert_array_equal(covered, zero)
    assert (zero[..., 0] != zero[..., 1]).any()


def test_nothing_happens_at_inference_or_rate_zero():
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    np.testing.assert_array_equal(_numpy(DropBlock2D(0.5, 3)(x)), x)
    np.testing.assert_array_equal(_numpy(DropBlock2D(0.0, 3)(x, training=True)), x)


def test_unknown_sizes():
    inputs = keras.Input((None, None, 2))
    model = keras.Model(inputs, DropBlock2D(0.2, 3, "channels_last", seed=1)(inputs))
    for size in (9, 5):
        out = _numpy(model(np.ones((2, size, 4, 2), "float32"), training=True))
        assert out.shape == (2, size, 4, 2)


def called_with_sizes_at_run_time(model, x):
    """In training; on TensorFlow in a graph where no size is known that is `None`."""
    if keras.backend.backend() != "tensorflow":
        return model(x, training=True)
    import tensorflow as tf

    signature = [tf.TensorSpec(model.input_shape, "float32")]
    call = tf.function(lambda x: model(x, training=True), signature)
    return call(tf.constant(x))


@pytest.mark.parametrize("is_known", [True, False])
def test_blocks_are_cut_to_maps_that_are_smaller(is_known):
    shape = (2, 9, 3) if is_known else (None, None, 3)
    inputs = keras.Input(shape)
    layer = DropBlock2D(0.3, 4, "channels_last", seed=2)
    model = keras.Model(inputs, layer(inputs))
    x = np.ones((400, 2, 9, 3), "float32")
    out = _numpy(called_with_sizes_at_run_time(model, x))
    # A block is 2 x 4: columns are dropped as a whole, four or more together.
    np.testing.assert_array_equal(out[:, 0] == 0, out[:, 1] == 0)
    rows = out[:, 0].transpose(0, 2, 1).reshape(-1, 9)
    assert min(length for row in rows for length in _runs(row)) == 4
    # One that starts at each of 6 places with probability 0.3 / 4 * 9 / 6.
    kept = 1 - 0.3 / 4 * 9 / 6
    covering = np.minimum(
        np.minimum(np.arange(9) + 1, 4), np.minimum(6, 9 - np.arange(9))
    )
    expected = np.mean(1 - kept**covering)
    assert (out == 0).mean() == pytest.approx(expected, abs=0.02)


def test_only_valid_positions_count_in_the_scale():
    x = np.ones((1, 12, 1), "float32")
    dropped = np.zeros((1, 12, 1), "float32")
    dropped[0, 0:4] = dropped[0, 9:] = 1
    valid = np.arange(12)[None, :, None] < 8
    out = _numpy(drop_blocks(ops.array(x), ops.array(dropped), ops.array(valid)))
    np.testing.assert_allclose(out[0, :, 0], [0] * 4 + [2.0] * 5 + [0] * 3)


def test_rates_rise_linearly():
    assert stochastic_depth_rates(5, 0.2) == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])
    assert stochastic_depth_rates(1, 0.2) == [0.2]
    with pytest.raises(ValueError, match="`depth` must be an integer at least 1"):
        stochastic_depth_rates(0, 0.2)
