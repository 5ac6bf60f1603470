"""The loop of `fit` around a callback: its list, its data, its compiled steps."""

import contextlib
import sys
import threading
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
from keras import tree
from keras.src.backend.common.keras_tensor import KerasTensor
from keras.src.trainers.epoch_iterator import EpochIterator

from keras_strategies._internal.keras_private.callbacks import wrapped_methods
from keras_strategies._internal.keras_private.optimizers import (
    nested_optimizers,
    unpatched,
)


def callback_list(callback: keras.callbacks.Callback) -> Any:
    """The list of callbacks that is calling a hook of `callback`, or `None`.

    Keras's `CallbackList` is public, and so is its attribute `callbacks`; but nothing
    leads to it from a callback. It is found on the stack, the innermost one that has
    this very object. Keras 3.12 to 3.15.
    """
    frame = sys._getframe(1)
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, keras.callbacks.Callback) and owner is not callback:
            members = vars(owner).get("callbacks")
            if isinstance(members, list) and any(m is callback for m in members):
                return owner
        frame = frame.f_back
    return None


def finish_hooks(callback: keras.callbacks.Callback) -> None:
    """Waits for the hooks of a running `fit` that Keras calls in other threads.

    On JAX and Torch Keras hands `on_train_batch_end` to threads if every callback
    allows it, so that what a callback counts there may be behind. The list of pending
    calls is private. Does nothing outside of `fit` and in such a thread itself.
    Keras 3.12 to 3.15.
    """
    owner = callback_list(callback)
    executor = getattr(owner, "_executor", None)
    if executor is None or threading.current_thread() in executor._threads:
        return
    owner._flush_futures()


def build_for_fit(model: keras.Model) -> bool:
    """Builds a model inside its `fit`, before the first batch; returns whether it is.

    JAX and Torch build the model, its optimizer and metrics before `on_train_begin`,
    TensorFlow in the first step. What the others do has a private name, and so has
    the data set; only its element types are read, no batch is taken.
    Keras 3.12 to 3.15.
    """
    frame = sys._getframe(1)
    while frame is not None and not model.built:
        iterator = frame.f_locals.get("epoch_iterator")
        is_fit = frame.f_code.co_name == "fit" and frame.f_locals.get("self") is model
        if is_fit and isinstance(iterator, EpochIterator):
            build_all_state(model, iterator)
            break
        frame = frame.f_back
    return model.built


def build_all_state(model: keras.Model, iterator: Any) -> None:
    """Makes all variables of a running `fit`: of model, metrics and optimizer.

    On TensorFlow they come into being in the first step, where those of a checkpoint
    could not be assigned any more. `iterator` is its `epoch_iterator`; the element
    types of its data have no public name. Keras 3.12 to 3.15.
    """
    # Inside a scope of several devices what is divided among them is described aside.
    spec = getattr(iterator, "_batch_spec", None)
    dataset = getattr(iterator, "_distributed_dataset", None)
    if spec is None and dataset is not None:
        spec = dataset.element_spec
    if spec is not None:
        _build(model, spec)


def _build(model, element_spec):
    def symbolic(spec):
        # What is missing in a batch is an `Optional`, without a shape.
        if not hasattr(spec, "dtype"):
            return None
        return KerasTensor(spec.shape, keras.backend.standardize_dtype(spec.dtype))

    model._symbolic_build(data_batch=tree.map_structure(symbolic, element_spec))


def steps_until_save(callback: Any) -> Callable[[int], int | None]:
    """How many steps may be made before Keras's callback saves again.

    A `ModelCheckpoint` or `BackupAndRestore` with a number as `save_freq` counts in
    private attributes. The function takes the number of the step that comes next and
    returns `None` for a callback that saves at the ends of epochs. Keras 3.12 to 3.15.
    """

    def steps(batch: int) -> int | None:
        if callback.save_freq == "epoch":
            return None
        return max(1, callback.save_freq - callback._batches_seen_since_last_saving)

    return steps


# Set on a model while a plan calls the hooks of each step.
HOOKS_AT_EACH_STEP = "_hooks_at_each_step"


# The attribute of a model with a plan: a function that is told what steps are to be
# traced with from now on, and returns whether the plan runs them now.
PLAN_STEPS = "_plan_steps"


def steps_between_hooks(model: keras.Model) -> int:
    """Steps from one call of batch hooks to the next, the numbers they are given.

    `steps_per_execution`, which an execution plan sets to the steps of a block; it
    calls the hooks of each step all the same. Keras 3.12 to 3.15.
    """
    if model.__dict__.get(HOOKS_AT_EACH_STEP):
        return 1
    return model.steps_per_execution


def times_steps(tensorboard: Any) -> bool:
    """Whether a `TensorBoard` measures single steps, or profiles some of them.

    Keras 3.12 to 3.15.
    """
    return bool(tensorboard.write_steps_per_second or tensorboard._should_trace)


_STATE = (
    "trainable_variables",
    "non_trainable_variables",
    "optimizer_variables",
    "metrics_variables",
)


def _state_names(state):
    """What the parts of a state are: `evaluate` has no optimizer, `predict` weights."""
    return {4: _STATE, 3: (*_STATE[:2], _STATE[3]), 2: _STATE[:2]}[len(state)]


def lay_down_state(model: keras.Model, state: Any) -> None:
    """Shows callbacks a state of JAX's `fit` between two calls, as `fit` does.

    The variables of the model are empty then; `callback.model` fills them from the
    attributes that are set here. Keras 3.12 to 3.15.
    """
    model._jax_state = dict(zip(_state_names(state), state, strict=True))
    model._jax_state_synced = False


def put_back_state(model: keras.Model, state: Any) -> None:
    """Assigns a state of JAX's `fit`, `evaluate` or `predict` to the variables.

    At an error, after which they would stay empty: what Keras puts back is the state
    before the call that failed, which may be given away already. Keras 3.12 to 3.15.
    """
    lay_down_state(model, state)
    model.jax_state_sync()


def take_up_state(model: keras.Model, state: Any) -> Any:
    """The state for the next call, from the variables if a callback filled them.

    Keras 3.12 to 3.15.
    """
    if not model._jax_state_synced:
        return state
    parts = dict.fromkeys(_state_names(state), True)
    state = model._get_jax_state(**parts, purge_model_variables=True)
    model._jax_state_synced = False
    return state


class _Same:
    """An object that equals itself only, in the key of a dict."""

    __slots__ = ("item",)

    def __init__(self, item):
        self.item = item

    def __eq__(self, other):
        return isinstance(other, _Same) and self.item is other.item

    def __hash__(self):
        return id(self.item)


class _Steps:
    """Training steps of one model by what they were traced with.

    A plain object, which neither tracking nor saving looks into.
    """

    LIMIT = 6  # steps that are kept, each with its compiled code

    def __init__(self):
        self.functions, self.current = {}, None


@contextlib.contextmanager
def changed_step(model: keras.Model, optimizers: Sequence[Any] = ()) -> Iterator[None]:
    """Gives a model the training step for what is changed inside the block.

    A compiled step reads clip settings, wrapped methods, replaced numbers and the
    like only when it is traced. `make_train_function(force=True)` forgets the old
    step; here a step that was traced with the very same things before is taken again,
    so that a callback which changes them for one `fit` costs two traces once, not two
    for each fit. `compile`, or anybody else who makes a new step, ends all that.
    `optimizers` are those that the step uses beside `model.optimizer`.
    Keras 3.12 to 3.15.
    """
    steps = model.__dict__.setdefault("_traced_steps", _Steps())
    current = unpatched(model.train_function)
    if current is not steps.current:
        steps.functions = {}
        if current is not None:
            steps.functions[_traced_with(model, optimizers)] = current
    yield
    key = _traced_with(model, optimizers)
    plan = model.__dict__.get(PLAN_STEPS)
    if plan is not None and plan(key):
        return  # the steps that run now are those of a plan
    function = steps.functions.pop(key, None)
    if function is None:
        _make_step(model)
        function = model.train_function
    else:
        model.train_function = function
    steps.functions[key] = steps.current = function
    while len(steps.functions) > steps.LIMIT:
        del steps.functions[next(iter(steps.functions))]


def _make_step(model):
    if keras.backend.backend() != "jax":
        model.make_train_function(force=True)
        return
    # JAX finds what it compiled by the function, and two bound methods of one object
    # are one function to it: of several steps that are kept each needs its own.
    step, own = model.train_step, "train_step" in model.__dict__
    model.__dict__["train_step"] = lambda *args: step(*args)
    try:
        model.make_train_function(force=True)
    finally:
        if own:
            model.__dict__["train_step"] = step
        else:
            del model.__dict__["train_step"]


_NUMBERS = ("clipnorm", "clipvalue", "global_clipnorm")


def traced_with(model: keras.Model) -> Any:
    """What a step of the model would be traced with now, to be compared."""
    return _traced_with(model, ())


def _traced_with(model, optimizers):
    """All that callbacks of this package change for a step and a trace reads."""
    metrics = tuple(_Same(metric) for metric in model._metrics)
    found = [metrics, (_Same(model), wrapped_methods(model, _Same))]
    roots = [*_roots(model), *optimizers]
    inside = {id(item): item for root in roots for item in nested_optimizers(root)}
    for item in inside.values():
        unsaved = item.__dict__.get("_unsaved_state", types.SimpleNamespace(pairs=[]))
        found.append(
            (
                _Same(item),
                wrapped_methods(item, _Same),
                tuple(getattr(item, name, None) for name in _NUMBERS),
                tuple(_Same(t) for t in item.__dict__.get("_temporary", ())),
                tuple(_Same(variable) for _, variable in unsaved.pairs),
            )
        )
    return tuple(found)


def _roots(model):
    """The optimizer of a model and those in its attributes."""
    kind = keras.optimizers.Optimizer
    return [value for value in list(vars(model).values()) if isinstance(value, kind)]
