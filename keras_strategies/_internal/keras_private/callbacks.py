"""Reversible changes of a compiled training step, for callbacks."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_strategies._internal.keras_private.optimizers import (
    track_unsaved_state,
    untrack_unsaved_state,
)
from keras_strategies._internal.types import Tensors


class _NumberVariable(keras.Variable):
    """A variable that replaces a number which optimizers compare with 0.

    `if self.momentum != 0` is asked while the step is traced, where a variable has
    no value: the answer is that of a positive number, so that a number that
    falls to 0 later leaves the step as it was traced.
    """

    def __bool__(self):
        return True

    def __ne__(self, value):
        return True if value == 0 else super().__ne__(value)

    def __gt__(self, value):
        return True if value == 0 else super().__gt__(value)


def swap_in_variable(
    optimizer: Any,
    name: str,
    outer: Sequence[Any],
    dtype: str,
    variable: keras.Variable | None = None,
) -> keras.Variable | None:
    """Replaces the number `optimizer.<name>` by a variable of its step.

    Optimizers keep momentum, weight decay and the like as Python numbers that are
    read when the step is traced. A variable in their place changes without another
    trace; the class's code casts it as it casts the number. `outer` are the
    optimizers around this one. The config and the files of the optimizer keep the
    number. Returns the variable. On Torch nothing is traced and the kernels want a
    number: it stays one, to be set by assignment, and `None` is returned.
    `variable` is one that was returned before, to be used again.
    Keras 3.12 to 3.15.
    """
    number = getattr(optimizer, name)
    optimizer.__dict__.setdefault("_swapped_numbers", {})[name] = number
    optimizer.__dict__["get_config"] = functools.partial(_config_of_numbers, optimizer)
    if keras.backend.backend() == "torch":
        return None
    variable = variable or _NumberVariable(
        number or 0,
        dtype=dtype,
        trainable=False,
        aggregation="only_first_replica",
        name=f"{name}_variable",
    )
    variable.assign(number or 0)
    # Not by setattr, which tracks it, so that it would be saved.
    optimizer.__dict__[name] = variable
    track_unsaved_state(optimizer, [variable], outer)
    return variable


def swap_out_variable(optimizer: Any, name: str, outer: Sequence[Any]) -> None:
    """Undoes `swap_in_variable`."""
    variable = optimizer.__dict__[name]
    if isinstance(variable, _NumberVariable):
        untrack_unsaved_state(optimizer, [variable], outer)
    numbers = optimizer.__dict__["_swapped_numbers"]
    optimizer.__dict__[name] = numbers.pop(name)
    if not numbers:
        del optimizer.__dict__["_swapped_numbers"], optimizer.__dict__["get_config"]


def _config_of_numbers(optimizer):
    """The config that the optimizer has without the variables."""
    numbers = optimizer.__dict__["_swapped_numbers"]
    variables = {name: optimizer.__dict__[name] for name in numbers}
    optimizer.__dict__.update(numbers)
    try:
        return type(optimizer).get_config(optimizer)
    finally:
        optimizer.__dict__.update(variables)


class _WrappedMethod:
    """A method of one model with wrappers around it, the last one outermost."""

    def __init__(self, inner, was_own, wrappers):
        self.inner, self.was_own, self.wrappers = inner, was_own, wrappers

    @property
    def __signature__(self):
        """That of the method, for those who bind arguments by their names."""
        return inspect.signature(self.inner)

    def __call__(self, *args, **kwargs):
        call = self.inner
        for wrapper in self.wrappers:
            call = functools.partial(wrapper, call)
        return call(*args, **kwargs)


def wrap_method(model: Any, name: str, wrapper: Callable[..., Any]) -> None:
    """Runs `wrapper(call, *args, **kwargs)` in place of a method of `model`.

    `train_step` and `compute_loss` are public to override in a subclass; for an
    object that exists only its `__dict__` is left, as `setattr` would track the
    value. Any number of wrappers, to be taken away in any order. Trace the step anew
    afterwards. Keras 3.12 to 3.15.
    """
    wrapped = model.__dict__.get(name)
    if not isinstance(wrapped, _WrappedMethod):
        wrapped = _WrappedMethod(getattr(model, name), name in model.__dict__, [])
    wrappers = [*wrapped.wrappers, wrapper]
    model.__dict__[name] = _WrappedMethod(wrapped.inner, wrapped.was_own, wrappers)


def unwrap_method(model: Any, name: str, wrapper: Callable[..., Any]) -> None:
    """Undoes `wrap_method` for this wrapper."""
    wrapped = model.__dict__[name]
    wrappers = [item for item in wrapped.wrappers if item is not wrapper]
    if wrappers:
        model.__dict__[name] = _WrappedMethod(wrapped.inner, wrapped.was_own, wrappers)
    elif wrapped.was_own:
        model.__dict__[name] = wrapped.inner
    else:
        del model.__dict__[name]


def wrapped_methods(
    item: Any, key: Callable[[Any], Any]
) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    """What `wrap_method` put around the methods of `item`, each as `key(wrapper)`."""
    return tuple(
        (name, tuple(key(wrapper) for wrapper in value.wrappers))
        for name, value in list(item.__dict__.items())
        if isinstance(value, _WrappedMethod)
    )


class _VariableHolder(keras.metrics.Metric):
    """A metric without a result, for a variable among those of the metrics."""

    def update_state(self, *args, **kwargs):
        """Nothing is measured."""

    def reset_state(self):
        """The variables keep their values from epoch to epoch."""

    def result(self):
        return {}


def add_step_variable(
    model: keras.Model,
    value: float,
    name: str,
    again: tuple[Any, keras.Variable] | None = None,
) -> tuple[Any, keras.Variable]:
    """A variable that the loss can read in a training step of `model`.

    On JAX a loss sees current values only of the weights and of the variables of
    metrics; weights would be saved. The metric that is made here shows up in no log.
    Returns `(metric, variable)`; `again` is what was returned before.
    Keras 3.12 to 3.15.
    """
    if again is None:
        metric = _VariableHolder(name=name)
        # Else each replica of tf.distribute would get its share of what is assigned.
        variable = metric.add_variable(
            (), initializer="zeros", aggregation="only_first_replica", name=name
        )
        again = metric, variable
    metric, variable = again
    variable.assign(value)
    model._metrics.append(metric)
    return metric, variable


def remove_step_variable(model: keras.Model, metric: Any) -> None:
    """Undoes `add_step_variable`."""
    remaining = [item for item in model._metrics if item is not metric]
    model._metrics.clear()
    model._metrics.extend(remaining)


def loss_functions(
    model: keras.Model, y: Tensors = None, y_pred: Tensors = None
) -> list[Any] | None:
    """The losses of a compiled model that are a function and its arguments.

    `compile` keeps what it was given; the loss objects that a step uses, one for
    each output, are made at the first step. Without targets and predictions, `None`
    if they are not made yet. Keras 3.12 to 3.15.
    """
    compiled = model._compile_loss
    if compiled is None:
        return []
    if not compiled.built:
        if y_pred is None:
            return None
        compiled.build(y, y_pred)
    losses = [entry.loss for entry in compiled._flat_losses]
    return [loss for loss in losses if hasattr(loss, "_fn_kwargs")]


def function_arguments(loss: Any) -> dict[str, Any]:
    """The keyword arguments that such a loss gives to `loss.fn`, to be changed."""
    return loss._fn_kwargs
