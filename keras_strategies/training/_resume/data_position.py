"""The data of a running `fit`: where in them it is, and how to begin there."""

from collections.abc import Callable, Mapping
from typing import Any

import keras

from keras_strategies._internal.keras_private.resuming import (
    begin_within_epoch,
    data_batches,
)


class DataPosition:
    """The data of one `fit`, to be begun elsewhere than at their first batch.

    An `IndexedDataset`, or any data set with its `epoch` and `begin_at`, begins where
    it is told. Others begin their epoch with the random states that they began it with,
    and the batches that were trained are read and dropped.
    """

    def __init__(self, fit: Mapping[str, Any]):
        self._x, self._iterator = fit["x"], fit["epoch_iterator"]
        self._shuffle = bool(fit.get("shuffle", True))
        self._first_epoch = int(fit.get("initial_epoch") or 0)

    @property
    def is_indexed(self) -> bool:
        """Whether the data can begin anywhere."""
        return hasattr(self._x, "begin_at")

    @property
    def steps(self) -> int | None:
        """Batches of an epoch, `None` if nobody knows."""
        return self._iterator.num_batches

    def next_epoch(self, step: int) -> int | None:
        """Returns the epoch of the data to go on with, after `step` batches of one."""
        if not self.is_indexed:
            return None
        return self._x.epoch + (1 if step == 0 else 0)

    def doubt(self) -> str | None:
        """Returns why a resume may change the order of the data, or `None`."""
        if self.is_indexed or not self._shuffle:
            return None if self._is_plain() else self._doubt_of_stream()
        if isinstance(self._x, keras.utils.PyDataset):
            if self._x.workers > 1:
                return "several workers shuffle the batches of a PyDataset at any time"
            return None
        if not self._is_plain():
            return self._doubt_of_stream()
        if keras.backend.backend() == "tensorflow":
            return (
                "TensorFlow shuffles arrays by a random state that cannot be put back"
            )
        return None

    def _is_plain(self):
        """Whether batches depend on their number and on global random states."""
        if self.is_indexed or isinstance(self._x, keras.utils.PyDataset):
            return True
        return all(hasattr(leaf, "shape") for leaf in keras.tree.flatten(self._x))

    def _doubt_of_stream(self):
        return (
            f"a {type(self._x).__name__} may give other batches when it is read again"
        )

    def begin(
        self,
        epoch: int,
        step: int,
        data_epoch: int | None,
        before_data: Callable[[], None],
        before_step: Callable[[], None],
    ) -> None:
        """Has the next epoch of `fit` begin with batch `step`.

        Args:
            epoch: The epoch, as `fit` counts.
            step: The batch.
            data_epoch: What `next_epoch` returned.
            before_data: Puts the random states back to those at the begin of the epoch.
            before_step: Puts them back to those before the batch.
        """
        consumed = 0
        if self.is_indexed:
            self._x.begin_at(data_epoch, step)
        else:
            consumed = self._consumed(epoch - self._first_epoch)
        if step or consumed:
            begin_within_epoch(
                self._iterator,
                step,
                0 if self.is_indexed else consumed + step,
                before_data,
                before_step,
            )

    def _consumed(self, epochs):
        """Batches that an iterator over several epochs has given before this one.

        With `steps_per_epoch` Keras goes on where the last epoch has ended, and begins
        the data anew when they have ended.
        """
        steps, batches = self._iterator.steps_per_epoch, data_batches(self._iterator)
        if steps is None:
            return 0
        if batches is None:
            return epochs * steps
        consumed = 0
        for _ in range(epochs):
            consumed += min(steps, batches - consumed)
            if consumed >= batches:
                consumed = 0
        return consumed
