"""The callback that is called after all others."""

from typing import Any

from keras_strategies._internal import bases


class LastCallback(bases.Callback):
    """Tells its owner, the first callback, when each of the others has been called."""

    def __init__(self, owner: Any):
        super().__init__()
        self._owner = owner

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._owner.all_have_begun()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._owner.all_have_begun_epoch(epoch)

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        self._owner.all_have_ended_batch(batch)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._owner.all_have_ended_epoch(epoch, logs)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._owner.all_have_ended(logs)
