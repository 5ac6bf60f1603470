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
    labels: np.ndarray | None = None,
    is_shared: bool = False,
) -> list[Measure]:
    """Measures of values: each channel against its own spread.

    Args:
        reference: The Keras model's values, (positions, channels).
        actual: The artifact's.
        truth: What the reference would be if it were right. Defaults to `None`,
            `reference`.
        labels: Labels, whose spread then counts. Defaults to `None`.
        is_shared: Whether all channels are known to have one unit.
    """
    measures = variance_measures(
        reference, actual, VARIANCE, is_shared=is_shared, truth=truth, labels=labels
    )
    return measures + constant_channels(reference, actual)


def proven_loss(
    reference: np.ndarray, actual: np.ndarray, labels: np.ndarray
) -> tuple[Measure, float]:
    """Returns what the worst channel loses by the labels alone, and the most it may.

    The measure is what it loses at least, two standard errors below the mean; the
    second value is as far above it, the largest of all channels, in the same units.
    """
    worse = np.square(labels - actual) - np.square(labels - reference)
    scale = 100 / (denominators(labels) * VARIANCE)
    mean = worse.mean(axis=0) * scale
    error = worse.std(axis=0) / max(len(worse), 1) ** 0.5 * scale
    least = mean - 2 * error
    worst = int(least.argmax())
    text = _explained(mean[worst] * VARIANCE)
    text += f", give or take {2 * error[worst] * VARIANCE:.2g}"
    measure = Measure("labels", float(least[worst]), text, worst)
    return measure, float((mean + 2 * error).max())


def _are_equals(spread, is_shared):
    return is_shared and len(spread) >= MANY_CHANNELS


def variance_measures(
    reference: np.ndarray,
    actual: np.ndarray,
    allowed: float,
    *,
    is_shared: bool = False,
    truth: np.ndarray | None = None,
    labels: np.ndarray | None = None,
) -> list[Measure]:
    """Error of the worst channel in per cent of its variance, by what is allowed.

    With a `truth` it is by how much the artifact's error is larger than Keras's, in
    per cent of the variance of `labels`.
    """
    error = np.square(actual - reference)
    if truth is not None:
        error = np.square(truth - actual) - np.square(truth - reference)
    scale = reference if labels is None else labels
    spread = denominators(scale, is_shared)
    share = 100 * error.mean(axis=0) / spread
    measures = []
    if _are_equals(spread, is_shared):
        whole = 100 * float(error.mean() / max(scale.var(axis=0).mean(), 1e-30))
        text = f"the error of all channels is {whole:.3g} % of their variance"
        measures.append(Measure("whole", whole / allowed, text))
        allowed = allowed * CHANNEL_VARIANCE

    def measure(name, beginning):
        worst = int(share.argmax())
        text = f"the error of channel {{channel}} is {share[worst]:.3g} % of its "
        text = text + "variance" if truth is None else _explained(share[worst])
        text += f" ({_bias_text(reference[:, worst], actual[:, worst])})"
        return Measure(name, float(share[worst]) / allowed, beginning + text, worst)

    measures.append(measure("variance", ""))
    # Again without the outliers, whose spread would hide what happens to the rest.
    low, high = np.quantile(reference, [0.005, 0.995], axis=0)
    is_central = (reference >= low) & (reference <= high)
    if len(reference) < 100 or not is_central.any(axis=0).all():
        return measures
    spread = denominators(np.where(is_central, scale, np.nan), is_shared)
    share = 100 * np.nanmean(np.where(is_central, error, np.nan), axis=0) / spread
    return [*measures, measure("central", "on the central 99 % of the values ")]


def _explained(share):
    text = f"{abs(share):.3g} % {'less' if share >= 0 else 'more'}"
    return f"channel {{channel}} explains {text} of the labels' variance"


def _bias_text(reference, actual):
    deviation = float(reference.std())
    bias = float((actual - reference).mean())
    if deviation == 0:
        return f"it is constant in Keras, and off by {bias:.3g}"
    return f"bias {bias / deviation:+.2f} standard deviations"


def denominators(values: np.ndarray, is_shared: bool = False) -> np.ndarray:
    """Returns the variance of each channel that its errors are measured against.

    Its own, with two exceptions. A nearly constant channel (a deviation below a
    thousandth of its largest value) has no spread to speak of beside others that vary:
    it is measured against 1 % of its size, or a tenth of the usual deviation. Where no
    channel varies more, such as an air pressure in pascals, this spread is all that
    the output says, down to what float32 holds: a ten-thousandth. And among at
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
    is_constant = ~_varies(deviation, size)
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


def _varies(deviation, size):
    """Which channels vary by more than a thousandth of their size.

    Where none does: by more than a ten-thousandth.
    """
    varies = deviation > 1e-3 * size
    return varies if varies.any() else deviation > 1e-4 * size


def constant_channels(
    reference: np.ndarray, actual: np.ndarray, smallest: float = 0.0
) -> list[Measure]:
    """Channels that vary in Keras and are (nearly) constant in the artifact."""
    before, after = reference.std(axis=0), actual.std(axis=0)
    varies = _varies(before, np.abs(reference).max(axis=0)) & (before > smallest)
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
