"""The part of the data that candidates are measured on."""

import itertools
from typing import Any

from keras_strategies._internal.keras_private.step_blocks import unpacked
from keras_strategies.training._data.arrays import Arrays, first_rows
from keras_strategies.training._data.dataset import Dataset

# Batches of an epoch of data whose length is not known.
ASSUMED_BATCHES = 128


class MeasurementSample:
    """The data given to `accelerate`, to measure on.

    Attributes:
        arguments: `(x, y, sample_weight)` for `fit`.
        is_dataset: Whether `x` is a dataset.
        batches: Number of batches in an epoch, assumed if it is not known.
        exact_batches: The same if it is known, else `None`.
        data: `Arrays`, or an opened `Dataset`.
    """

    def __init__(self, arguments: tuple[Any, Any, Any], data: Arrays | Dataset):
        self.arguments, self.data = arguments, data
        self.is_dataset = data.nbytes is None
        self.batches = self.exact_batches = data.batches
        if self.batches is None:
            # The first of them was read already.
            batches = itertools.islice(data.read(), ASSUMED_BATCHES)
            self.batches = sum(1 for _ in batches)

    def part(self, steps: int) -> tuple[tuple[Any, Any, Any], int | None]:
        """Returns `((x, y, sample_weight), steps)` of a call on some batches only."""
        if self.is_dataset:
            return self.arguments, min(steps, self.batches)
        rows = steps * self.data.batch_size
        return unpacked(first_rows(self.data.arrays, rows)), None
