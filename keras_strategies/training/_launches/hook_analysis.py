"""Whether a batch hook only looks at its logs, by its code and by what it can reach."""

import collections
import dis
import functools
import gc
import inspect
import sys
import types
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np

from keras_strategies._internal.references import cell_value, is_of_library, names_in

# Names in the code of a hook that acts on the training, measures the time of a step, or
# reaches what its code does not name.
_ACTING = frozenset(
    (
        "model",
        "_model",
        "stop_training",
        "optimizer",
        "time",
        "perf_counter",
        "monotonic",
        "time_ns",
        "perf_counter_ns",
        "sleep",
        "now",
        "getattr",
        "vars",
        "globals",
        "__dict__",
        "__import__",
        "eval",
        "exec",
        "super",
        "exit",
        "_exit",
        "kill",
        "raise_signal",
        "interrupt_main",
    )
)
_OBJECTS = (
    keras.layers.Layer,
    keras.optimizers.Optimizer,
    keras.Variable,
    keras.callbacks.Callback,
    keras.metrics.Metric,
)
# So many objects are looked at; what has more is taken to reach the training.
_MOST = 50_000
_ATOMS = (str, bytes, int, float, complex, np.generic, types.NoneType, types.CodeType)


def only_reads_logs(callback: Any, hook: Callable[..., Any]) -> bool:
    """Returns whether the code of a hook reaches neither model nor clock.

    A cautious reading: of the hook and of the functions, methods and properties of the
    user's that it names, in its module, its class, its attributes and other objects,
    and in modules of the user's. Code of installed packages is not read; but no value
    that any of it is given may lead to a variable, a layer or another part of a
    training. A hook that raises an error ends the training at its step, so it acts.
    """
    owner = getattr(hook, "__self__", callback)  # of a hook that was assigned
    if owner is not callback and _reaches_training([owner]):
        return False
    return not _acts(hook, owner)


def _acts(hook, owner):
    """Whether the hook, or code that it names, acts on the training."""
    pending, codes, values = collections.deque([(hook, owner)]), set(), []
    while pending:
        function, owner = pending.popleft()
        function = getattr(function, "__func__", function)
        code = getattr(function, "__code__", None)
        if code is None:  # a builtin or an object that is called
            if not isinstance(function, types.BuiltinFunctionType):
                return True
            values.append(getattr(function, "__self__", None))
            continue
        if code in codes:
            continue
        codes.add(code)
        names = names_in(code)
        if names & _ACTING or _raises(code):
            return True
        values += _defaults(function)
        for item, holder in _named(function, owner, names):
            if isinstance(item, property):
                pending += [(part, holder) for part in (item.fget, item.fset) if part]
            elif isinstance(item, types.FunctionType | types.MethodType):
                if item.__module__ == function.__module__ or _is_read(item):
                    pending.append((item, getattr(item, "__self__", holder)))
                bound = getattr(item, "__self__", None)
                values += [item] if bound is None or bound is not owner else []
            else:
                values.append(item)
    return _reaches_training(values)


def _named(function, owner, names) -> Iterator[tuple[Any, Any]]:
    """What the names in a function stand for, each with the object that has it."""
    cells = (cell_value(cell) for cell in function.__closure__ or ())
    scope = function.__globals__
    roots = [*cells, *(scope[name] for name in names if name in scope)]
    # Modules that it imports itself.
    roots += [sys.modules[name] for name in names if name in sys.modules]
    objects = collections.deque((item, None) for item in roots)
    objects += [(value, owner) for value in _attributes(owner, names)]
    seen = {}
    while objects:
        item, holder = objects.popleft()
        if id(item) in seen:
            continue
        seen[id(item)] = item
        if isinstance(item, types.ModuleType):
            if _is_users(item):
                objects += [(v, item) for n, v in vars(item).items() if n in names]
            continue
        yield item, holder
        if not isinstance(item, (*_ATOMS, *_OBJECTS, types.FunctionType)):
            objects += [(value, item) for value in _attributes(item, names)]


def _attributes(item, names) -> Iterator[Any]:
    """The attributes of an object and of its class by name, without computing any."""
    own = getattr(item, "__dict__", {})
    # Of a callback's own attributes those that code does not name, as its model, are
    # not looked at.
    yield from (own[name] for name in names if name in own)
    kind = item if isinstance(item, type) else type(item)
    if is_of_library(kind) and not isinstance(item, _OBJECTS):
        return
    for name in names:
        value = inspect.getattr_static(kind, name, None)
        if isinstance(value, staticmethod | classmethod):
            value = value.__func__
        if isinstance(value, functools.cached_property):
            value = value.func
        if not isinstance(value, type(None) | types.MemberDescriptorType):
            yield value
        elif isinstance(value, types.MemberDescriptorType) and item is not kind:
            try:
                yield value.__get__(item)
            except AttributeError:  # a slot that is empty yet
                continue


def _defaults(function) -> list[Any]:
    return [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]


def _raises(code):
    """Whether a function, or one that is defined in it, has a `raise` or `assert`."""
    inner = [item for item in code.co_consts if isinstance(item, types.CodeType)]
    own = any(item.opname == "RAISE_VARARGS" for item in dis.get_instructions(code))
    return own or any(map(_raises, inner))


def _is_read(function):
    """Whether the code of a function is the user's, or of Keras or this package."""
    name = getattr(function, "__module__", None) or ""
    if name.startswith(("keras.", "keras_strategies.")):
        return True
    module = sys.modules.get(name)
    return module is None or _is_users(module)


def _is_users(module):
    """Whether a module is neither of Python's library nor of an installed package."""
    if is_of_library(types.SimpleNamespace(__module__=module.__name__)):
        return False
    path = (getattr(module, "__file__", None) or "").replace("\\", "/")
    return not any(part in path for part in ("/site-packages/", "/dist-packages/"))


def _reaches_training(values: Iterable[Any]) -> bool:
    """Whether a part of a training is among values or in what they refer to."""
    pending, seen = collections.deque(values), {}
    while pending:
        item = pending.popleft()
        if isinstance(item, _OBJECTS) or _is_variable(item):
            return True
        if isinstance(item, _ATOMS) or id(item) in seen:
            continue
        if isinstance(item, types.ModuleType | type):
            continue  # what they have by name was looked at
        seen[id(item)] = item
        if len(seen) > _MOST:
            return True
        if isinstance(item, weakref.ref):
            pending.append(item())
        elif isinstance(item, types.FunctionType):
            pending += [cell_value(cell) for cell in item.__closure__ or ()]
            pending += _defaults(item)
            if _is_read(item):
                scope, names = item.__globals__, names_in(item.__code__)
                pending += [scope[name] for name in names if name in scope]
        elif not isinstance(item, np.ndarray) or item.dtype.hasobject:
            pending += gc.get_referents(item)
    return False


def _is_variable(item):
    """Whether it is a variable of TensorFlow's own."""
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is not None and isinstance(item, tensorflow.Variable)
