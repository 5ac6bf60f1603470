"""Whether objects can reach others, through attributes and what functions close over.

Python's garbage collector knows what an object refers to; functions and classes need
more care, as each function refers to the whole module it was written in.
"""

import collections
import functools
import gc
import inspect
import sys
import types
from collections.abc import Iterable
from typing import Any

# So many objects are looked at; what has more is taken to reach anything.
_MOST = 50_000
# Classes and globals of these packages hold nothing of the user's; a walk through them
# would come to everything that the process has ever made.
_LIBRARIES = frozenset(
    ("keras", "keras_strategies", "tensorflow", "jax", "jaxlib", "torch")
    + ("numpy", "scipy", "pandas", "sklearn")
)
_ENDS = (types.ModuleType, types.CodeType, types.BuiltinFunctionType, str, bytes)


def can_reach(roots: Iterable[Any], targets: Iterable[Any]) -> bool:
    """Returns whether one of `roots` refers to one of `targets`, over any path.

    Args:
        roots: Objects, such as callbacks that a function has made.
        targets: Objects, such as a model and its layers.
    """
    searched = {id(target) for target in targets}
    queue = collections.deque(roots)
    # Kept, so that no number is that of another object.
    seen: dict[int, Any] = {}
    while queue:
        item = queue.popleft()
        if id(item) in searched:
            return True
        if id(item) in seen or isinstance(item, _ENDS):
            continue
        seen[id(item)] = item
        if len(seen) > _MOST:
            return True
        queue.extend(_referents(item))
    return False


def _referents(item: Any) -> Iterable[Any]:
    if isinstance(item, types.FunctionType):
        used = inspect.getclosurevars(item)
        return [
            *used.nonlocals.values(),
            *(() if is_of_library(item) else used.globals.values()),
            *(item.__defaults__ or ()),
            *(item.__kwdefaults__ or {}).values(),
            *vars(item).values(),
        ]
    if isinstance(item, type):
        if is_of_library(item):
            return []
        return [*vars(item).values(), *item.__bases__]
    if isinstance(item, functools.partial | types.MethodType):
        return gc.get_referents(item)
    return [type(item), *gc.get_referents(item)]


def is_of_library(item: Any) -> bool:
    """Returns whether a class or function is of a library, not of the user's."""
    package = str(getattr(item, "__module__", "")).partition(".")[0]
    return package in _LIBRARIES or package in sys.stdlib_module_names


def names_in(code: types.CodeType) -> set[str]:
    """Returns the names that a function uses, and those that are defined in it."""
    inner = [
        names_in(item) for item in code.co_consts if isinstance(item, types.CodeType)
    ]
    return set(code.co_names).union(*inner)


def cell_value(cell: types.CellType) -> Any:
    """Returns what a function closes over, `None` where it is not assigned yet."""
    try:
        return cell.cell_contents
    except ValueError:
        return None
