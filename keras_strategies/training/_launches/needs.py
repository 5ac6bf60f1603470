"""What the callbacks of a fit need of launches."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import keras

from keras_strategies._internal.keras_private.fit_loop import (
    steps_until_save,
    times_steps,
)
from keras_strategies.training._launches.hook_analysis import only_reads_logs

_HOOKS = ("on_train_batch_begin", "on_train_batch_end")
_ALIASES = ("on_batch_begin", "on_batch_end")


def has_batch_hooks(callback: keras.callbacks.Callback, kind: str) -> bool:
    """Returns whether `evaluate` (or `predict`) calls a callback at each batch."""
    if isinstance(callback, keras.callbacks.ProgbarLogger):
        return False
    names = (f"on_{kind}_batch_begin", f"on_{kind}_batch_end")
    hooks = [getattr(callback, name) for name in names]
    return not all(getattr(hook, "_is_default", False) for hook in hooks)


def have_step_hooks(callbacks: Iterable[keras.callbacks.Callback]) -> bool:
    """Returns whether `fit` calls one of the callbacks at its steps.

    `steps_per_execution` decides how often; a progress bar does not mind.
    """
    return any(
        _has_batch_hooks(callback)
        for callback in callbacks
        if not isinstance(callback, keras.callbacks.ProgbarLogger)
    )


class Needs(NamedTuple):
    """The callbacks of a fit that have batch hooks, by what they need.

    Attributes:
        scheduled: Their values are fed into the program (`values_for_steps`).
        averaging: Their averages move in the program.
        logged: They read logs, and are called for each step after the program.
        bounded: `(callback, function)`: the function of the batch returns how many
            steps may be made before it is called, or `None`.
        stepwise: They may act on the model at each step.
        stops_at_nan: Whether a program has to end where the loss is not finite.
        tested: Whether there are hooks for the batches of a validation.
    """

    scheduled: list[Any]
    averaging: list[Any]
    logged: list[Any]
    bounded: list[Any]
    stepwise: list[Any]
    stops_at_nan: bool
    tested: bool

    @property
    def replays(self) -> list[Any]:
        """Those whose hooks are called for each step afterwards."""
        return [*self.averaging, *self.logged]


def needs_of(callbacks: list[keras.callbacks.Callback]) -> Needs:
    """Sorts callbacks by what they need of launches."""
    tested = any(has_batch_hooks(callback, "test") for callback in callbacks)
    stops = any(_stops_at_nan(callback) for callback in callbacks)
    needs = Needs([], [], [], [], [], stops, tested)
    for callback in callbacks:
        if not _has_batch_hooks(callback):
            continue
        # What a class declares goes before what its code seems to do, which is a guess.
        if _declares(callback, "values_for_steps"):
            needs.scheduled.append(callback)
        elif _declares(callback, "averages_for_steps"):
            needs.averaging.append(callback)
        elif _declares(callback, "steps_until_hook"):
            needs.bounded.append((callback, callback.steps_until_hook))
        elif _is_of_keras(callback):
            _sort_one_of_keras(callback, needs)
        elif (_declares(callback, "batch_logs") and callback.batch_logs) or all(
            only_reads_logs(callback, hook) for hook in _own_hooks(callback)
        ):
            needs.logged.append(callback)
        else:
            needs.stepwise.append(callback)
    return needs


def _sort_one_of_keras(callback, needs):
    kinds = keras.callbacks
    if isinstance(callback, kinds.ProgbarLogger | kinds.TerminateOnNaN):
        needs.bounded.append((callback, lambda batch: None))
    elif isinstance(callback, kinds.ModelCheckpoint | kinds.BackupAndRestore):
        until = steps_until_save(callback)
        needs.bounded.append((callback, until))
    elif isinstance(callback, kinds.TensorBoard) and not times_steps(callback):
        needs.logged.append(callback)
    elif all(only_reads_logs(callback, hook) for hook in _own_hooks(callback)):
        needs.logged.append(callback)  # LambdaCallback, for one
    else:
        needs.stepwise.append(callback)


def _own_hooks(callback):
    """The batch hooks that are not Keras's empty ones."""
    hooks = [getattr(callback, name) for name in (*_HOOKS, *_ALIASES)]
    return [hook for hook in hooks if not getattr(hook, "_is_default", False)]


def _has_batch_hooks(callback):
    return bool(_own_hooks(callback))


def _is_of_keras(callback):
    return all(
        getattr(hook, "__module__", "").startswith("keras.")
        for hook in _own_hooks(callback)
    ) or isinstance(callback, keras.callbacks.LambdaCallback)


def _declares(callback, name):
    """Whether a class says something of its hooks.

    It counts only if no class below it has another hook, of which it would be silent.
    """
    if name in vars(callback):
        return True
    bases = type(callback).__mro__
    said = next((i for i, cls in enumerate(bases) if name in vars(cls)), None)
    if said is None or any(hook in vars(callback) for hook in _HOOKS):
        return False
    hooks = [
        i
        for i, cls in enumerate(bases)
        if any(hook in vars(cls) for hook in (*_HOOKS, *_ALIASES))
    ]
    # A shared base of ours may have the hooks, and a class above it the declaration.
    first = min(hooks)
    return said <= first or bases[first].__module__.startswith("keras_strategies.")


def _stops_at_nan(callback):
    if isinstance(callback, keras.callbacks.TerminateOnNaN):
        return True
    return bool(getattr(callback, "stops_at_nan", False))
