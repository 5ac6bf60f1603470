"""Members trained one after another by one model and one compiled program."""

import contextlib
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private.initial_draws import draw_as_first_fit
from keras_strategies._internal.keras_private.step_blocks import (
    build_for,
    runs_eagerly,
    training_settings,
)
from keras_strategies._internal.traversal import optimizer_variables
from keras_strategies._internal.weights.values import assign_values, host_values
from keras_strategies.training._accelerate import accelerate
from keras_strategies.training._blocks.fit_arguments import bind_arguments
from keras_strategies.training._choice.choosing_fit import (
    choosing_fit,
    forget_choice,
    has_convolutions,
)
from keras_strategies.training._choice.members_choice import MembersChoice
from keras_strategies.training._many.initial_draws import InitialDraws
from keras_strategies.training._many.member import Member
from keras_strategies.training._many.variants import (
    Constants,
    Variant,
    set_learning_rate,
)
from keras_strategies.training._programs.description import NotUnderstoodError
from keras_strategies.training._programs.held_numbers import (
    HeldNumbers,
    can_hold_numbers,
)
from keras_strategies.training._programs.model_form import model_form
from keras_strategies.training._programs.step_audit import audited_step
from keras_strategies.training.execution_plan import installed_plan

# Steps in all from which measuring plans for the first member can pay.
MIN_STEPS_TO_MEASURE = 4000
# Steps for each second that measuring may take: a step of a small model takes about a
# millisecond, so that it is no more than a fifth of what plain `fit` would take.
STEPS_PER_SECOND = 5000
_FUNCTIONS = ("train_function", "test_function", "predict_function")


class Start:
    """The state that every member begins with: all but what its seed draws.

    Args:
        draws: The model and its initial values.
        batch: The first batch, from which optimizer and metrics are built.
    """

    def __init__(self, draws: InitialDraws, batch: Any):
        self.draws, self.model = draws, draws.model
        self.constants = Constants(self.model)
        #: Whether Python runs each step, with no trace of it.
        self.is_eager: bool = runs_eagerly(self.model)
        if not (self.is_eager and draws.has_own_code):
            # Metrics and optimizer are built without a step, that draws nothing.
            build_for(self.model, batch)
        self.variables: list[Any] = list(self.model.variables)
        self._optimizer = optimizer_variables(self.model.optimizer)
        self._values = host_values(self._optimizer)
        #: Whether steps are slower in a compiled loop of JAX than one by one.
        self.is_slow_in_loops: bool = (
            keras.backend.backend() == "jax"
            and has_convolutions(self.model)
            and all(d.startswith("cpu") for d in keras.distribution.list_devices())
        )
        #: Why each member needs a program of its own, `None` if it does not.
        self.own_programs: str | None = None
        if draws.has_own_code:
            self.own_programs = self._audited(batch)
        self._compiled = _compiled(self.model)

    def _audited(self, batch):
        """Why a step that has code of the user's cannot be that of another model."""
        reason = None
        if not self.is_eager:
            variables = [*self.draws.state, *self._optimizer]
            reason = audited_step(self.model, batch, variables)
            if reason is None and self.form_key() != self.draws.key:
                return "its code changes it when it is called"
        if reason is None and (self.is_eager or keras.backend.backend() == "torch"):
            return "its code runs at each step, and may keep what it likes"
        return reason

    def form_key(self) -> str | None:
        """The key of the model's form, `None` if it has none."""
        plan = installed_plan(self.model)
        with contextlib.nullcontext() if plan is None else plan.aside():
            try:
                return model_form(self.model).key
            except NotUnderstoodError:
                return None

    def note_change(self, key: str | None) -> bool:
        """Notes whether callbacks have changed more of the model than its variables.

        What they did to a member, such as a layer that they froze, is not what the
        next one may begin with.

        Args:
            key: The `form_key` before.
        """
        if _compiled(self.model) != self._compiled or self.form_key() != key:
            self.own_programs = "callbacks change more of the model than its variables"
        return self.own_programs is not None

    @property
    def notes(self) -> list[str]:
        """What of the model makes its members train longer."""
        notes = []
        if not self.draws.is_recorded:
            notes.append(
                "`build_fn` was called for each member: what it draws cannot be drawn "
                "again without it."
            )
        if self.own_programs is not None:
            reason = self.own_programs
            notes.append(f"Members were built and trained by themselves: {reason}.")
        return notes

    def reset(self) -> None:
        """Gives optimizer and metrics what they began with."""
        assign_values(self._optimizer, self._values)
        self.model.reset_metrics()
        self.model.stop_training = False
        self.model.history = None

    def assign(self, variant: Variant) -> None:
        """Puts the model to where `build_fn` leaves it with the seed of a variant."""
        model = self.model
        self.reset()
        self.draws.assign(variant.seed)
        set_learning_rate(model, variant)


def _compiled(model):
    """What a callback exchanges that compiles the model again."""
    return model.optimizer, model.loss


class Group(NamedTuple):
    """Members that share what is compiled.

    Attributes:
        members: Their numbers.
        variants: What they differ in.
        numbers: What of it the program has as variables.
    """

    members: list[int]
    variants: list[Variant]
    numbers: HeldNumbers


def by_program(start: Start, variants: Sequence[Variant]) -> list[Group]:
    """The groups of the variants, in order.

    The numbers that differ are held as variables where only Keras's own code reads
    them; any others are constants of a program, and make another one.
    """
    forms = {}
    for variant in {variant.constants: variant for variant in variants}.values():
        with start.constants.of(variant):
            forms[variant.constants] = _form(start, variant)
    members: dict[str, list[int]] = {}
    for number, variant in enumerate(variants):
        key, _ = forms[variant.constants]
        members.setdefault(key, []).append(number)
    groups = []
    for numbers in members.values():
        own = [variants[number] for number in numbers]
        values = [forms[variant.constants][1] for variant in own]
        differing = {
            place: number
            for place, number in values[0].items()
            if any(other[place].value != number.value for other in values)
        }
        groups.append(Group(numbers, own, HeldNumbers(start.model, differing)))
    return groups


def _form(start, variant):
    """The key of a variant's program and what may be its variables."""
    alone = variant.constants, {}
    if not can_hold_numbers():
        return alone
    try:
        form = model_form(start.model, holds_numbers=True)
    except NotUnderstoodError:
        return alone
    return form.key, form.numbers


def train(
    start: Start,
    group: Group,
    callbacks: Sequence[list[Any]],
    steps: int,
    is_array: bool,
    fit: dict[str, Any],
    bar: Any = None,
) -> list[Member]:
    """Trains members of one program.

    Args:
        start: The model at its beginning.
        group: The members.
        callbacks: The callbacks of each.
        steps: Steps of all members of all programs together.
        is_array: Whether the data are arrays, for which a plan may be measured.
        fit: Arguments of `model.fit`.
        bar: A progress bar over members, or `None`.
    """
    if start.own_programs is not None:
        return _by_themselves(start.draws, group.variants, callbacks, fit, bar)
    model = start.model
    names = ("x", "y", "sample_weight", "batch_size")
    data = {name: fit[name] for name in names}
    members = []
    with (
        group.numbers.held(),
        # What was compiled before has the constants of other members in it.
        training_settings(model, **dict.fromkeys(_FUNCTIONS)),
    ):
        is_long = is_array and steps >= MIN_STEPS_TO_MEASURE
        on_tensorflow = keras.backend.backend() == "tensorflow"
        if is_long and not on_tensorflow and not start.is_slow_in_loops:
            limit = min(max(steps / STEPS_PER_SECOND, 2), 20)
            with start.constants.of(group.variants[0]):
                accelerate(model, **data, time_limit=limit)
        make_choice, compiled = functools.partial(MembersChoice, steps), {}
        key = start.form_key() if any(callbacks) else None
        try:
            for variant, own in zip(group.variants, callbacks, strict=True):
                with start.constants.of(variant):
                    start.assign(variant)
                    group.numbers.take()
                    draw_as_first_fit(**data, shuffle=fit["shuffle"])
                    arguments = {**fit, "callbacks": own}
                    history = None
                    if is_long and on_tensorflow:
                        history = choosing_fit(
                            model,
                            bind_arguments("fit", model, (), arguments),
                            {"memory_limit": 2**30, "seed": None},
                            make_choice,
                            compiled,
                        )
                    if history is None:
                        history = model.fit(**arguments)
                values = host_values(start.variables)
                members.append(Member(variant, dict(history.history), values))
                if bar is not None:
                    bar.add(1)
                if own and start.note_change(key):
                    break
        finally:
            plan = installed_plan(model)
            if plan is not None:
                plan.remove()
            forget_choice(model)
    done = len(members)
    rest = group.variants[done:], callbacks[done:]
    return members + _by_themselves(start.draws, *rest, fit, bar)


def _by_themselves(draws, variants, callbacks, fit, bar):
    """Members whose step nothing else can run: each is a model of its own."""
    members = []
    shapes = [tuple(variable.shape) for variable in draws.model.variables]
    for variant, own in zip(variants, callbacks, strict=True):
        model = draws.build(variant.seed)
        other = [tuple(variable.shape) for variable in model.variables]
        if other != shapes:
            checks.fail(
                "`build_fn` must return the same architecture each time",
                seed=variant.seed,
                first=shapes,
                other=other,
            )
        set_learning_rate(model, variant)
        with Constants(model).of(variant):
            history = model.fit(**{**fit, "callbacks": own})
        values = host_values(model.variables)
        members.append(Member(variant, dict(history.history), values))
        if bar is not None:
            bar.add(1)
    return members
