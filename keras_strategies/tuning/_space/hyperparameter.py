"""One hyperparameter: its values, whether one is legal, whether it is active."""

import hashlib
import math
from collections.abc import Mapping
from typing import Any

from keras_tuner.engine import hyperparameters as kinds

from keras_strategies.tuning._private.hyperparameters import Float


def repaired(hp: kinds.HyperParameter) -> kinds.HyperParameter:
    """A `Float` whose steps reach its maximum; other kinds are returned as they are."""
    if type(hp) is kinds.Float:
        return Float.from_config(hp.get_config())
    return hp


def is_legal(hp: kinds.HyperParameter, value: Any) -> bool:
    """Whether `hp` can have `value`; another scope may share its name."""
    if isinstance(hp, kinds.Float | kinds.Int):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not hp.min_value <= value <= hp.max_value:
            return False
        return _is_on_grid(hp, value)
    # By the type too: 1 and True are equal.
    return any(value == v and type(value) is type(v) for v in hp.values)


def _is_on_grid(hp: kinds.HyperParameter, value: float) -> bool:
    if isinstance(hp, kinds.Int) and value != int(value):
        return False
    if hp.step is None:
        return True
    if hp.sampling != "linear":
        return any(math.isclose(value, v) for v in hp.values)
    steps = (value - hp.min_value) / hp.step
    return abs(steps - round(steps)) < 1e-6


def is_numeric(hp: kinds.HyperParameter) -> bool:
    """Whether the values of `hp` have an order."""
    if isinstance(hp, kinds.Choice):
        return bool(hp.ordered) and len(hp.values) > 2
    return isinstance(hp, kinds.Float | kinds.Int)


def is_active(hp: kinds.HyperParameter, values: Mapping[str, Any]) -> bool:
    """Whether the conditions of `hp` hold for `values`."""
    return all(condition.is_active(values) for condition in hp.conditions)


def options(hp: kinds.HyperParameter) -> list[Any] | None:
    """All values of `hp`, the default first; `None` if there are infinitely many."""
    if isinstance(hp, kinds.Float) and hp.step is None:
        return None if hp.max_value > hp.min_value else [hp.min_value]
    if isinstance(hp, kinds.Int) and hp.step is None:
        return list(range(hp.min_value, hp.max_value + 1))
    values = [int(v) if isinstance(hp, kinds.Int) else v for v in hp.values]
    if hp.default in values:  # first, as in KerasTuner's grid
        values.remove(hp.default)
        values.insert(0, hp.default)
    return values


def scoped_name(hp: kinds.HyperParameter) -> str:
    """The name of `hp`, and of the conditions under which it is declared.

    `name@hash` in a conditional scope: the same name may stand in several. The string
    is part of the stored formats.
    """
    if not hp.conditions:
        return hp.name
    conditions = [(c.name, list(c.values)) for c in hp.conditions]
    digest = hashlib.sha256(repr(conditions).encode()).hexdigest()[:8]
    return f"{hp.name}@{digest}"


def kind_of(hp: kinds.HyperParameter) -> str:
    """The kind of a hyperparameter: "Float", "Int", "Choice", "Boolean", "Fixed"."""
    return type(hp).__name__


def domain(hp: kinds.HyperParameter) -> dict[str, Any]:
    """What decides which values `hp` can have."""
    config = hp.get_config()
    ignored = ("name", "default", "conditions", "ordered")
    return {key: value for key, value in config.items() if key not in ignored}
