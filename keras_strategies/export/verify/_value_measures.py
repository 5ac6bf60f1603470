"""Measures of values (NumPy only)."""

import numpy as np

from keras_strategies.export.verify._measure import (
    CERTAIN,
    CHANNEL_VARIANCE,
    MANY_CHANNELS,
    VARIANCE,
    Measure,
)


def value_measures(
    reference: np.ndarray,
    actual: np.ndarray,
    *,
    truth: np.ndarray | None = None,
    is_shared: bool = False,
) -> list[Measure]:
    """Measures of values: each channel against its own spread.

    Args:
        reference: The Keras model's values, (positions, channels).
        actual: The artifact's.
        truth: Labels. Defaults to `None`, `reference`.
        is_shared: Whether all channels are known to have one unit.
    """
    if truth is None:
        spread = constant_channels(reference, actual)
        measures = variance_measures(reference, actual, VARIANCE, is_shared)
        return [*measures, *spread]
    worse = np.square(truth - actual) - np.square(truth - reference)
    spread = denominators(truth, is_shared)
    share = 100 * worse.mean(axis=0) / spread
    worst = int(share.argmax())
    text = (
        f"channel {{channel}} explains {share[worst]:.2f} points less of the variance "
        "of the labels"
    )
    if _are_equals(spread, is_shared):
        # The worst of many channels would be that of the noisiest labels.
        points = 100 * float(worse.mean() / truth.var(axis=0).mean())
        text = f"all channels explain {points:.2f} points less of the labels' variance"
        return [Measure("whole", points / VARIANCE, text)]
    return [Measure("variance", float(share[worst]) / VARIANCE, text, worst)]


def label_error(reference: np.ndarray, actual: np.ndarray, truth: np.ndarray) -> float:
    """Standard error of the points lost by the labels, in the worst channel."""
    worse = np.square(truth - actual) - np.square(truth - reference)
    error = worse.std(axis=0) / np.sqrt(len(worse)) / denominators(truth)
    return 100 * float(error[int(worse.mean(axis=0).argmax())])


def _are_equals(spread, is_shared):
    return is_shared and len(spread) >= MANY_CHANNELS


def variance_measures(
    reference: np.ndarray,
    actual: np.ndarray,
    allowed: float,
    is_shared: bool = False,
) -> list[Measure]:
    """Error of the worst channel in per cent of its variance, by what is allowed."""
    error = np.square(actual - reference)
    spread = denominators(reference, is_shared)
    share = 100 * error.mean(axis=0) / spread
    measures = []
    if _are_equals(spread, is_shared):
        whole = 100 * float(error.mean() / max(reference.var(axis=0).mean(), 1e-30))
        text = f"the error of all channels is {whole:.3g} % of their variance"
        measures.append(Measure("whole", whole / allowed, text))
        allowed = allowed * CHANNEL_VARIANCE
    worst = int(share.argmax())
    text = (
        f"the error of channel {{channel}} is {share[worst]:.3g} % of its variance "
        f"({_bias_text(reference[:, worst], actual[:, worst])})"
    )
    measures.append(Measure("variance", float(share[worst]) / allowed, text, worst))
    # Again without the outliers, whose spread would hide what happens to the rest.
    low, high = np.quantile(reference, [0.005, 0.995], axis=0)
    is_central = (reference >= low) & (reference <= high)
    central = np.where(is_central, reference, np.nan)
    if len(reference) < 100 or not is_central.any(axis=0).all():
        return measures
    error = np.where(is_central, error, np.nan)
    share = 100 * np.nanmean(error, axis=0) / denominators(central, is_shared)
    worst = int(share.argmax())
    text = (
        f"on the central 99 % of its values the error of channel {{channel}} is "
        f"{share[worst]:.3g} % of their variance "
        f"({_bias_text(reference[:, worst], actual[:, worst])})"
    )
    return [*measures, Measure("central", float(share[worst]) / allowed, text, worst)]


def _bias_text(reference, actual):
    deviation = float(reference.std())
    bias = float((actual - reference).mean())
    if deviation == 0:
        return f"it is constant in Keras, and off by {bias:.3g}"
    return f"bias {bias / deviation:+.2f} standard deviations"


def denominators(values: np.ndarray, is_shared: bool = False) -> np.ndarray:
    """Returns the variance of each channel that its errors are measured against.

    Its own, with two exceptions. A nearly constant channel (a deviation below a
    thousandth of its largest value) has no spread to speak of: it is measured
    against 1 % of its size, or a tenth of the usual deviation. And among at
    least eight channels of one scale, such as pixels, one that hardly varies is
    measured against three tenths of the usual deviation: the dark corner of an image
    is not judged by its own noise.

    Args:
        values: (positions, channels); NaN is left out.
        is_shared: Whether all channels are known to have one unit. Otherwise those
            within a factor of ten of the median size are taken to, and measured
            against at most twice their own deviation.
    """
    deviation = np.nanstd(values, axis=0)
    size = np.nanmax(np.abs(values), axis=0)
    usual = float(np.median(deviation))
    is_constant = deviation < 1e-3 * size
    floor = np.where(is_constant, np.maximum(0.01 * size, 0.1 * usual), 0.0)
    if len(size) >= MANY_CHANNELS:
        shared = np.full(len(size), 0.3 * usual)
        if not is_shared:
            # A guess, which must not make a channel of another unit invisible.
            is_alike = (size == 0) | (size > 0.1 * np.median(size))
            limit = np.where(size == 0, np.inf, 2 * deviation)
            shared = np.where(is_alike, np.minimum(shared, limit), 0.0)
        floor = np.maximum(floor, shared)
    floor = np.where(size == 0, np.maximum(floor, 0.1 * usual), floor)
    result = np.maximum(np.square(deviation), np.square(floor))
    # Where all are exactly zero, an error counts as it is.
    return np.where(result > 0, result, 1.0)


def constant_channels(
    reference: np.ndarray, actual: np.ndarray, smallest: float = 0.0
) -> list[Measure]:
    """Channels that vary in Keras and are (nearly) constant in the artifact."""
    before, after = reference.std(axis=0), actual.std(axis=0)
    varies = before > np.maximum(1e-3 * np.abs(reference).max(axis=0), smallest)
    if len(before) >= MANY_CHANNELS:
        varies &= before > 0.3 * np.median(before)
    lost = np.flatnonzero(varies & (after < 0.02 * before))
    return [
        Measure(
            "constant",
            CERTAIN,
            "channel {channel} is constant in the file, where Keras's has a "
            f"deviation of {before[worst]:.3g}",
            int(worst),
        )
        for worst in lost[:1]
    ]
