"""Initial values of a model from any seed, without its construction."""

import random
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private.initial_draws import (
    SEED_BOUNDS,
    recording_draws,
)
from keras_strategies._internal.traversal import all_variables, optimizer_variables
from keras_strategies._internal.weights.values import assign_values, host_values
from keras_strategies.training._many.seeds import Seeds
from keras_strategies.training._programs.description import NotUnderstoodError
from keras_strategies.training._programs.model_form import model_form
from keras_strategies.training._programs.shared_program import assign_state


class InitialDraws:
    """A model that a function built, and its initial values from any seed.

    `keras.utils.set_random_seed(seed)` followed by `build_fn()` gives certain initial
    values. Keras draws a number from Python's generator for each initializer and each
    `SeedGenerator` that is given no seed, in the order of their construction. The
    order is recorded, and the values of another seed are computed from it: the
    construction of layers, which takes longer than the draws, happens once.

    Functions that draw otherwise, or read weights from a file, cannot be recorded: the
    values of the first seed are computed again, and unless they and the state of the
    generators are what the construction left, `build_fn` is called for each seed. It
    must then differ in the values of variables only: what else a function draws, such
    as the factor of a loss, is a constant of the compiled step. Variables that it did
    not make itself are set back before each call.

    Args:
        build_fn: Function without arguments that returns a compiled and built model.
        seed: Seed of the first construction.

    Attributes:
        model: The model, with the values of `seed`.
        is_recorded: Whether other seeds need no construction.
        state: All variables of the model but those of the optimizer.
        key: The key of its form, `None` if it has none.
        has_own_code: Whether the model has code of the user's in it.
    """

    def __init__(self, build_fn: Callable[[], keras.Model], seed: int):
        self._build_fn = build_fn
        self._drawn: list[Any] = []
        self._made: list[tuple[keras.Variable, Any]] = []
        self._seeds = Seeds()
        self._seeds.set(seed)
        with recording_draws(self._drawn, self._made):
            self.model: keras.Model = checked_model(build_fn())
        left = _generators()
        self._form: Any = _form(self.model)
        slots = {id(v) for v in optimizer_variables(self.model.optimizer)}
        self.key: str | None = getattr(self._form, "key", None)
        self.has_own_code: bool = getattr(self._form, "has_own_code", True)
        self.state: list[Any] = [
            variable
            for variable in (
                all_variables(self.model)
                if isinstance(self._form, str)
                else self._form.state
            )
            if id(variable) not in slots
        ]
        ours = {id(variable) for variable in self.state}
        self._made = [pair for pair in self._made if id(pair[0]) in ours]
        built = host_values(self.state)
        self.is_recorded: bool = len(self._made) == len(ours) and self._gives(
            seed, built, left
        )
        # What a function makes once and puts into each model is trained with it.
        self._first: list[Any] | None = None if self.is_recorded else built
        if not self.is_recorded:
            assign_values(self.state, built)

    def assign(self, seed: int) -> None:
        """Gives the model the initial values of `seed`.

        The generators of Python, NumPy and the backend are then as after
        `set_random_seed(seed)` and `build_fn()`.
        """
        if self.is_recorded:
            self._seeds.set(seed)
            self._draw()
            return
        other = self.build(seed)
        form = _form(other)
        if isinstance(form, str) or form.key != self.key:
            checks.fail(
                "`build_fn` must return the same architecture each time, with the same "
                "numbers, arrays and functions: these are constants of the compiled "
                "step",
                first=self.model.name,
                second=other.name,
                **({"reason": form} if isinstance(form, str) else {}),
                fix="Train such models by `fit` in a loop.",
            )
        assign_state(self._form, form)

    def build(self, seed: int) -> keras.Model:
        """Another model, as `build_fn` makes it after `set_random_seed`.

        Layers that all models share, such as a backbone that was loaded before, have
        the values again with which `build_fn` returned them first.
        """
        if self._first is not None:
            assign_values(self.state, self._first)
        self._seeds.set(seed)
        other = checked_model(self._build_fn())
        if other is self.model:
            checks.fail(
                "`build_fn` must return a new model each time",
                returned=other.name,
                fix="Construct and compile the model inside of the function.",
            )
        return other

    def _gives(self, seed, built, left):
        """Whether the recorded draws of a seed give what was built from it."""
        self._seeds.set(seed)
        self._draw()
        if _generators() != left:
            return False
        values = host_values(self.state)
        return all(np.array_equal(a, b) for a, b in zip(built, values, strict=True))

    def _draw(self):
        states = {}
        for drawn in self._drawn:
            seed = random.randint(*SEED_BOUNDS)
            if isinstance(drawn, keras.random.SeedGenerator):
                states[id(drawn.state)] = [seed, 0]
            else:
                drawn.seed = seed
        for variable, initializer in self._made:
            if id(variable) in states:
                variable.assign(states[id(variable)])
            else:
                value = initializer(tuple(variable.shape), dtype=variable.dtype)
                variable.assign(value)


def _form(model):
    """The form of a model, or why it has none."""
    try:
        return model_form(model)
    except NotUnderstoodError as reason:
        return str(reason)


def _generators():
    """States of the generators of Python and NumPy."""
    name, keys, *others = np.random.get_state()
    return random.getstate(), (name, keys.tobytes(), *others)


def checked_model(model: Any) -> keras.Model:
    """Checks for a built and compiled model, as `build_fn` must return it."""
    checks.instance("the result of `build_fn`", model, keras.Model)
    is_compiled = getattr(model, "optimizer", None) is not None
    if not model.built or not is_compiled:
        checks.fail(
            "`build_fn` must return a built and compiled model",
            built=model.built,
            compiled=is_compiled,
        )
    return model
