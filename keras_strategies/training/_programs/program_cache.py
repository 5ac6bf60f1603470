"""Compiled models by form, one for all models of a search that were built alike."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras

from keras_strategies._internal.keras_private.base_methods import is_overridden
from keras_strategies._internal.keras_private.step_blocks import are_arrays
from keras_strategies.training._programs.description import NotUnderstoodError
from keras_strategies.training._programs.held_numbers import can_hold_numbers
from keras_strategies.training._programs.model_form import model_form
from keras_strategies.training._programs.shared_program import SharedProgram

# Compiled models that are kept, and bytes of their weights and slots in all.
_MAX_MODELS = 16
_MAX_BYTES = 2**28


class ProgramCache:
    """Compiled models by their form; the one used longest ago is given up first.

    Args:
        data: `(x, y, sample_weight)` that all fits have in common in shape, if they
            are arrays: an epoch is then one program.
        memory_limit: Bytes that the data may take on the device.
    """

    def __init__(self, data: Any = None, memory_limit: int = 2**30):
        self._data = None
        if (
            data is not None
            and keras.backend.backend() != "torch"
            and are_arrays(*data)
        ):
            self._data = data
        self._limit, self._programs = memory_limit, dict[str, SharedProgram]()
        #: Why models were fitted as they are, by message.
        self.reasons: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._programs)

    @contextlib.contextmanager
    def model_for(self, model: keras.Model) -> Iterator[keras.Model]:
        """A compiled model in the state of `model`, or `model` itself, to be fitted.

        A model that cannot be shared, see `reasons`, is fitted as it is.

        Args:
            model: Compiled and built model that has not trained.
        """
        try:
            if self._data is None and keras.backend.backend() == "jax":
                # The first fit of a model takes a batch more than the others.
                raise NotUnderstoodError("the data are no arrays")
            _check_runs_by_its_program(model)
            form = model_form(model, can_hold_numbers())
        except NotUnderstoodError as reason:
            self._note(str(reason))
            yield model
            return
        program = self._programs.pop(form.key, None)
        if program is not None and program.obstacle(model, form=form) is not None:
            program = None
        if program is None:
            program = SharedProgram(model, can_hold_numbers(), self._data, self._limit)
        # An exception in the block leaves nothing here that it may have damaged.
        with program.fitting():
            yield program.model
        if program.model is not model:
            program.give(model, form)
        if program.refusal is None:
            self._programs[form.key] = program
            self._give_up_oldest()
        else:
            self._note(program.refusal)

    def _note(self, reason):
        self.reasons[reason] = self.reasons.get(reason, 0) + 1

    def _give_up_oldest(self):
        total = sum(program.nbytes for program in self._programs.values())
        while self._programs and (
            len(self._programs) > _MAX_MODELS or total > _MAX_BYTES
        ):
            oldest = self._programs.pop(next(iter(self._programs)))
            total -= oldest.nbytes


def _check_runs_by_its_program(model):
    """Refuses what Keras's `fit` would not run by one compiled step."""
    if model.run_eagerly or model.steps_per_execution != 1:
        raise NotUnderstoodError("the model runs eagerly or several steps at once")
    for name in ("fit", "evaluate"):
        if is_overridden(model, name) or name in vars(model):
            raise NotUnderstoodError(f"the model has a `{name}` of its own")
