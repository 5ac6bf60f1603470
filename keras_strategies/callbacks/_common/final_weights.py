"""Callbacks that decide which weights the model has after `fit`."""

import keras

from keras_strategies._internal import bases, checks
from keras_strategies.callbacks._common.siblings import is_before, siblings


class FinalWeights(bases.Callback):
    """A callback that assigns weights at the end of the fit.

    Of two of them the last in the list would win, without a word: they are an error,
    unless the first one hands its weights to the other, as averages that are in the
    model at the end of each epoch.
    """

    @property
    def sets_final_weights(self) -> bool:
        """Whether weights are assigned at the end."""
        return True

    @property
    def hands_on_weights(self) -> bool:
        """Whether later callbacks see these weights at the end of each epoch."""
        return False

    def _refuse_others_at_the_end(self) -> None:
        """Refuses a second callback of this fit that assigns weights at its end."""
        if not self.sets_final_weights:
            return
        for other in siblings(self):
            if not _sets_final_weights(other):
                continue
            pair = [self, other] if is_before(self, other) else [other, self]
            if getattr(pair[0], "hands_on_weights", False) and not getattr(
                pair[1], "hands_on_weights", False
            ):
                continue
            checks.fail(
                "Only one callback of a fit can set the weights at its end",
                fix="Leave one out. To keep the best averages, put "
                "WeightAveraging(swap_on_epoch=True) before the callback that "
                "restores.",
                first=type(pair[0]).__name__,
                second=type(pair[1]).__name__,
            )


def _sets_final_weights(callback):
    if isinstance(callback, FinalWeights):
        return callback.sets_final_weights
    if isinstance(callback, keras.callbacks.EarlyStopping):
        return callback.restore_best_weights
    return False
