"""Values of a search space: their combinations, and how many there are."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from keras_tuner.engine import hyperparameters as kinds

from keras_strategies._internal import checks
from keras_strategies.tuning._space.hyperparameter import (
    domain,
    is_active,
    is_legal,
    options,
    repaired,
)
from keras_strategies.tuning._space.labels import to_label

Values: TypeAlias = dict[str, Any]


def is_conditional(space: Iterable[kinds.HyperParameter]) -> bool:
    """Whether a part of the space depends on another."""
    return any(hp.conditions for hp in space)


def searched(space: Iterable[kinds.HyperParameter]) -> list[kinds.HyperParameter]:
    """The hyperparameters that have more than one value."""
    return [hp for hp in space if not isinstance(hp, kinds.Fixed)]


def fill(
    space: Iterable[kinds.HyperParameter],
    values: Values,
    value_of: Callable[[Any], Any],
) -> Values:
    """Sets `values[hp.name] = value_of(hp)` for what is active, parents first."""
    for hp in space:
        is_free = not hp.conditions or is_active(hp, values)
        if is_free and hp.name not in values:
            values[hp.name] = value_of(hp)
    return values


def combinations(
    space: Iterable[kinds.HyperParameter],
    choices: Callable[[Any], Sequence[Any]] = options,
) -> Iterator[Values]:
    """Yields every combination of active values, in the order of `space`.

    A depth-first walk: a hyperparameter is varied only below the values of its
    parents that activate it, so that no combination is yielded twice.

    Args:
        space: The hyperparameters, parents before what depends on them.
        choices: A function that lists the values of one hyperparameter.
    """
    hyperparameters = [repaired(hp) for hp in space]

    def extend(index: int, values: Values) -> Iterator[Values]:
        if index == len(hyperparameters):
            yield dict(values)
            return
        hp = hyperparameters[index]
        # A name that has a value is declared in another active scope already.
        if hp.name in values or not is_active(hp, values):
            yield from extend(index + 1, values)
            return
        for value in choices(hp):
            values[hp.name] = value
            yield from extend(index + 1, values)
        del values[hp.name]

    return extend(0, {})


def size(space: Sequence[kinds.HyperParameter], limit: int = 10_000) -> int | None:
    """Number of combinations, or `None` if there are more than `limit`."""
    if any(options(hp) is None for hp in space):
        return None
    # Counted one by one: conditions make it no product of the numbers of values.
    count = sum(1 for _ in itertools.islice(combinations(space), limit + 1))
    return None if count > limit else count


def matching_value(hp: kinds.HyperParameter, value: Any) -> Any:
    """Returns a value as a trial holds it; `None` if `hp` does not have it.

    Args:
        hp: The hyperparameter.
        value: The value, not a label of it; a whole number may be a float, as in data
            frames.
    """
    plain = value.item() if hasattr(value, "item") else value
    candidates = [plain, *_label_of(plain)]
    if isinstance(plain, float) and plain.is_integer():
        candidates.append(int(plain))
    if isinstance(plain, int) and isinstance(hp, kinds.Float):
        candidates.insert(0, float(plain))
    return next((c for c in candidates if is_legal(hp, c)), None)


def legal_value(declared: Sequence[kinds.HyperParameter], value: Any) -> Any:
    """Returns a value as a trial holds it, checked.

    Args:
        declared: The hyperparameters of one name, one for each scope.
        value: The value, not a label of it.
    """
    for hp in declared:
        matching = matching_value(hp, value)
        if matching is not None:
            return matching
    name = declared[0].name
    return checks.fail(
        f"`{name}` must have a value of the space",
        fix=f"The space has {[domain(hp) for hp in declared]}.",
        **{name: value},
    )


def _label_of(value: Any) -> list[str]:
    try:
        return [to_label(value)]
    except TypeError:
        return []
