"""KerasTuner's container of hyperparameters, repaired."""

import contextlib
from collections.abc import Sequence
from typing import Any, Self

import keras_tuner
from keras_tuner.engine import hyperparameters as kinds

from keras_strategies.tuning._private import bases
from keras_strategies.tuning._private import hyperparameters as private
from keras_strategies.tuning._space.hyperparameter import is_legal, repaired
from keras_strategies.tuning._space.labels import from_label, is_plain, to_label


class Space(bases.HyperParameters):
    """Search space and the values of one trial.

    Differs from `keras_tuner.HyperParameters` (1.4.8) in four points: a name may be
    declared in several conditional scopes; `Float(step=)` reaches its maximum;
    `Choice` takes `True`, `None` and tuples; a hyperparameter that becomes active gets
    its default, not an unseeded random value.
    """

    values: dict[str, Any]

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
        return space

    def copy(self) -> Self:
        return type(self).from_config(self.get_config())

    def ensure_active_values(self) -> None:
        declared = {hp.name for hp in self.space}
        previous = self.values
        # Entries without a hyperparameter, such as Hyperband's own, stay.
        values = {k: v for k, v in previous.items() if k not in declared}
        self.values = values
        for hp in self.space:
            if hp.name in values or not self.is_active(hp):
                continue
            # A value may belong to a scope of the same name that is no longer active.
            is_valid = hp.name in previous and is_legal(hp, previous[hp.name])
            values[hp.name] = previous[hp.name] if is_valid else hp.default

    def get(self, name: str) -> Any:
        return from_label(super().get(name))

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
