"""Arrays, which `fit` cuts into batches."""

from typing import Any

import keras

from keras_strategies._internal.keras_private.step_blocks import (
    are_arrays,
    packed_arrays,
)
from keras_strategies.training._data.description import describe


class Arrays:
    """Arrays as data of `fit`, packed as `fit` packs them.

    Attributes:
        adapter: Keras's adapter whose epoch hooks are to be called; none for arrays.
        nbytes: Bytes of all arrays.
        batch_bytes: Bytes of one batch.
        batches: Number of batches, a partial one included.
    """

    adapter = None

    def __init__(self, arrays: Any, rows: int, batch_size: int):
        self.arrays, self.rows, self.batch_size = arrays, rows, batch_size
        self.batches = num_batches(rows, batch_size)
        leaves = keras.tree.flatten(arrays)
        self.nbytes: int | None = sum(
            leaf.nbytes for leaf in leaves if leaf is not None
        )
        self.batch_bytes = row_bytes(arrays) * min(batch_size, rows)

    @property
    def description(self) -> dict[str, Any]:
        return describe(self.arrays, "arrays")

    @property
    def head(self) -> Any:
        """The first batch."""
        return first_rows(self.arrays, self.batch_size)

    def limited_to(self, steps: int | None) -> "Arrays":
        """Returns a copy truncated to `steps` batches, or to Keras's own limit."""
        limit = step_limit(steps)
        if limit is None or limit * self.batch_size >= self.rows:
            return self
        rows = limit * self.batch_size
        return Arrays(first_rows(self.arrays, rows), rows, self.batch_size)


def arrays_of_fit(
    x: Any,
    y: Any,
    sample_weight: Any,
    batch_size: int | None,
    class_weight: dict[int, float] | None = None,
    steps: int | None = None,
) -> Arrays | None:
    """Returns the `Arrays` of arguments of `fit`, `None` if they are not dense."""
    if not are_arrays(x, y, sample_weight):
        return None
    arrays, rows, batch_size = packed_arrays(
        x, y, sample_weight, batch_size, class_weight, steps
    )
    return None if arrays is None else Arrays(arrays, rows, batch_size)


def first_rows(arrays: Any, rows: int) -> Any:
    """Returns the first `rows` rows of each array."""
    return keras.tree.map_structure(
        lambda leaf: None if leaf is None else leaf[:rows], arrays
    )


def row_bytes(arrays: Any) -> int:
    """Returns the bytes of one row of all arrays together."""
    leaves = [leaf for leaf in keras.tree.flatten(arrays) if leaf is not None]
    return sum(leaf.nbytes // max(1, len(leaf)) for leaf in leaves)


def num_batches(rows: int, batch_size: int) -> int:
    """Returns the number of batches, a partial one included."""
    return -(-rows // batch_size)


def step_limit(steps: int | None) -> int | None:
    """Returns `steps`, at most Keras's own limit; `None` without either."""
    limits = [n for n in (steps, keras.config.max_steps_per_epoch()) if n]
    return min(limits, default=None)


def num_rows(batch: Any) -> int:
    """Returns the number of rows of a batch."""
    return max(len(leaf) for leaf in keras.tree.flatten(batch) if leaf is not None)
