"""Where a fit stands: epochs and batches counted without asking the device."""

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import batches_seen
from keras_strategies._internal.walking import innermost_optimizer
from keras_strategies.callbacks._base import StatefulCallback

UPDATES = ("batch", "epoch")


class PositionCallback(StatefulCallback):
    """Calls `_set(position)` at each epoch or batch, by `update`.

    Within an epoch the position is counted from the batch number, because reading
    the optimizer's counter would wait for the device; at each epoch it is aligned
    with that counter. The begin numbers of batches are exact for any
    `steps_per_execution`, unlike the end numbers.

    Subclasses call `_begin(known)` in `on_train_begin`.
    """

    # epoch: the one expected next; step: batches done.
    _state_names = ("epoch", "step")

    def __init__(self, update):
        super().__init__()
        self.update = checks.choice("update", update, UPDATES)
        self._epoch = 0
        self._step = 0
        self._fit_model = None
        self._origin = None  # value of the batch counter at position 0
        self._known = False  # whether the state belongs to the current model

    def on_epoch_begin(self, epoch, logs=None):
        seen = int(keras.ops.convert_to_numpy(self._batch_counter()))
        if self._origin is None:
            self._origin = seen - self._first_step(epoch, seen)
        self._epoch, self._step = epoch, seen - self._origin
        if self.update == "epoch":
            self._set(epoch)

    def on_train_batch_begin(self, batch, logs=None):
        if self.update == "batch":
            self._set(self._step + batch, unless_same=batch > 0)

    def on_epoch_end(self, epoch, logs=None):
        self._fit_model = self.model  # JAX: puts the values back into the variables
        self._epoch = epoch + 1
        self._step = int(keras.ops.convert_to_numpy(self._batch_counter()))
        self._step -= self._origin
        if logs is not None:
            logs.update(self._logged())

    def _set(self, position, unless_same=False):
        raise NotImplementedError

    def _logged(self):
        return {}

    def _begin(self, known):
        """Starts at 0, or where the state stands if it is `known` to belong here."""
        self._fit_model = self.model
        if not known:
            self._epoch = self._step = 0
        self._known = known
        self._origin = None

    def _total(self, unit_epochs):
        """Positions in `unit_epochs` epochs, None if Keras does not know them."""
        if self.update == "epoch":
            return unit_epochs
        steps = (self.params or {}).get("steps")
        return None if steps is None else unit_epochs * steps

    def _first_step(self, epoch, seen):
        """Position in batches at the begin of the first epoch of this fit."""
        if epoch == 0:
            return 0
        if self._known and epoch == self._epoch:
            return self._step
        steps = (self.params or {}).get("steps")
        if steps is not None:
            return epoch * steps
        if seen or self.update == "epoch":
            return seen  # a resumed optimizer has counted since epoch 0
        return checks.fail(
            "With update='batch' and a first epoch after 0, the steps done before "
            "must be known",
            fix="Give fit(steps_per_epoch=...), or set_state() with the state of "
            "the run that is continued.",
            initial_epoch=epoch,
            steps_per_epoch=None,
        )

    def _batch_counter(self):
        return batches_seen(innermost_optimizer(self._fit_model.optimizer))
