"""A fit whose first epochs choose how the others are run."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import keras

from keras_strategies._internal.keras_private.step_blocks import (
    are_arrays,
    is_dataset,
    split_validation,
)
from keras_strategies._internal.traversal import all_layers, optimizer_paths
from keras_strategies.training._candidates import KINDS, PLAIN, possible_candidates
from keras_strategies.training._choice.ongoing_choice import (
    CandidateTimes,
    OngoingChoice,
)
from keras_strategies.training._choice.plan_cache import PlanCache
from keras_strategies.training._choice.step_overhead import step_overhead
from keras_strategies.training._data.arrays import (
    Arrays,
    arrays_of_fit,
    step_limit,
)
from keras_strategies.training._data.dataset import Dataset
from keras_strategies.training._data.validation import check_model
from keras_strategies.training._fingerprint import environment, fingerprint
from keras_strategies.training._launches.callback_list import LaunchCallbackList
from keras_strategies.training._launches.needs import have_step_hooks, needs_of
from keras_strategies.training._measurement.measurement import Measurement
from keras_strategies.training.execution_plan import ExecutionPlan, installed_plan

_ATTRIBUTE = "_ongoing_choice"


class SegmentCallbackList(LaunchCallbackList):
    """The callbacks of a fit that Keras runs in several parts.

    Attributes:
        seconds: Seconds of each epoch.
    """

    def __init__(self, callbacks: Any, **kwargs: Any):
        self.seconds: list[float] = []
        self._has_begun, self._last_logs = False, None
        super().__init__(callbacks, **kwargs)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if not self._has_begun:
            self._has_begun = True
            super().on_train_begin(logs)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._begin = time.perf_counter()
        super().on_epoch_begin(epoch, logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_epoch_end(epoch, logs)
        self.seconds.append(time.perf_counter() - self._begin)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._last_logs = logs

    def end(self) -> None:
        """Ends the fit, after its last part."""
        super().on_train_end(self._last_logs)


def choosing_fit(
    model: keras.Model,
    arguments: dict[str, Any],
    options: Mapping[str, Any],
    make_choice: Callable[..., OngoingChoice] = OngoingChoice,
    compiled: dict[str, Any] | None = None,
) -> keras.callbacks.History | None:
    """Trains, and chooses the way from epoch to epoch; `None` if that is not possible.

    Args:
        model: The model.
        arguments: Arguments of `fit` by name, all of them.
        options: `memory_limit` and `seed`.
        make_choice: The class that chooses.
        compiled: Plans by name that an earlier call with it has compiled; the caller
            knows that the model is what it was. Defaults to `None`: only those of
            this call.
    """
    has_epochs = arguments["initial_epoch"] < arguments["epochs"]
    if not has_epochs or not _can_be_parted(model, arguments):
        return None
    arguments = dict(arguments)
    try:
        check_model(model)
        _split_validation(arguments)
        data = _data(arguments)
    except (TypeError, ValueError):
        return None  # `fit` says what is wrong
    if data is None:
        return None
    choice, cache, details = _choice(model, data, options, make_choice)
    callbacks = SegmentCallbackList(
        arguments["callbacks"],
        add_history=True,
        add_progbar=arguments["verbose"] != 0,
        verbose=arguments["verbose"],
        epochs=arguments["epochs"],
        steps=data.batches,
        model=model,
    )
    choice.begin_fit(data.batches or 1)
    plans, made_of = {} if compiled is None else compiled, (model.optimizer, model.loss)
    epoch, model.stop_training = arguments["initial_epoch"], False
    while epoch < arguments["epochs"]:
        segment = choice.next_segment(arguments["epochs"] - epoch)
        plan = _installed(model, plans, segment.name, details)
        parts = {"initial_epoch": epoch, "epochs": epoch + segment.epochs}
        done = len(callbacks.seconds)
        history = model.fit(**{**arguments, **parts, "callbacks": callbacks})
        for seconds in callbacks.seconds[done:]:
            choice.note(segment.name, seconds)
        is_dropped = plan is not None and not plan.is_installed
        if is_dropped or (model.optimizer, model.loss) != made_of:
            plans.clear()  # It was compiled anew: what is kept is of the model before.
        epoch += segment.epochs
        if model.stop_training:
            break
    plan = installed_plan(model)
    callbacks.end()
    _finish(model, plan, choice, data.batches or 1)
    cache.save(choice.stored)
    return history


def forget_choice(model: keras.Model) -> None:
    """Forgets what fits of the model have measured."""
    model.__dict__.pop(_ATTRIBUTE, None)


def has_convolutions(model: keras.Model) -> bool:
    """Returns whether a layer convolves: slow in loops that XLA compiles for a CPU."""
    kinds = ("Conv", "SeparableConv", "DepthwiseConv")
    return any(type(layer).__name__.startswith(kinds) for layer in all_layers(model))


def _data(arguments):
    """The data of the fit, unread; `None` for what no plan takes."""
    if is_dataset(arguments["x"]):
        data = Dataset(arguments["x"])
        is_possible = data.batches is not None and data.specification is not None
        return data if is_possible else None
    names = ("x", "y", "sample_weight")
    sources = [arguments[name] for name in names]
    data = arrays_of_fit(*sources, arguments["batch_size"])
    return data if data is not None and data.rows else None


def _split_validation(arguments):
    """Splits the arrays once, as `fit` would in each part."""
    part = arguments["validation_split"]
    if not part or arguments["validation_data"] is not None:
        return
    names = ("x", "y", "sample_weight")
    values = [arguments[name] for name in names]
    if are_arrays(*values):
        kept, arguments["validation_data"] = split_validation(*values, part)
        arguments.update(zip(names, kept, strict=True), validation_split=0.0)


def _can_be_parted(model, arguments):
    """Whether a fit in several parts is the same as one."""
    if keras.backend.backend() == "torch" or not model.compiled or not model.built:
        return False
    x, callbacks = arguments["x"], arguments["callbacks"]
    if isinstance(x, keras.utils.PyDataset):
        return False  # it hears of the end of an epoch when a fit begins
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return False
    listed = keras.tree.flatten(callbacks or [])
    # It sets the first epoch of the fit, of each part.
    if any(isinstance(item, keras.callbacks.BackupAndRestore) for item in listed):
        return False
    # At the end of each fit an optimizer assigns the averages that it has.
    optimizers = optimizer_paths(model.optimizer) if model.optimizer else []
    if any(getattr(item, "use_ema", False) for path in optimizers for item in path):
        return False
    # Keras calls hooks every few steps then, those of a block are called at each.
    if model.steps_per_execution != 1 and have_step_hooks(listed):
        return False
    limited = step_limit(arguments["steps_per_epoch"]) or keras.config.max_epochs()
    # With a callback that may act at each step no candidate is quicker.
    return not limited and not needs_of(listed).stepwise


def _choice(model, data, options, make_choice):
    """`(choice, cache, details of a plan)` for the model and these data."""
    made_for = [
        data.description,
        data.batch_size,
        dict(options),
        model.optimizer,
        make_choice,
    ]
    stored = model.__dict__.get(_ATTRIBUTE)
    if stored is not None and stored[0] == made_for:
        return stored[1:]
    details = {
        "data": data.description,
        "batch_size": data.batch_size,
        **options,
        "model": fingerprint(model),
        "backend": keras.backend.backend(),
    }
    cache = PlanCache([details, environment()])
    names = _names(model, data, options["memory_limit"])
    times = {
        name: CandidateTimes(*values)
        for name, values in cache.load().items()
        if name in (PLAIN.name, *names)
    }
    choice = make_choice(names, has_convolutions(model), times, step_overhead)
    # Not by setattr, which Keras tracks.
    model.__dict__[_ATTRIBUTE] = made_for, choice, cache, details
    return choice, cache, details


def _names(model, data: Arrays | Dataset, memory_limit: int) -> list[str]:
    """The candidates that are worth a trial, the quickest to compile first."""
    if data.nbytes is None or data.nbytes > memory_limit:
        names = ["graph-block", "xla-block"]
    else:
        names = ["graph-epoch", "xla-epoch"]
    if data.batches is None:
        return []
    possible, _ = possible_candidates(model, [PLAIN.name, *names], data)
    return [item.name for item in possible if item.name in names]


def _installed(model, plans, name, details):
    """The plan for a candidate, installed; `None` for plain `fit`."""
    current = installed_plan(model)
    if current is not None and current.choice == name:
        return current
    if current is not None:
        plans[current.choice] = current, current._interceptor
        current.remove()
    if name == PLAIN.name:
        return None
    if name in plans:
        plan, interceptor = plans[name]
        return plan._install(model, interceptor)
    choices = {**dict.fromkeys(KINDS, PLAIN.name), "train": name}
    plan = ExecutionPlan(choices, (), dict(details))
    plan.is_chosen_in_training = True
    return plan._install(model, None)


def _finish(model, plan, choice, steps):
    """Leaves the best way installed, with what was measured."""
    if plan is None or not plan.is_installed:
        return
    plan.measurements = [
        Measurement(
            name,
            None if times.seconds is None else times.seconds * steps,
            times.compile_seconds,
        )
        for name, times in choice.times.items()
    ]
    plan.details["notes"] = [
        f"It was chosen while the model trained; tried were {', '.join(choice.times)}."
    ]
    if plan.choice != choice.best:  # a trial with which the fit ended
        plan.remove()
