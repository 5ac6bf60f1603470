"""Labels for values that KerasTuner's `Choice` cannot hold."""

import ast
from collections.abc import Sequence
from typing import Any

# A label is this and the `repr` of the value. It is part of the saved state.
_PREFIX = "py:"


def is_plain(values: Sequence[Any]) -> bool:
    """Whether KerasTuner takes the values as they are: strings or numbers of a kind."""
    kind = type(values[0])
    return (
        kind in (str, int, float)
        and all(type(value) is kind for value in values)
        and not (kind is str and any(value.startswith(_PREFIX) for value in values))
    )


def to_label(value: Any) -> str:
    """The label of a value that KerasTuner's `Choice` refuses."""
    label = _PREFIX + repr(value)
    if from_label(label) != value:
        raise TypeError(
            "A `Choice` takes strings, numbers, booleans, None and tuples of these. "
            f"Received: {value!r}."
        )
    return label


def from_label(value: Any) -> Any:
    """The value of a label; other values are returned as they are."""
    if not isinstance(value, str) or not value.startswith(_PREFIX):
        return value
    try:
        return ast.literal_eval(value[len(_PREFIX) :])
    except (SyntaxError, ValueError):  # a string of the user's that looks like one
        return value
