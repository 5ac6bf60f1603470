"""Sums of the values and quantization errors of one operation (NumPy only)."""

import numpy as np

from keras_strategies.export._calibration.range_reducers import Percentile

# Ratios of signal to noise in dB, written for an error of zero.
MAX_DECIBEL = 120.0
# Upper percentile of the values that count as their bulk; the lower is 0.05.
_BULK_PERCENTILE = 99.95


class ErrorSums:
    """Sums over all samples of one operation's values and errors, by channel.

    The channels are the last axis; tensors without one have a single channel.
    """

    def __init__(self) -> None:
        self.signal_power = np.zeros(1)
        self.noise_power = np.zeros(1)
        self.count = 0
        self.low: np.ndarray | float = np.inf
        self.high: np.ndarray | float = -np.inf
        self.max_error = 0.0
        self.shape: tuple[int, ...] = ()
        self.bulk = Percentile(_BULK_PERCENTILE)
        self._peak_sum = 0.0
        self._num_samples = 0

    def add(self, values: np.ndarray | None, difference: np.ndarray | None) -> None:
        """Adds the float values of one batch and the int8 ones minus them."""
        if values is None or difference is None or not values.size:
            return
        self.shape = values.shape
        peaks = np.abs(values.reshape(len(values), -1)).max(axis=1)
        self._peak_sum += float(peaks.sum())
        self._num_samples += len(peaks)
        channels = values.shape[-1] if values.ndim > 1 else 1
        values = values.reshape(-1, channels)
        difference = difference.reshape(-1, channels)
        self.bulk.update(values)
        # In float64: float32 sums of millions of squares lose digits.
        signal = np.square(values).sum(axis=0, dtype="float64")
        noise = np.square(difference).sum(axis=0, dtype="float64")
        self.signal_power = self.signal_power + signal
        self.noise_power = self.noise_power + noise
        self.low = np.minimum(self.low, values.min(axis=0))
        self.high = np.maximum(self.high, values.max(axis=0))
        self.max_error = max(self.max_error, float(np.abs(difference).max()))
        self.count += values.shape[0]

    def rmse(self) -> float:
        """Root mean square error over all values."""
        size = self.count * self.noise_power.size
        return float(np.sqrt(self.noise_power.sum() / size))

    def sample_ratio(self) -> float:
        """The largest magnitude by the mean of the samples' largest ones."""
        largest = max(float(np.max(self.high)), -float(np.min(self.low)))
        return largest * self._num_samples / self._peak_sum if self._peak_sum else 1.0

    def sqnr(self) -> float:
        """Ratio of signal to quantization noise in dB over all values."""
        return _decibel(self.signal_power.sum(), self.noise_power.sum())

    def channel_sqnr(self) -> float:
        """The same for the median channel, of those that carry a signal."""
        is_live = self.signal_power > 0
        if not is_live.any():
            return MAX_DECIBEL
        ratios = self.noise_power[is_live] / self.signal_power[is_live]
        return _decibel(1.0, float(np.median(ratios)))


def _decibel(signal, noise):
    if noise <= 0:
        return MAX_DECIBEL
    ratio = 10 * np.log10(max(signal, 1e-300) / noise)
    return float(np.clip(ratio, -MAX_DECIBEL, MAX_DECIBEL))
