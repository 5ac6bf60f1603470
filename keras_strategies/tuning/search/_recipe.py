"""Recording of constructor arguments, for processes that make the same object."""

import functools
from collections.abc import Callable
from typing import Any


class RecordsArguments:
    """Base of classes whose objects remember how they were made.

    `__init__` is wrapped, of subclasses too: `__new__(cls, *args, **kwargs)` would hide
    the arguments from `inspect.signature`.

    Attributes:
        recipe: The class, and the positional and keyword arguments of its constructor.
    """

    recipe: tuple[type[Any], tuple[Any, ...], dict[str, Any]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            setattr(cls, "__init__", _recording(cls.__init__))  # noqa: B010


def _recording(init: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(init)
    def recording(self: Any, *args: Any, **kwargs: Any) -> None:
        if "recipe" not in vars(self):  # the outermost class is called first
            self.recipe = (type(self), args, kwargs)
        init(self, *args, **kwargs)

    return recording
