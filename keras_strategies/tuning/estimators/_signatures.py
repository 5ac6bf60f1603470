"""Parameters of the function that builds a model."""

import inspect
from collections.abc import Callable
from typing import Any


def accepts(builder: Callable[..., Any], name: str) -> bool:
    """Whether a function takes an argument of this name."""
    parameters = inspect.signature(builder).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return name in parameters or takes_any


def has_parameter(builder: Callable[..., Any], name: str) -> bool:
    """Whether a function has a parameter of this name."""
    return name in inspect.signature(builder).parameters


def default_of(builder: Callable[..., Any], name: str) -> Any:
    """The default of a parameter, `None` if it has none."""
    parameter = inspect.signature(builder).parameters.get(name)
    if parameter is None or parameter.default is parameter.empty:
        return None
    return parameter.default
