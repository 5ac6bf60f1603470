"""State of optimizers, and state of a training step that is not saved."""

import functools
import types
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np


def inner_optimizers(optimizer: Any) -> list[Any]:
    """The optimizers right inside another one.

    A wrapper such as `LossScaleOptimizer` has one in `inner_optimizer`, a
    `MultiOptimizer` several in `optimizers`: none, if a function makes them, before it
    is built. Keras 3.12 to 3.15.
    """
    inner = getattr(optimizer, "inner_optimizer", None)
    if inner is not None:
        return [inner]
    return list(getattr(optimizer, "optimizers", None) or ())


def nested_optimizers(optimizer: Any) -> list[Any]:
    """An optimizer and all inside it, the outermost first. Keras 3.12 to 3.15."""
    inside = [
        item
        for inner in inner_optimizers(optimizer)
        for item in nested_optimizers(inner)
    ]
    return [optimizer, *inside]


def iterations_variable(optimizer: Any) -> keras.Variable:
    """The Variable that counts the batches an optimizer has received.

    `optimizer.iterations` is a quotient under gradient accumulation, while
    learning-rate schedules count every batch: they read this variable.
    Keras 3.12 to 3.15.
    """
    return optimizer._iterations


def raw_learning_rate(optimizer: Any) -> Any:
    """The learning rate of an optimizer: a Variable, a schedule object or a callable.

    The public `learning_rate` is the current value, which does not tell whether there
    is a schedule. Keras 3.12 to 3.15.
    """
    return optimizer._learning_rate


def assign_optimizer_variables(
    model: keras.Model, variables: Sequence[keras.Variable], values: Sequence[float]
) -> None:
    """Assigns between two batches of `fit`, without detaching JAX's state.

    On JAX the variables are empty in the middle of an epoch: `fit` passes their
    values from one call of `train_function` to the next. The public way,
    `callback.model`, writes every variable of the model back, for each batch. Here
    only these entries are replaced in the next call. Keras 3.12 to 3.15.
    """
    state = getattr(model, "_jax_state", None)
    detached = bool(state) and not model._jax_state_synced
    # An optimizer that only the user's own step knows is not in that state.
    slots = _slots(variables, model.optimizer) if detached else None
    detached = slots is not None
    if detached and keras.distribution.distribution() is None:
        if not isinstance(model.train_function, _PatchedTrainFunction):
            model.train_function = _PatchedTrainFunction(model)
        model.train_function.patch(slots, variables, values)
        return
    if detached:  # Sharded values need the placement that `assign` does.
        model.jax_state_sync()
    tensorflow = keras.backend.backend() == "tensorflow"
    for variable, value in zip(variables, values, strict=True):
        if tensorflow:  # a third of the time, as nothing is converted or read back
            variable.value.assign(value, read_value=False)
        else:
            variable.assign(value)


def _slots(variables, optimizer):
    """The positions of variables among the optimizer's; `None` if one is not there."""
    slots = {id(v): i for i, v in enumerate(getattr(optimizer, "variables", ()))}
    found = [slots.get(id(variable)) for variable in variables]
    return None if None in found else found


def unpatched(train_function: Any) -> Any:
    """The train function that `assign_optimizer_variables` put itself around."""
    if isinstance(train_function, _PatchedTrainFunction):
        return train_function.train_function
    return train_function


class _PatchedTrainFunction:
    """JAX's train function with a list of values to put into its next call."""

    def __init__(self, model):
        self.model, self.train_function = model, model.train_function
        self.pending, self.target_state = {}, None

    def patch(self, slots, variables, values):
        if self.target_state is not self.model._jax_state:
            self.pending = {}
        self.target_state = self.model._jax_state
        for slot, variable, value in zip(slots, variables, values, strict=True):
            self.pending[slot] = np.asarray(value, dtype=variable.dtype)

    def with_values(self, state):
        # After an exception the next call belongs to another fit.
        if self.pending and self.target_state is self.model._jax_state:
            optimizer_variables = list(state[2])
            for slot, value in self.pending.items():
                optimizer_variables[slot] = value
            state = (*state[:2], optimizer_variables, *state[3:])
        self.pending, self.target_state = {}, None
        return state

    def __call__(self, state, iterator):
        return self.train_function(self.with_values(state), iterator)


def with_assigned_values(model: keras.Model, state: Any) -> Any:
    """JAX's state with what `assign_optimizer_variables` has for the next call."""
    if isinstance(model.train_function, _PatchedTrainFunction):
        return model.train_function.with_values(state)
    return state


def optimizer_slots(
    variables: Sequence[keras.Variable], optimizer: Any
) -> list[int] | None:
    """Positions of variables in JAX's state of the optimizer, `None` if one is not."""
    return _slots(variables, optimizer)


def owns(optimizer: Any, variable: keras.Variable) -> bool:
    """Whether `optimizer` was built to update `variable`.

    There is no public list of an optimizer's variables. Keras 3.12 to 3.15.
    """
    return optimizer._var_key(variable) in optimizer._trainable_variables_indices


def track_unsaved_state(
    optimizer: Any,
    variables: Sequence[keras.Variable],
    outer: Sequence[Any] = (),
    temporary: bool = True,
) -> None:
    """Makes `variables` state of an optimizer's step without saving them with it.

    A training step on JAX keeps only the optimizer's variables from what happens
    during an update, and no public call adds any. A file with more variables than
    the loaded optimizer has loses all of them: so these are left out, which also
    means that they come last. `outer` are the optimizers that wrap this one: they
    save its variables once more with their own. `temporary` ones are a callback's, for
    one fit: `lasting_variables` leaves them out. Keras 3.12 to 3.15.
    """
    for variable in variables:
        optimizer._track_variable(variable)
        if temporary:
            variable.__dict__["_is_temporary"] = True
    for item in (optimizer, *outer):
        # In an object that saving does not look into: it would follow the pairs.
        unsaved = item.__dict__.setdefault(
            "_unsaved_state", types.SimpleNamespace(pairs=[])
        )
        unsaved.pairs.extend((optimizer, variable) for variable in variables)
        for name in ("save_own_variables", "load_own_variables"):
            item.__dict__[name] = functools.partial(_with_own_variables, item, name)


def untrack_unsaved_state(
    optimizer: Any, variables: Sequence[keras.Variable], outer: Sequence[Any] = ()
) -> None:
    """Undoes `track_unsaved_state`."""
    for variable in variables:
        optimizer._untrack_variable(variable)
    removed = {id(variable) for variable in variables}
    for item in (optimizer, *outer):
        unsaved = item.__dict__.get("_unsaved_state", types.SimpleNamespace(pairs=[]))
        unsaved.pairs = [pair for pair in unsaved.pairs if id(pair[1]) not in removed]
        if not unsaved.pairs:
            for name in ("save_own_variables", "load_own_variables", "_unsaved_state"):
                item.__dict__.pop(name, None)


def lasting_variables(optimizer: Any) -> list[keras.Variable]:
    """The variables of an optimizer without those that callbacks add for one fit.

    A copy of the state that is put back later must not have them: they may have gone
    by then, and belong to the state of the callback. Keras 3.12 to 3.15.
    """
    return [v for v in optimizer.variables if not v.__dict__.get("_is_temporary")]


def _with_own_variables(optimizer, method, store):
    """Runs a method of the class while the unsaved variables are untracked."""
    pairs = list(optimizer._unsaved_state.pairs)
    for owner, variable in pairs:
        owner._untrack_variable(variable)
    try:
        return getattr(type(optimizer), method)(optimizer, store)
    finally:
        for owner, variable in pairs:
            owner._track_variable(variable)


def moving_average(optimizer: Any, variable: keras.Variable) -> keras.Variable | None:
    """The variable that holds the moving average of `variable`, or `None`.

    Kept for `use_ema=True` under a private name only; the flag is off while a wrapper
    defers the averaging. Keras 3.12 to 3.15.
    """
    averages = getattr(optimizer, "_model_variables_moving_average", None)
    if averages is None:
        return None
    return averages[optimizer._get_variable_index(variable)]


def track(optimizer: Any, variable: keras.Variable) -> None:
    """Makes a variable made elsewhere one of the optimizer's own, saved with it.

    `add_variable` makes new ones only, but the state of a `SeedGenerator` is there
    already. Keras 3.12 to 3.15.
    """
    optimizer._track_variable(variable)


def add_variable_like(
    optimizer: Any, reference: Any, name: str, dtype: str
) -> keras.Variable:
    """A variable of the optimizer, of the shape and place of `reference`.

    `add_variable_from_reference` is public but takes the dtype too from the reference.
    The layout of a distributed variable has a private name. Keras 3.12 to 3.15.
    """
    path = getattr(reference, "path", None) or reference.name
    return optimizer.add_variable(
        tuple(reference.shape),
        dtype=dtype,
        layout=getattr(reference, "_layout", None),
        name=f"{path.replace('/', '_').replace(':', '_')}_{name}",
    )


def own_variables(optimizer: Any) -> list[keras.Variable]:
    """The variables of a wrapper without those of the optimizer inside.

    `variables` of a wrapper has both. Keras 3.12 to 3.15.
    """
    return list(optimizer._variables)


def updated_variables(optimizer: Any) -> list[keras.Variable]:
    """The variables that an optimizer was built to update, in order.

    `apply(gradients)` without variables means these. Keras 3.12 to 3.15.
    """
    return list(optimizer._trainable_variables)


def slot(optimizer: Any, variable: Any) -> int:
    """The position of `variable` among those the optimizer was built for.

    Keras's own example of a custom optimizer uses this name; TensorFlow hands native
    variables to `update_step`, which only it can look up. Keras 3.12 to 3.15.
    """
    return optimizer._get_variable_index(variable)
