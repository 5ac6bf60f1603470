"""Approximation of `erf` by operations that LiteRT has.

The exact gelu of a Keras layer becomes LiteRT's own GELU operation and needs no
approximation; a bare `keras.ops.erf`, or a gelu written out by hand, does.
"""

from typing import Any

# Rational approximation 7.1.26 of Abramowitz and Stegun, Handbook of Mathematical
# Functions (1964): erf(x) = 1 - (a1 t + ... + a5 t^5) exp(-x^2), t = 1 / (1 + p x),
# for x >= 0, with an absolute error of at most 1.5e-7. Coefficients from a5 to a1.
_P = 0.3275911
_A = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)


def erf(x: Any) -> Any:
    """Returns erf(x) from `abs`, `sign`, `exp` and arithmetic, in `x.dtype`."""
    import tensorflow as tf

    magnitude = tf.abs(x)
    t = 1.0 / (1.0 + _P * magnitude)
    polynomial = tf.zeros_like(t)
    for coefficient in _A:
        polynomial = polynomial * t + coefficient
    return tf.sign(x) * (1.0 - polynomial * t * tf.exp(-magnitude * magnitude))


def erfc(x: Any) -> Any:
    """Returns 1 - erf(x)."""
    return 1.0 - erf(x)
