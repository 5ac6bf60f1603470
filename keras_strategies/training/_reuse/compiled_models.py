"""Compiled models that take the place of others of the same structure."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from keras_strategies._internal.keras_private.step_blocks import are_arrays
from keras_strategies._internal.variable_values import assign_values, host_values
from keras_strategies.training._blocks.fit_interceptor import FitInterceptor
from keras_strategies.training._candidates import BY_NAME, PLAIN
from keras_strategies.training._data.arrays import arrays_of_fit
from keras_strategies.training._reuse.held_numbers import HeldNumbers, can_hold_numbers
from keras_strategies.training._reuse.structure import (
    NotUnderstoodError,
    Structure,
    structure,
)
from keras_strategies.training._xla_support import blocking_rows

# Compiled models that are kept, and bytes of their weights and slots in all.
_MAX_MODELS = 16
_MAX_BYTES = 2**28


class CompiledModel:
    """A model with its compiled steps, and what brings it to another one's start.

    Args:
        model: The model: built, compiled, and not yet trained.
        form: Its structure.
        data: `(x, y, sample_weight)` of its fits, to run epochs as one program; `None`
            for Keras's own loop.
        memory_limit: Bytes that data may take on the device.
    """

    def __init__(
        self, model: keras.Model, form: Structure, data: Any, memory_limit: int
    ):
        self.model, self.form, self.is_dropped = model, form, False
        model.optimizer.build(model.trainable_variables)
        self._numbers = HeldNumbers(model, form.numbers if can_hold_numbers() else {})
        self._interceptor = None
        if data is not None:
            self._interceptor = self._intercepted(data, memory_limit)

    def _intercepted(self, data, memory_limit):
        packed = arrays_of_fit(*data, None)
        if packed is None:
            return None
        compiler = "xla" if self.model.jit_compile else "graph"
        if keras.backend.backend() == "jax":
            compiler = "xla"
        if compiler == "xla" and blocking_rows(self.model):
            return None
        epoch = BY_NAME[f"{compiler}-epoch"]
        return FitInterceptor(
            self.model,
            {"train": epoch, "test": epoch, "predict": PLAIN},
            data=packed.description,
            batch_size=None,
            memory_limit=memory_limit,
            seed=None,
            as_plain=True,
        )

    @property
    def nbytes(self) -> int:
        """Bytes of its weights and of its optimizer."""
        variables = [*self.model.variables, *self.model.optimizer.variables]
        return sum(_nbytes(variable) for variable in variables)

    def take(self, other: keras.Model, numbers: Mapping[str, float]) -> None:
        """Takes the state of a model of the same structure, that has not trained."""
        model = self.model
        other.optimizer.build(other.trainable_variables)
        assign_values(model.variables, host_values(other.variables))
        slots = host_values(other.optimizer.variables)
        assign_values(model.optimizer.variables, slots)
        self._numbers.assign(numbers)
        model.reset_metrics()
        model.stop_training = False
        model.history = None

    def give(self, other: keras.Model) -> None:
        """Gives a model what `fit` would have made of it: who built it may keep it."""
        model = self.model
        assign_values(other.variables, host_values(model.variables))
        slots = host_values(model.optimizer.variables)
        assign_values(other.optimizer.variables, slots)
        other.history, other.stop_training = model.history, model.stop_training

    @contextlib.contextmanager
    def fitting(self) -> Iterator[None]:
        """Fits inside the block run by what is compiled."""
        with self._numbers.held():
            if self._interceptor is None:
                yield
                return
            self._interceptor.on_drop = self._drop
            self._interceptor.install()
            try:
                yield
            finally:
                if not self.is_dropped:
                    self._interceptor.remove()

    def _drop(self):
        self.is_dropped = True


class CompiledModels:
    """Compiled models by their structure; the one used longest ago is given up first.

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
        self._limit, self._models = memory_limit, dict[str, CompiledModel]()
        #: Why the last model was not understood, by message.
        self.reasons: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._models)

    @contextlib.contextmanager
    def model_for(self, model: keras.Model) -> Iterator[keras.Model]:
        """A compiled model in the state of `model`, or `model` itself, to be fitted.

        A model that is not understood, see `reasons`, is fitted as it is.

        Args:
            model: Compiled and built model that has not trained.
        """
        try:
            if self._data is None and keras.backend.backend() == "jax":
                # The first fit of a model takes a batch more than the others.
                raise NotUnderstoodError("the data are no arrays")
            form = structure(model, can_hold_numbers())
        except NotUnderstoodError as reason:
            self.reasons[str(reason)] = self.reasons.get(str(reason), 0) + 1
            yield model
            return
        compiled = self._models.pop(form.key, None)
        if compiled is not None and self._has_changed(compiled):
            compiled = None
        if compiled is None:
            compiled = CompiledModel(model, form, self._data, self._limit)
        else:
            compiled.take(model, form.numbers)
        # An exception in the block leaves nothing here that it may have damaged.
        with compiled.fitting():
            yield compiled.model
        if compiled.model is not model:
            compiled.give(model)
        if not compiled.is_dropped:
            self._models[form.key] = compiled
            self._give_up_oldest()

    def _has_changed(self, compiled):
        """Whether a callback has changed more of the model than its variables."""
        try:
            found = structure(compiled.model, can_hold_numbers()).key
        except NotUnderstoodError:
            return True
        return found != compiled.form.key

    def _give_up_oldest(self):
        total = sum(compiled.nbytes for compiled in self._models.values())
        while self._models and (len(self._models) > _MAX_MODELS or total > _MAX_BYTES):
            oldest = self._models.pop(next(iter(self._models)))
            total -= oldest.nbytes


def _nbytes(variable):
    size = keras.backend.standardize_dtype(variable.dtype)
    width = 1 if size == "bool" else int("".join(filter(str.isdigit, size)) or 32) // 8
    count = 1
    for length in variable.shape:
        count *= length
    return count * max(1, width)
