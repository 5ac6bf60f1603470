"""A compiled model that trains in the place of others which were built alike."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import keras

from keras_strategies._internal.keras_private.compiled_step import watching_steps
from keras_strategies._internal.references import can_reach
from keras_strategies._internal.traversal import (
    all_layers,
    all_variables,
    optimizer_variables,
)
from keras_strategies._internal.weights.values import assign_values, host_values
from keras_strategies.training._blocks.fit_interceptor import FitInterceptor
from keras_strategies.training._candidates import BY_NAME, PLAIN
from keras_strategies.training._data.arrays import arrays_of_fit
from keras_strategies.training._programs.description import NotUnderstoodError
from keras_strategies.training._programs.held_numbers import HeldNumbers
from keras_strategies.training._programs.model_form import ModelForm, model_form
from keras_strategies.training._programs.step_audit import StepAudit
from keras_strategies.training._xla_support import blocking_rows


class SharedProgram:
    """A model that trains in the place of others, so that they are not compiled.

    To trace and compile a step takes longer than many trainings do. Where another model
    differs in its state only (variables, optimizer, random generators), this one takes
    the state over, is trained in its place, and gives what that would have given. What
    else would make a difference is looked for, and such a model trains by itself:

    - another form, see `model_form`;
    - callbacks or data that reach the other model, beyond `set_model`;
    - a step that does what only its trace tells, see `StepAudit`;
    - a change of this model by its own training, beyond its state.

    Args:
        model: Built and compiled model that has not been trained.
        holds_numbers: Whether other numbers, such as rates of dropout, are variables of
            the program. They change its rounding, so what has to equal a plain `fit`
            bit for bit goes without.
        data: `(x, y, sample_weight)` of its fits, to run epochs as one program; `None`
            for Keras's own loop.
        memory_limit: Bytes that data may take on the device.

    Attributes:
        refusal: Why it trains no other model, `None` if it does.

    Raises:
        NotUnderstoodError: If the model has a part that could compute with anything.
    """

    def __init__(
        self,
        model: keras.Model,
        holds_numbers: bool = False,
        data: Any = None,
        memory_limit: int = 2**30,
    ):
        self.model = model
        self.form: ModelForm = model_form(model, holds_numbers)
        self.refusal: str | None = None
        self._holds = holds_numbers
        self._numbers = HeldNumbers(self.form.numbers)
        self._optimizer, self._function = model.optimizer, None
        self._audit = StepAudit(self._variables)
        self._has_trained = False
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
        interceptor = FitInterceptor(
            self.model,
            {"train": epoch, "test": epoch, "predict": PLAIN},
            data=packed.description,
            batch_size=None,
            memory_limit=memory_limit,
            seed=None,
            as_plain=True,
        )
        interceptor.on_drop = self._drop
        return interceptor

    def _drop(self):
        self.refusal = "its plan was dropped"

    def _variables(self):
        model = self.model
        return [
            *self.form.state,
            *all_variables(model),
            *optimizer_variables(model.optimizer),
            *model.metrics_variables,
            *self._numbers.variables,
        ]

    @property
    def nbytes(self) -> int:
        """Bytes of its weights and of its optimizer."""
        variables = [*self.model.variables, *self.model.optimizer.variables]
        return sum(_nbytes(variable) for variable in variables)

    def obstacle(
        self,
        other: keras.Model,
        roots: Iterable[Any] = (),
        form: ModelForm | None = None,
    ) -> str | None:
        """Why `other` has to be trained by itself, `None` if it need not be.

        If there is none, this model has the state of `other` afterwards.

        Args:
            other: A model that was built and compiled, and not trained.
            roots: What the training of `other` would be given: callbacks, data.
            form: The form of `other`, if it was read before.
        """
        if self.refusal is None and self.model.optimizer is not self._optimizer:
            self.refusal = "its optimizer was exchanged"
        if self.refusal is None and self.model.train_function is not self._function:
            self.refusal = "its step was compiled anew"
        if self.refusal is not None:
            return self.refusal
        try:
            form = model_form(other, self._holds) if form is None else form
        except NotUnderstoodError as reason:
            return str(reason)
        if [_shape(v) for v in self.form.state] != [_shape(v) for v in form.state]:
            return "it has other variables"
        if form.key != self.form.key:
            return "it is not built alike"
        parts = [other, *all_layers(other), *form.state, other.optimizer]
        if can_reach(roots, parts):
            return "callbacks or data refer to it"
        assign_state(self.form, form)
        self._numbers.assign(form.numbers)
        self.model.reset_metrics()
        self.model.stop_training = False
        self.model.history = None
        self.refusal = self._change()
        return self.refusal

    def _change(self):
        """What of the model has changed beside its state, `None` for nothing."""
        try:
            form = model_form(self.model, self._holds)
        except NotUnderstoodError as reason:
            return str(reason)
        same = map(_is, self.form.state, form.state)
        if form.key != self.form.key or not all(same):
            return "its training has changed it"
        return None

    def give(self, other: keras.Model, form: ModelForm) -> None:
        """Gives a model what `fit` would have made of it: who built it may keep it."""
        assign_state(form, self.form)
        other.history = self.model.history
        other.stop_training = self.model.stop_training

    @contextlib.contextmanager
    def fitting(self) -> Iterator[None]:
        """Fits inside the block run by what is compiled."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(watching_steps(self.model, self._audit))
            stack.enter_context(self._numbers.held())
            if self._interceptor is not None:
                self._interceptor.install()
                stack.callback(self._uninstall)
            yield
        if not self._has_trained:
            self._has_trained, self._function = True, self.model.train_function
        if self._audit.reason is not None:
            self.refusal = self._audit.reason

    def _uninstall(self):
        if self.refusal is None:
            self._interceptor.remove()


def assign_state(target: ModelForm, source: ModelForm) -> None:
    """Gives a model the state of another one of the same form."""
    pairs = zip(target.state, source.state, strict=True)
    pairs = [(mine, other) for mine, other in pairs if mine is not other]
    values = host_values(other for _, other in pairs)
    assign_values((mine for mine, _ in pairs), values)


def _is(one, other):
    return one is other


def _shape(variable):
    return tuple(variable.shape), str(variable.dtype), bool(variable.trainable)


def _nbytes(variable):
    size = keras.backend.standardize_dtype(variable.dtype)
    width = 1 if size == "bool" else int("".join(filter(str.isdigit, size)) or 32) // 8
    count = 1
    for length in variable.shape:
        count *= length
    return count * max(1, width)
