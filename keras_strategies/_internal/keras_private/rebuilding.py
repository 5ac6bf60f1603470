"""An optimizer that was built, built again for other variables of the model."""

import contextlib
import types
from collections.abc import Iterable, Sequence
from typing import Any

import keras

from keras_strategies._internal.keras_private.optimizers import nested_optimizers
from keras_strategies._internal.weights.values import host_value

# Lists of an optimizer that are no slots.
_BOOKKEEPING = ("_variables", "_trainable_variables", "_inner_optimizers")


def rebuild_optimizer(optimizer: Any, variables: Sequence[keras.Variable]) -> None:
    """Makes an optimizer update `variables`; what it knows of the rest stays.

    Keras's way is a new optimizer, which forgets the moments of all weights. Here the
    slots of variables that stay keep their values, those of variables that leave are
    laid aside for when they return, and new variables start with fresh slots. The
    list of slots is that of an optimizer built for `variables`, so that files fit.
    All of this is private: the lists, their order, the flag. The optimizer is as
    before if it cannot be built. Keras 3.12 to 3.15.

    Args:
        optimizer: The optimizer of a compiled model, with whatever is inside it.
            Nothing happens if it is not built.
        variables: `model.trainable_variables`.
    """
    if not optimizer.built or _same(optimizer._trainable_variables, variables):
        return
    members = nested_optimizers(optimizer)
    before = [_Snapshot(part) for member in members for part in _parts(member)]
    try:
        states = [_State(member, variables) for member in members]
        for member in members:
            _forget(member)
        optimizer.build(list(variables))
        for state in states:
            state.restore()
    except Exception:
        for snapshot in before:
            snapshot.restore()
        raise


def _same(first, second):
    return [id(item) for item in first] == [id(item) for item in second]


def _parts(optimizer):
    """The objects that hold variables of an optimizer: itself, its transforms."""
    return [optimizer, *getattr(optimizer, "transforms", ())]


def _forget(optimizer):
    """Makes an optimizer one that is not built; its variables are dropped later."""
    for part in _parts(optimizer):
        detach = getattr(part, "_detach", None)
        if detach is not None:
            detach()
    optimizer.built = False
    optimizer._trainable_variables = []
    optimizer._trainable_variables_indices.clear()


class _State:
    """The values of an optimizer's variables, by attribute and by weight."""

    def __init__(self, optimizer, remaining):
        self.optimizer = optimizer
        self.variables = list(optimizer._variables)
        self.weights = list(optimizer._trainable_variables)
        self.slots, self.singles = _attributes(optimizer, len(self.weights))
        self.per_weight = getattr(type(optimizer), "_PER_WEIGHT", ())
        # `[(weight, {attribute: value})]`; in an object that Keras does not track.
        self.aside = optimizer.__dict__.setdefault(
            "_slots_aside", types.SimpleNamespace(pairs=[])
        )
        self.known = [
            *self.aside.pairs,
            *((weight, self._values(i)) for i, weight in enumerate(self.weights)),
        ]
        current = {id(weight) for weight in remaining}
        self.aside.pairs = [pair for pair in self.known if id(pair[0]) not in current]

    def _values(self, position):
        return {
            key: host_value(slots[position])
            for key, slots in self.slots.items()
            if slots[position] is not None
        }

    def restore(self):
        """Gives the optimizer, built again, the values of before."""
        optimizer = self.optimizer
        weights = list(optimizer._trainable_variables) if optimizer.built else []
        if not weights:  # one of several optimizers, which has no weights now
            for part, name in self.slots:
                setattr(part, name, [])
        slots, singles = _attributes(optimizer, len(weights))
        for key, old in self.singles.items():
            new = singles.get(key)
            if new is None or new is old or key[1] in self.per_weight:
                continue
            if new.shape == old.shape:
                new.assign(host_value(old))
        fresh = self._restore_slots(slots, weights)
        self._per_weight_numbers(weights)
        self._begin(fresh)
        self._drop_unused()

    def _restore_slots(self, slots, weights):
        """Assigns the slots of weights that were known; returns the other weights."""
        known = {id(weight): values for weight, values in self.known}
        fresh = [weight for weight in weights if id(weight) not in known]
        for position, weight in enumerate(weights):
            for key, value in known.get(id(weight), {}).items():
                slot = slots.get(key, [None] * len(weights))[position]
                if slot is not None and tuple(slot.shape) == value.shape:
                    slot.assign(value)
        return fresh

    def _per_weight_numbers(self, weights):
        """Variables with one number a weight: the numbers of weights that stay."""
        positions = {id(weight): i for i, weight in enumerate(self.weights)}
        for name in self.per_weight:
            new = getattr(self.optimizer, name)
            old = self.singles.get((self.optimizer, name))
            if new is None or old is None:
                continue
            before, values = host_value(old), host_value(new)
            for i, weight in enumerate(weights):
                if id(weight) in positions:
                    values[i] = before[positions[id(weight)]]
            new.assign(values)

    def _begin(self, fresh):
        """Starts what cannot start at zero in the middle of a training."""
        optimizer = self.optimizer
        begin = getattr(optimizer, "_begin", None)
        if begin is not None and fresh:
            begin(fresh)
        if optimizer.use_ema:
            for weight in fresh:
                position = optimizer._get_variable_index(weight)
                average = optimizer._model_variables_moving_average[position]
                if average is not None:
                    average.assign(host_value(weight))

    def _drop_unused(self):
        used = _reachable(self.optimizer)
        for variable in self.variables:
            if id(variable) not in used:
                self.optimizer._untrack_variable(variable)


class _Snapshot:
    """All attributes of an object, to be put back."""

    def __init__(self, part):
        self.part, self.attributes = part, dict(part.__dict__)
        self.lists = [
            (value, list(value))
            for value in self.attributes.values()
            if isinstance(value, list)
        ]
        self.maps = [
            (value, dict(value))
            for value in self.attributes.values()
            if isinstance(value, dict)
        ]
        tracker = self.attributes.get("_tracker")
        self.ids = None if tracker is None else set(tracker.stored_ids["variables"])

    def restore(self):
        self.part.__dict__.clear()
        self.part.__dict__.update(self.attributes)
        for value, content in self.lists:
            list.__init__(value, content)  # not tracked once more
        for value, content in self.maps:
            dict.clear(value)
            dict.update(value, content)
        if self.ids is not None:
            self.attributes["_tracker"].stored_ids["variables"] = self.ids


def _attributes(optimizer, count):
    """`({(part, name): list of slots}, {(part, name): variable})`."""
    slots, singles = {}, {}
    for part in _parts(optimizer):
        for name, value in part.__dict__.items():
            if isinstance(value, keras.random.SeedGenerator):
                value = value.state
            if isinstance(value, keras.Variable):
                singles[part, name] = value
            elif name not in _BOOKKEEPING and _are_slots(value, count):
                slots[part, name] = list(value)
    return slots, singles


def _are_slots(value, count):
    return (
        isinstance(value, list)
        and 0 < len(value) == count
        and any(isinstance(item, keras.Variable) for item in value)
        and all(item is None or isinstance(item, keras.Variable) for item in value)
    )


def _reachable(optimizer):
    """The ids of the variables that an optimizer refers to outside its bookkeeping."""
    skipped = (*_BOOKKEEPING, "_tracker", "_slots_aside", "inner_optimizer")
    ids, seen = set(), set()

    def walk(value, depth):
        if isinstance(value, keras.Variable):
            ids.add(id(value))
        elif isinstance(value, keras.random.SeedGenerator):
            ids.add(id(value.state))
        elif id(value) in seen or depth == 0:
            return
        elif isinstance(value, list | tuple | set):
            for item in value:
                walk(item, depth)
        elif isinstance(value, dict):
            for item in value.values():
                walk(item, depth)
        elif hasattr(value, "__dict__") and not isinstance(value, type):
            seen.add(id(value))
            for name, item in vars(value).items():
                # TensorFlow keeps a list of its own of all that was ever tracked.
                if name not in skipped and not name.startswith("_self_"):
                    walk(item, depth - 1)

    walk(optimizer, 4)
    return ids


def weights_aside(optimizer: Any) -> list[keras.Variable]:
    """Weights that an optimizer knows and does not update at present."""
    aside = optimizer.__dict__.get("_slots_aside", types.SimpleNamespace(pairs=[]))
    return [weight for weight, _ in aside.pairs]


def is_built_for(optimizer: Any, variables: Iterable[keras.Variable]) -> bool:
    """Whether an optimizer updates exactly these variables, or is not built yet.

    There is no public list of what an optimizer updates. Keras 3.12 to 3.15.
    """
    known = {id(variable) for variable in optimizer._trainable_variables}
    return not optimizer.built or known == {id(variable) for variable in variables}


def retrace_training(model: keras.Model) -> None:
    """Has the training step of a compiled model made anew, also in the middle of a fit.

    The step reads which variables are trainable when it is traced. The public
    `make_train_function(force=True)` does it; before the first `fit` there is nothing
    to make, and what a later `compile` setting says must still count.
    Keras 3.12 to 3.15.
    """
    function = model.train_function
    model.make_train_function(force=True)
    if function is None:
        model.train_function = None


def sync_state(model: keras.Model) -> None:
    """Writes the values of a running `fit` into the variables; only JAX needs it.

    `callback.model` does this publicly, for callbacks only. Keras 3.12 to 3.15.
    """
    if hasattr(model, "jax_state_sync") and getattr(model, "_jax_state", None):
        model.jax_state_sync()


def variables_scope(model: keras.Model) -> contextlib.AbstractContextManager[Any]:
    """The scope in which the variables of a compiled model are created.

    That of the `tf.distribute` strategy it was made under. The public
    `distribute_strategy` of a model without one is whatever strategy there is at the
    moment. Keras 3.12 to 3.15.
    """
    strategy = getattr(model, "_distribute_strategy", None)
    return contextlib.nullcontext() if strategy is None else strategy.scope()
