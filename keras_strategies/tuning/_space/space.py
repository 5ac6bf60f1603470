"""KerasTuner's container of hyperparameters, repaired."""

import contextlib
import random
from collections.abc import Sequence
from typing import Any, Self

import keras_tuner
from keras_tuner import errors
from keras_tuner.engine import hyperparameters as kinds

from keras_strategies._internal import checks
from keras_strategies.tuning._private import hyperparameters as private
from keras_strategies.tuning._space.hyperparameter import (
    domain,
    is_legal,
    kind_of,
    repaired,
    scoped_name,
)
from keras_strategies.tuning._space.labels import from_label, is_plain, to_label

# Keys of the saved configuration beside those of KerasTuner, which ignores them.
_STATES = ("given", "unused", "unconfirmed", "expected", "redeclared", "removed")


class Space(private.SpaceHooks):
    """Search space and the values of one trial.

    Differs from `keras_tuner.HyperParameters` (1.4.8) in six points: a name may be
    declared in several conditional scopes; `Float(step=)` reaches its maximum;
    `Choice` takes `True`, `None` and tuples; a hyperparameter that becomes active gets
    its default, not an unseeded random value; what a trial did not ask for, because a
    plain `if` went another way, is not among its values; the first declaration after a
    resume replaces the one on the disk.

    Attributes:
        given: Names of the hyperparameters that the user declared outside the model.
        used: Names of those that the model has declared or read.
        unused: Names of those that a trial of a growing space did not ask for.
        unconfirmed: Scoped names of those that come from the disk and that no model
            has declared since.
        expected: Scoped names of those among them that every trial on the disk had.
        redeclared: Scoped names of those whose domain differs from that on the disk.
        removed: Scoped names of those that the model does not declare any more.
        adopts: Whether the model may also change types, conditions, and drop
            hyperparameters of the search on the disk.
        is_explored: Whether the space was declared by a model, not by the user.
    """

    values: dict[str, Any]

    def __init__(self) -> None:
        super().__init__()
        self.given: set[str] = set()
        self.used: set[str] = set()
        self.unused: set[str] = set()
        self.unconfirmed: set[str] = set()
        self.expected: set[str] = set()
        self.redeclared: set[str] = set()
        self.removed: set[str] = set()
        self.adopts: bool = False
        self.is_explored: bool = False

    @classmethod
    def of(cls, hyperparameters: keras_tuner.HyperParameters) -> "Space":
        """The same space and values as a `Space`; one that is one is returned."""
        if isinstance(hyperparameters, cls):
            return hyperparameters
        return cls.from_config(hyperparameters.get_config())

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        plain = keras_tuner.HyperParameters.from_config(config)
        space = cls()
        for hp in map(repaired, plain.space):
            private.append(space, hp)
        space.values = plain.values
        for name in _STATES:
            setattr(space, name, set(config.get(name, ())))
        space.adopts = config.get("adopts", False)
        return space

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        for name in _STATES:
            if getattr(self, name):
                config[name] = sorted(getattr(self, name))
        if self.adopts:
            config["adopts"] = True
        return config

    def copy(self) -> Self:
        return type(self).from_config(self.get_config())

    def ensure_active_values(self) -> None:
        declared = {hp.name for hp in self.space}
        previous = self.values
        # Entries without a hyperparameter, such as Hyperband's own, stay.
        values = {k: v for k, v in previous.items() if k not in declared}
        self.values = values
        for hp in self.space:
            if hp.name in values or not self.is_active(hp) or hp.name in self.unused:
                continue
            # A value may belong to a scope of the same name that is no longer active.
            is_valid = hp.name in previous and is_legal(hp, previous[hp.name])
            values[hp.name] = previous[hp.name] if is_valid else hp.default

    # Declarations

    def _declare(self, hp: kinds.HyperParameter) -> Any:
        key = scoped_name(hp)
        if key in self.unconfirmed:
            self.unconfirmed.discard(key)
            stored = next(h for h in self.space if scoped_name(h) == key)
            if domain(stored) != domain(hp):
                self._redeclare(stored, hp)
        if self.is_active(hp):
            self.used.add(hp.name)
            self.unused.discard(hp.name)
        if hp.name not in self.values and private.is_declared(self, hp):
            self.ensure_active_values()
        return super()._declare(hp)

    def _redeclare(
        self, stored: kinds.HyperParameter, declared: kinds.HyperParameter
    ) -> None:
        """Replaces a hyperparameter of the disk by the one that is declared now."""
        if kind_of(stored) != kind_of(declared) and not self.adopts:
            raise errors.FatalValueError(
                type_change_message(stored, declared)
            )  # ends the search, not only the trial
        self.redeclared.add(scoped_name(declared))
        new = type(declared).from_config(declared.get_config())
        private.replace(self, stored, new)
        value = self.values.get(new.name)
        if new.name in self.values and not is_legal(new, value):
            # Drawn for the old domain. A hash, so that any worker draws the same.
            draw = random.Random(f"{new.name} {sorted(self.values.items())}")
            self.values[new.name] = new.prob_to_value(draw.random())

    def check_expected(self) -> None:
        """Notices what a model has ceased to declare, after a whole trial.

        Raises:
            FatalError: If every trial on the disk had a hyperparameter that the model
                has not declared now although it is active.
        """
        if not self.used:
            return
        for hp in self.space:
            key = scoped_name(hp)
            if key not in self.expected & self.unconfirmed or not self.is_active(hp):
                continue
            if not self.adopts:
                moved = any(
                    h.name == hp.name and scoped_name(h) not in self.unconfirmed
                    for h in self.space
                )
                raise errors.FatalValueError(
                    changed_message(hp.name, "other conditions" if moved else "gone")
                )
            self.removed.add(key)

    def drop_unused(self) -> None:
        """Drops the values that a model did not ask for in a whole trial.

        A plain `if` makes the space grow in conditional parts that it does not know
        of. What the user declared outside the model stays, as does everything if the
        model reads `values` itself.
        """
        if not self.used:
            return
        names = {hp.name for hp in self.space if hp.name in self.values}
        self.unused |= names - self.used - self.given
        for name in self.unused:
            self.values.pop(name, None)

    def get(self, name: str) -> Any:
        value = from_label(super().get(name))
        self.used.add(private.full_name(self, name))
        return value

    def Choice(
        self,
        name: str,
        values: Sequence[Any],
        ordered: bool | None = None,
        default: Any = None,
        parent_name: str | None = None,
        parent_values: Any = None,
    ) -> Any:
        parent = {"parent_name": parent_name, "parent_values": parent_values}
        # NumPy's scalars as Python's, which can be written.
        values = [v.item() if hasattr(v, "item") else v for v in values]
        if not values or is_plain(values):
            return super().Choice(name, values, ordered, default, **parent)
        if default is not None or None in values:
            default = to_label(default)
        # Labels have no order, whatever the values are.
        labels = [to_label(value) for value in values]
        return from_label(super().Choice(name, labels, None, default, **parent))

    def Float(
        self,
        name: str,
        min_value: float,
        max_value: float,
        step: float | None = None,
        sampling: str = "linear",
        default: float | None = None,
        parent_name: str | None = None,
        parent_values: Any = None,
    ) -> float | None:
        return private.declare_float(
            self,
            name,
            parent_name,
            parent_values,
            min_value=min_value,
            max_value=max_value,
            step=step,
            sampling=sampling,
            default=default,
        )

    def conditional_scope(
        self, parent_name: str, parent_values: Any
    ) -> contextlib.AbstractContextManager[None]:
        # A condition compares with what the parent holds: labels, if it has any.
        parents = private.named(self, parent_name)
        choices = [hp.values for hp in parents if isinstance(hp, kinds.Choice)]
        if any(
            from_label(value) is not value for values in choices for value in values
        ):
            if not isinstance(parent_values, list):
                parent_values = [parent_values]
            parent_values = [to_label(value) for value in parent_values]
        return super().conditional_scope(parent_name, parent_values)


def type_change_message(
    stored: kinds.HyperParameter, declared: kinds.HyperParameter
) -> str:
    """Why a search does not go on with a hyperparameter of another type."""
    return checks.message(
        f"`{declared.name}` must have the type it had when the search began, "
        f"{kind_of(stored)}",
        {"type": kind_of(declared)},
        WAYS_OUT,
    )


def changed_message(name: str, now: str) -> str:
    """Why a search does not go on with a hyperparameter gone or under a condition."""
    return checks.message(
        f"`{name}` must be declared, under the conditions it had when the search began",
        {name: now},
        WAYS_OUT,
    )


#: What to do about a change that a search refuses.
WAYS_OUT = (
    'Begin anew with `overwrite=True` or another `project_name`, or pass `on_change="'
    'adopt"` to go on with the trials there as history.'
)
