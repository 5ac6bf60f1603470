"""Elementwise functions that LiteRT lacks, from those that it has."""

from typing import Any


def atan(x: Any) -> Any:
    """Returns atan2(x, 1)."""
    import tensorflow as tf

    return tf.atan2(x, tf.ones_like(x))


def asin(x: Any) -> Any:
    """Returns atan2(x, sqrt(1 - x^2)), the product written without cancellation."""
    import tensorflow as tf

    return tf.atan2(x, tf.sqrt((1.0 - x) * (1.0 + x)))


def acos(x: Any) -> Any:
    """Returns atan2(sqrt(1 - x^2), x)."""
    import tensorflow as tf

    return tf.atan2(tf.sqrt((1.0 - x) * (1.0 + x)), x)


def tan(x: Any) -> Any:
    """Returns sin(x) / cos(x)."""
    import tensorflow as tf

    return tf.sin(x) / tf.cos(x)


def sinh(x: Any) -> Any:
    """Returns (e^x - e^-x) / 2, and its series near 0, where that cancels."""
    import tensorflow as tf

    series = x * (1.0 + x * x / 6.0 * (1.0 + x * x / 20.0 * (1.0 + x * x / 42.0)))
    difference = 0.5 * (tf.exp(x) - tf.exp(-x))
    return tf.where(tf.abs(x) < 0.5, series, difference)


def cosh(x: Any) -> Any:
    """Returns (e^x + e^-x) / 2."""
    import tensorflow as tf

    return 0.5 * (tf.exp(x) + tf.exp(-x))


def asinh(x: Any) -> Any:
    """Returns sign(x) log(|x| + sqrt(x^2 + 1)), and its series near 0."""
    import tensorflow as tf

    square = x * x
    # x - x^3/6 + 3 x^5/40 - 15 x^7/336, with an error below 1e-7 for |x| < 0.15.
    inner = 1.0 - square * (25.0 / 42.0)
    series = x * (1.0 - square / 6.0 * (1.0 - square * 0.45 * inner))
    magnitude = tf.abs(x)
    far = tf.sign(x) * tf.math.log(magnitude + tf.sqrt(square + 1.0))
    return tf.where(magnitude < 0.15, series, far)


def acosh(x: Any) -> Any:
    """Returns log(x + sqrt(x^2 - 1)), the product written without cancellation."""
    import tensorflow as tf

    return tf.math.log(x + tf.sqrt((x - 1.0) * (x + 1.0)))


def atanh(x: Any) -> Any:
    """Returns log((1 + x) / (1 - x)) / 2, and its series near 0."""
    import tensorflow as tf

    square = x * x
    series = x * (1.0 + square / 3.0 * (1.0 + square * 0.6 * (1.0 + square * 5 / 7)))
    far = 0.5 * tf.math.log((1.0 + x) / (1.0 - x))
    return tf.where(tf.abs(x) < 0.15, series, far)


def bitwise_and(x: Any, y: Any) -> Any:
    """Returns x & y of int32 from xor and shifts.

    `x + y = (x ^ y) + 2 (x & y)`; it is applied to the upper 31 bits, whose sum does
    not overflow, and the lowest bits are multiplied.
    """
    import tensorflow as tf

    one = tf.constant(1, x.dtype)
    upper_x, upper_y = (tf.bitwise.right_shift(z, one) for z in (x, y))
    double = upper_x + upper_y - tf.bitwise.bitwise_xor(upper_x, upper_y)
    upper = tf.bitwise.right_shift(double, one)
    lowest = (x - 2 * upper_x) * (y - 2 * upper_y)
    return 2 * upper + lowest


def bitwise_or(x: Any, y: Any) -> Any:
    """Returns x | y = (x ^ y) + (x & y), which share no bit."""
    import tensorflow as tf

    return tf.bitwise.bitwise_xor(x, y) + bitwise_and(x, y)


def left_shift(x: Any, count: Any) -> Any:
    """Returns x * 2^count, the powers from a table: LiteRT multiplies int32."""
    import tensorflow as tf

    powers = tf.constant([1 << bit for bit in range(31)] + [-(1 << 31)], x.dtype)
    return x * tf.gather(powers, count)


def in_float32(function: Any) -> Any:
    """Returns `function` with float64 arguments and result, computed in float32."""

    def converted(*values: Any) -> Any:
        import tensorflow as tf

        return tf.cast(function(*(tf.cast(x, tf.float32) for x in values)), tf.float64)

    return converted
