"""Activation functions that are Keras's under another name, such as `tf.nn.relu`."""

from typing import Any

import keras
import numpy as np
from keras import ops

_NAMES = ("linear", "relu", "relu6", "sigmoid", "tanh", "softmax", "log_softmax")
_NAMES += ("silu", "hard_silu", "gelu", "leaky_relu", "exponential")
# Rows for functions along the last axis; small, medium and large values, and values
# just beside the corners of the functions above.
_PROBES = np.concatenate(
    [
        np.linspace(-9, 9, 40).reshape(5, 8),
        np.array([[-3.01, -2.99, -1e-3, 0.0, 1e-3, 2.99, 3.01, 5.99]]),
        np.array([[6.01, -60.0, -20.0, -6.0, 12.0, 20.0, 40.0, 60.0]]),
    ]
).astype("float32")


def canonical_activation(activation: Any) -> Any:
    """The function of Keras that a function computes, or else the argument itself.

    A name says nothing: a function of the user's may be called `relu` too, and
    TensorFlow's `relu` is one. The values do: equal on all probes, of all signs and
    sizes, to those of exactly one of Keras's functions.
    """
    if isinstance(activation, keras.Operation) or not callable(activation):
        return activation
    if (getattr(activation, "__module__", None) or "").startswith("keras."):
        return activation
    try:
        values = _values(activation)
    except Exception:
        # A function that cannot be called on such numbers is none of Keras's; the
        # caller then says that it is not known.
        return activation
    for name in _NAMES:
        known = keras.activations.get(name)
        expected = _values(known)
        if values.shape == expected.shape and np.allclose(
            values, expected, rtol=1e-5, atol=1e-6, equal_nan=True
        ):
            return known
    return activation


def _values(function):
    return ops.convert_to_numpy(function(ops.convert_to_tensor(_PROBES)))
