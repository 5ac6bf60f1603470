"""Few shapes for many row counts: chunks, buckets and padding."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks

# Rows of the largest bucket are chosen so that its largest tensor takes about this many
# bytes, a processor's cache; `predict` takes 32 rows whatever their size. A thousand
# images in one piece are slower than in pieces of 32.
CHUNK_BYTES = 2 * 2**20
MIN_ROWS, MAX_ROWS = 32, 1024


def default_batch_size(row_bytes: int) -> int:
    """Returns the rows of the largest bucket where a row takes `row_bytes`."""
    rows = CHUNK_BYTES // max(row_bytes, 1)
    return int(min(max(rows, MIN_ROWS), MAX_ROWS))


def bucket_size(rows: int, largest: int) -> int:
    """Returns the smallest power of two with room for `rows`, at most `largest`.

    Powers of two waste less than half of the rows and need a logarithmic number of
    compiled programs.
    """
    return min(1 << max(rows - 1, 0).bit_length(), largest)


def chunks(rows: int, largest: int) -> Iterator[slice]:
    """Yields slices of at most `largest` rows that cover `rows`."""
    for start in range(0, rows, largest):
        yield slice(start, min(start + largest, rows))


def pad_rows(array: np.ndarray, rows: int) -> np.ndarray:
    """Returns `array` with its last row repeated up to `rows`.

    A copy of a real row, not zeros: zeros may be out of the range of an embedding or
    of a logarithm.
    """
    missing = rows - len(array)
    if missing == 0:
        return array
    return np.concatenate([array, np.repeat(array[-1:], missing, axis=0)])


def as_array(value: Any) -> np.ndarray:
    """Returns an input as `model.predict` sees it: floats in Keras's float type."""
    if type(value).__name__ in ("RaggedTensor", "RaggedTensorValue"):
        checks.fail(
            "Inputs must be dense",
            received=type(value).__name__,
            fix="Call `to_tensor`, with a mask for what it adds, or `model.predict`.",
            error=TypeError,
        )
    if not isinstance(value, np.ndarray):
        value = keras.ops.convert_to_numpy(value) if _is_tensor(value) else value
        value = np.asarray(value)
    if value.dtype.kind == "f" and value.dtype.name != keras.config.floatx():
        value = value.astype(keras.config.floatx())
    return value


def _is_tensor(value):
    return keras.ops.is_tensor(value) or isinstance(value, keras.Variable)
