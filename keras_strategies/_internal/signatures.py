"""Parameters of a function that a user gave."""

import inspect
from collections.abc import Callable
from typing import Any


def accepts(function: Callable[..., Any], name: str) -> bool:
    """Whether a function takes an argument of this name."""
    parameters = inspect.signature(function).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return name in parameters or takes_any


def has_parameter(function: Callable[..., Any], name: str) -> bool:
    """Whether a function has a parameter of this name."""
    return name in inspect.signature(function).parameters


def default_of(function: Callable[..., Any], name: str) -> Any:
    """The default of a parameter, `None` if it has none."""
    parameter = inspect.signature(function).parameters.get(name)
    if parameter is None or parameter.default is parameter.empty:
        return None
    return parameter.default
