"""Members trained one after another by one model and one compiled program."""

import functools
from collections.abc import Sequence
from typing import Any

import keras

from keras_strategies._internal.keras_private.initial_draws import draw_as_first_fit
from keras_strategies._internal.keras_private.step_blocks import (
    build_for,
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
    Variant,
    constants_of,
    set_learning_rate,
)
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
        # Metrics and optimizer are built without a step, that draws nothing.
        build_for(self.model, batch)
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
            variables = [*draws.state, *self._optimizer]
            self.own_programs = audited_step(self.model, batch, variables)

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
            notes.append(f"Each member was built and trained by itself: {reason}.")
        return notes

    def assign(self, variant: Variant) -> None:
        """Puts the model to where `build_fn` leaves it with the seed of a variant."""
        model = self.model
        assign_values(self._optimizer, self._values)
        model.reset_metrics()
        model.stop_training = False
        model.history = None
        self.draws.assign(variant.seed)
        set_learning_rate(model, variant)


def train(
    start: Start,
    variants: Sequence[Variant],
    callbacks: Sequence[list[Any]],
    steps: int,
    is_array: bool,
    fit: dict[str, Any],
    bar: Any = None,
) -> list[Member]:
    """Trains variants of one program.

    Args:
        start: The model at its beginning.
        variants: What the members differ in.
        callbacks: The callbacks of each.
        steps: Steps of all members of all programs together.
        is_array: Whether the data are arrays, for which a plan may be measured.
        fit: Arguments of `model.fit`.
        bar: A progress bar over members, or `None`.
    """
    if start.own_programs is not None:
        members = []
        for variant, own in zip(variants, callbacks, strict=True):
            members.append(_alone(start.draws, variant, {**fit, "callbacks": own}))
            if bar is not None:
                bar.add(1)
        return members
    model = start.model
    names = ("x", "y", "sample_weight", "batch_size")
    data = {name: fit[name] for name in names}
    members = []
    with (
        constants_of(model, variants[0]),
        # What was compiled before has the constants of other members in it.
        training_settings(model, **dict.fromkeys(_FUNCTIONS)),
    ):
        is_long = is_array and steps >= MIN_STEPS_TO_MEASURE
        on_tensorflow = keras.backend.backend() == "tensorflow"
        if is_long and not on_tensorflow and not start.is_slow_in_loops:
            limit = min(max(steps / STEPS_PER_SECOND, 2), 20)
            accelerate(model, **data, time_limit=limit)
        make_choice, compiled = functools.partial(MembersChoice, steps), {}
        try:
            for variant, own in zip(variants, callbacks, strict=True):
                start.assign(variant)
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
                values = host_values(model.variables)
                members.append(Member(variant, dict(history.history), values))
                if bar is not None:
                    bar.add(1)
        finally:
            plan = installed_plan(model)
            if plan is not None:
                plan.remove()
            forget_choice(model)
    return members


def _alone(draws, variant, fit):
    """A member whose step nothing else can run: a model of its own."""
    model = draws.build(variant.seed)
    set_learning_rate(model, variant)
    with constants_of(model, variant):
        history = model.fit(**fit)
    return Member(variant, dict(history.history), host_values(model.variables))


def by_program(variants: Sequence[Variant]) -> list[list[int]]:
    """Numbers of the variants that share what is compiled, in order."""
    groups: dict[str, list[int]] = {}
    for number, variant in enumerate(variants):
        groups.setdefault(variant.program, []).append(number)
    return list(groups.values())
