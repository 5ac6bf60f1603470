"""Callbacks that decide which weights the model has after `fit`."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras

from keras_strategies._internal import bases, checks
from keras_strategies.callbacks._common.siblings import is_before, siblings, undo_begins


class FinalWeights(bases.Callback):
    """A callback that assigns weights at the end of the fit.

    Of two of them the last in the list would win, without a word: they are an error,
    unless one keeps the best of what the other averages. It then keeps the weights
    that were validated, in `validated_weights`, whatever the order.
    """

    @property
    def sets_final_weights(self) -> bool:
        """Whether weights are assigned at the end."""
        return True

    @property
    def averages_weights(self) -> bool:
        """Whether validation sees weights that this callback puts into the model."""
        return False

    @property
    def hands_on_weights(self) -> bool:
        """Whether later callbacks see these weights at the end of each epoch."""
        return False

    @property
    def keeps_validated(self) -> bool:
        """Whether the weights of the best validation are kept."""
        return False

    @property
    def has_kept(self) -> bool:
        """Whether there are weights to assign at the end."""
        return False

    @contextlib.contextmanager
    def averages_in_model(self) -> Iterator[None]:
        """The model has what validation saw, in the block."""
        yield

    @contextlib.contextmanager
    def validated_weights(self) -> Iterator[None]:
        """The model has the weights that were validated, in the block."""
        with contextlib.ExitStack() as stack:
            for other in siblings(self):
                if isinstance(other, FinalWeights) and other.averages_weights:
                    stack.enter_context(other.averages_in_model())
            yield

    def _measured_weights(self) -> contextlib.AbstractContextManager[None]:
        """The model has the weights that the metric was measured on, in the block."""
        if self.keeps_validated:
            return self.validated_weights()
        return contextlib.nullcontext()

    def _leaves_the_end_to_another(self) -> bool:
        """Whether a callback assigns the best of these averages."""
        others = [c for c in siblings(self) if isinstance(c, FinalWeights)]
        return any(other.keeps_validated and other.has_kept for other in others)

    def _refuse_others_at_the_end(self) -> None:
        """Refuses a second callback of this fit that assigns weights at its end."""
        if not self.sets_final_weights:
            return
        for other in siblings(self):
            if not _sets_final_weights(other):
                continue
            pair = [self, other] if is_before(self, other) else [other, self]
            if _go_together(*pair):
                continue
            undo_begins(self)
            checks.fail(
                "Only one callback of a fit can set the weights at its end",
                fix="Leave one out. To keep the best averages, use "
                "callbacks.EarlyStopping or BestWeights with a metric of the "
                "validation, which is measured on the averages.",
                first=type(pair[0]).__name__,
                second=type(pair[1]).__name__,
            )


def _go_together(first: Any, second: Any) -> bool:
    """Whether one of them keeps the averages of the other."""
    averages = [getattr(item, "averages_weights", False) for item in (first, second)]
    if averages == [True, False] and first.hands_on_weights:
        return True
    keeps = [getattr(item, "keeps_validated", False) for item in (first, second)]
    return averages[0] != averages[1] and averages == [not keep for keep in keeps]


def _sets_final_weights(callback):
    if isinstance(callback, FinalWeights):
        return callback.sets_final_weights
    if isinstance(callback, keras.callbacks.EarlyStopping):
        return callback.restore_best_weights
    return False
