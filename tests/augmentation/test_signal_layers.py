"""Layers for signals against NumPy and the formulas of the papers."""

import keras
import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from keras_strategies.augmentation import signal
from keras_strategies.augmentation.signal import _time_ops

X = np.random.default_rng(0).normal(size=(16, 40, 3)).astype("float32")
RAMP = np.tile(np.arange(41.0, dtype="float32")[None, :, None], (64, 1, 1))
LAYERS = {
    "SpecAugment": lambda **a: signal.SpecAugment(
        frequency_mask_size=1, time_mask_size=9, time_warp=5, fill_value="mean", **a
    ),
    "RandomTimeShift": lambda **a: signal.RandomTimeShift((0.1, 0.4), "wrap", **a),
    "RandomTimeWarp": signal.RandomTimeWarp,
    "RandomMagnitudeScale": signal.RandomMagnitudeScale,
    "RandomMagnitudeScale curve": lambda **a: signal.RandomMagnitudeScale(
        knots=4, per_channel=False, **a
    ),
    "RandomJitter": lambda **a: signal.RandomJitter((0.1, 0.2), relative=True, **a),
    "RandomWindowSlice": signal.RandomWindowSlice,
    "SequenceMixUp": lambda **a: signal.SequenceMixUp(1.0, **a),
}


def _numpy(x):
    return keras.ops.convert_to_numpy(x)


def test_interpolation_is_that_of_numpy():
    positions = np.random.default_rng(1).uniform(-2, 45, (16, 30)).astype("float32")
    got = _numpy(_time_ops.interpolate(X, positions))
    steps = np.arange(40)
    for i in range(16):
        for channel in range(3):
            expected = np.interp(positions[i], steps, X[i, :, channel])
            np.testing.assert_allclose(got[i, :, channel], expected, atol=1e-5)


@pytest.mark.parametrize("knots", [2, 3, 6])
def test_curves_are_natural_splines(knots):
    values = np.random.default_rng(2).normal(1, 0.2, (4, knots)).astype("float32")
    got = _numpy(_time_ops.curve(values, 50))
    at = np.linspace(0, knots - 1, 50)
    spline = CubicSpline(np.arange(knots), values, axis=1, bc_type="natural")
    np.testing.assert_allclose(got, spline(at), atol=1e-5)


def test_shifts_are_those_of_roll():
    for mode in ("wrap", "constant", "nearest"):
        layer = signal.RandomTimeShift(0.5, mode, fill_value=-1.0, seed=0)
        got = _numpy(layer(RAMP))[..., 0]
        shifts = set()
        for row in got:
            # Of all shifts one gives the row.
            for shift in range(-21, 22):
                expected = np.roll(RAMP[0, :, 0], shift)
                outside = slice(None, shift) if shift > 0 else slice(shift, None)
                if shift and mode != "wrap":
                    edge = 0.0 if shift > 0 else 40.0
                    expected[outside] = -1.0 if mode == "constant" else edge
                if np.array_equal(row, expected):
                    shifts.add(shift)
                    break
            else:
                pytest.fail(f"{mode}: no shift gives {row}")
        assert len(shifts) > 20 and min(shifts) < -15 and max(shifts) > 15
    late = _numpy(signal.RandomTimeShift((0.25, 0.25))(RAMP))
    np.testing.assert_array_equal(late[:, 10:, 0], RAMP[:, :-10, 0])


def test_warps_keep_the_ends_and_the_order():
    for layer in (signal.RandomTimeWarp(0.5, seed=1), signal.RandomTimeWarp(0.0)):
        got = _numpy(layer(RAMP))[..., 0]
        np.testing.assert_allclose(got[:, [0, -1]], [[0, 40]] * 64, atol=1e-3)
        assert (np.diff(got) > 0).all()
    np.testing.assert_allclose(got, RAMP[..., 0], atol=1e-3)


def test_windows_are_stretched():
    got = _numpy(signal.RandomWindowSlice((0.5, 0.75), seed=1)(RAMP))[..., 0]
    lengths = got[:, -1] - got[:, 0]
    assert 20 <= lengths.min() < 22 and 28 < lengths.max() <= 30
    assert got.min() >= 0 and got.max() <= 40
    expected = np.linspace(got[:, 0], got[:, -1], 41).T
    np.testing.assert_allclose(got, expected, atol=1e-4)
    starts = got[:, 0] / (40 - lengths)
    assert starts.min() < 0.1 and starts.max() > 0.9


def test_magnitudes_have_the_deviation():
    ones = np.ones((400, 20, 2), "float32")
    got = _numpy(signal.RandomMagnitudeScale(0.3, seed=1)(ones))
    np.testing.assert_array_equal(got, np.repeat(got[:, :1], 20, axis=1))
    assert got[:, 0].std() == pytest.approx(0.3, rel=0.1)
    assert abs(np.corrcoef(got[:, 0].T)[0, 1]) < 0.2
    got = _numpy(signal.RandomMagnitudeScale(0.3, 4, per_channel=False, seed=1)(ones))
    np.testing.assert_array_equal(got[..., 0], got[..., 1])
    assert got[:, 0, 0].std() == pytest.approx(0.3, rel=0.1)  # at a knot
    assert np.abs(np.diff(got, axis=1)).max() > 1e-3


def test_jitter_has_the_strength():
    zeros = np.zeros((50, 200, 2), "float32")
    noise = _numpy(signal.RandomJitter(0.5, seed=1)(zeros))
    assert noise.std() == pytest.approx(0.5, rel=0.02)
    noise = _numpy(signal.RandomJitter((0.1, 0.9), seed=1)(zeros)).std(axis=(1, 2))
    assert 0.08 < noise.min() < 0.2 and 0.75 < noise.max() < 1.0
    scaled = np.random.default_rng(0).normal(size=zeros.shape) * [1.0, 10.0]
    noise = _numpy(signal.RandomJitter(0.2, relative=True)(scaled)) - scaled
    np.testing.assert_allclose(noise.std(axis=(0, 1)), [0.2, 2.0], rtol=0.05)


def test_spec_augment_masks_whole_bands():
    x = np.random.default_rng(0).normal(size=(300, 60, 30)).astype("float32")
    layer = signal.SpecAugment(1, 8, 1, 20, fill_value=7.0, seed=1)
    masked = _numpy(layer(x)) == 7.0
    np.testing.assert_array_equal(_numpy(layer(x, training=False)), x)
    bins, steps = masked.all(axis=1), masked.all(axis=2)
    np.testing.assert_array_equal(masked, bins[:, None] | steps[:, :, None])
    for axis, largest in ((bins, 8), (steps, 20)):
        sizes = axis.sum(axis=1)
        # Sizes 0 to the largest alike, in one piece each, everywhere on the axis.
        assert set(sizes) == set(range(largest + 1))
        assert abs(sizes.mean() - largest / 2) < largest / 10
        edges = np.abs(np.diff(np.pad(axis, ((0, 0), (1, 1))).astype(int))).sum(axis=1)
        assert edges.max() == 2 and axis.any(axis=0).all()
    short = _numpy(signal.SpecAugment(0, 0, 1, 20, 0.1, fill_value=7.0)(x)) == 7.0
    assert short.all(axis=2).sum(axis=1).max() == 6
    mean = _numpy(signal.SpecAugment(2, 8, 2, 20, fill_value="mean", seed=1)(x))
    changed = mean != x
    expected = np.broadcast_to(x.mean(axis=(1, 2), keepdims=True), x.shape)
    np.testing.assert_allclose(mean[changed], expected[changed], atol=1e-5)


def test_time_warp_of_spec_augment_moves_one_step():
    layer = signal.SpecAugment(0, 0, 0, 0, time_warp=10, seed=1)
    got = _numpy(layer(RAMP))[..., 0]
    np.testing.assert_allclose(got[:, [0, -1]], [[0, 40]] * 64, atol=1e-3)
    slopes = np.diff(got)
    assert (slopes > 0).all()
    # Two straight parts: slopes have at most two values but where they meet.
    assert all(len(np.unique(row.round(3))) <= 3 for row in slopes)
    assert 3 < np.abs(got - RAMP[..., 0]).max() <= 10


def test_mixing_keeps_signals_and_labels_together():
    labels = np.eye(16, dtype="float32")
    constant = np.broadcast_to(np.arange(16.0)[:, None, None], (16, 5, 2))
    layer = signal.SequenceMixUp(1.0, seed=3)
    mixed = layer({"signals": constant, "labels": labels, "id": np.arange(16)})
    weights = _numpy(mixed["labels"])
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    assert (np.count_nonzero(weights, axis=1) == 2).sum() > 12
    expected = weights @ np.arange(16.0)
    got = _numpy(mixed["signals"])
    np.testing.assert_allclose(
        got, np.broadcast_to(expected[:, None, None], got.shape), rtol=1e-5
    )
    np.testing.assert_array_equal(_numpy(mixed["id"]), np.arange(16))
    # Each is the partner of one: what they lose, others gain.
    assert (weights - np.diag(np.diag(weights)) > 0).sum(axis=0).max() == 1


@pytest.mark.parametrize("name", LAYERS)
def test_behaves_as_a_random_layer(name):
    layer = LAYERS[name](seed=4)
    first = _numpy(layer(X))
    assert first.shape == X.shape and first.dtype == np.float32
    assert np.abs(first - X).max(axis=(1, 2)).min() >= 0
    assert np.mean(np.abs(first - X).max(axis=(1, 2)) > 1e-4) > 0.8
    assert not np.array_equal(_numpy(layer(X)), first)
    np.testing.assert_array_equal(_numpy(LAYERS[name](seed=4)(X)), first)
    np.testing.assert_array_equal(_numpy(layer(X, training=False)), X)
    model = keras.Sequential([keras.Input((40, 3)), layer])
    np.testing.assert_array_equal(model.predict(X, verbose=0), X)
    if name == "SequenceMixUp":
        with pytest.raises(ValueError, match=r"must be \(batch, time, channels\)"):
            layer(X[0])
    else:
        assert _numpy(layer(X[0])).shape == X[0].shape


@pytest.mark.parametrize("name", LAYERS)
def test_in_tf_data_on_every_backend(name):
    import tensorflow as tf

    def epochs(size):
        data = {"signals": X, "labels": np.eye(16, dtype="float32")}
        dataset = tf.data.Dataset.from_tensor_slices(data).batch(size)
        dataset = dataset.map(LAYERS[name](seed=4), num_parallel_calls=4)
        rows = [list(dataset.as_numpy_iterator()) for _ in range(2)]
        return [np.stack([batch["signals"] for batch in row]) for row in rows]

    first = epochs(4)
    assert first[0].shape == (4, 4, 40, 3) and not np.array_equal(*first)
    np.testing.assert_array_equal(epochs(4), first)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: signal.SpecAugment(time_masks=-1), "`time_masks` must be"),
        (lambda: signal.SpecAugment(fill_value="min"), "`fill_value` must be"),
        (lambda: signal.SpecAugment(time_mask_fraction=2), "`time_mask_fraction` must"),
        (lambda: signal.RandomTimeShift(2.0), "`factor` must be"),
        (lambda: signal.RandomTimeShift(fill_mode="zero"), "`fill_mode` must be"),
        (lambda: signal.RandomTimeWarp(knots=1), "`knots` must be"),
        (lambda: signal.RandomMagnitudeScale(-0.1), "`stddev` must be"),
        (lambda: signal.RandomJitter((0.1, 0.2, 0.3)), "`stddev` must have two"),
        (lambda: signal.RandomWindowSlice(0.0), "`factor` must be"),
        (lambda: signal.SequenceMixUp(0.0), "`alpha` must be"),
        (lambda: signal.RandomJitter()({"images": X}), "must have the key 'signals'"),
        (lambda: signal.RandomJitter()(X[None]), "must be .batch, time, channels"),
        (
            lambda: signal.SequenceMixUp()({"signals": X, "labels": np.arange(16)}),
            "`labels` must be .batch, classes",
        ),
    ],
)
def test_bad_input(make, text):
    with pytest.raises(ValueError, match=text):
        make()
