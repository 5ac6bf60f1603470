"""What an object computes with, as a text: equal texts, equal computations."""

import collections
import enum
import functools
import hashlib
import random
import re
import types
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from keras_strategies._internal.keras_private.compiled_step import own_attributes
from keras_strategies._internal.keras_private.graphs import (
    graph_nodes,
    output_structure,
)
from keras_strategies._internal.references import (
    cell_value,
    is_of_library,
    names_in,
)

# So many objects are looked at; what has more is not described.
_MOST_OBJECTS = 50_000
_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...))
_VALUES = (slice, range, np.dtype, enum.Enum, re.Pattern)
_HOST_GENERATORS = (random.Random, np.random.Generator, np.random.RandomState)
# Those of the functions of their modules: whether a trace draws is seen by `StepAudit`.
_GLOBAL = (id(random.random.__self__), id(np.random.uniform.__self__))
# Their texts are values; they have no attributes.
_NAMED_VALUES = ("DType", "TensorShape", "TensorSpec", "PartitionSpec")
_LOCKS = ("_thread.lock", "_thread.RLock", "_thread._local")
# Of a class, what is neither its code nor a value.
_CLASS_NAMES = ("__doc__", "__module__", "__qualname__", "__firstlineno__")
_DESCRIPTORS = (
    types.MemberDescriptorType,
    types.GetSetDescriptorType,
    types.WrapperDescriptorType,
    types.MethodDescriptorType,
)


class NotUnderstoodError(Exception):
    """A model has something whose effect on its compiled step is not known."""


class Description:
    """Texts of objects; each object has a number, so that cycles and aliases are seen.

    A class of Keras's or of another library is told by its name, and so are functions
    of libraries. Classes and functions of the user's are told by their code, what they
    close over, and the globals that they name.

    Args:
        attribute: `attribute(path, owner, name, value)` returns what is described in
            the place of the attribute of an object.
    """

    def __init__(self, attribute: Callable[[str, Any, str, Any], Any] | None = None):
        self._attribute = attribute
        self._numbers: dict[int, int] = {}
        self._kept: list[Any] = []  # so that no number is that of another object
        #: Variables of Keras and TensorFlow that were met, in order, each once.
        self.variables: list[Any] = []
        #: Whether code was met that is not of a library.
        self.has_own_code = False
        #: Names of attributes and globals that this code uses.
        self.own_names: set[str] = set()
        # Names that Keras numbers anew for each model, and what they are called here.
        self.names: dict[str, str] = {}

    def of(self, value: Any, path: str = "") -> Any:
        """The description of a value: nested tuples of texts.

        Raises:
            NotUnderstoodError: If it has a part that could be anything; the message
                names it.
        """
        if isinstance(value, str):
            return self.names.get(value, repr(value))
        if isinstance(value, np.ndarray | np.generic):
            return self._array(value, path)
        if isinstance(value, int) and value in self._numbers:
            return f"id #{self._numbers[value]}"  # a key of an object that was met
        if isinstance(value, (*_PLAIN, *_VALUES)):
            return repr(value)
        if type(value).__name__ in _NAMED_VALUES or isinstance(value, types.ModuleType):
            return getattr(value, "__name__", None) or repr(value)
        if id(value) in self._numbers:
            return f"#{self._numbers[id(value)]}"
        self._numbers[id(value)] = len(self._kept)
        self._kept.append(value)
        if len(self._kept) > _MOST_OBJECTS:
            raise NotUnderstoodError("it refers to too many objects")
        return self._described(value, path)

    def _described(self, value, path):
        if _is_variable(value):
            self.variables.append(value)
            return "variable", str(tuple(value.shape)), str(value.dtype)
        if _is_tensor(value):
            return self._array(keras.ops.convert_to_numpy(value), path)
        if isinstance(value, Mapping):
            items = [
                (self.of(k), self.of(v, f"{path}[{k!r}]")) for k, v in value.items()
            ]
            return "mapping", *sorted(items, key=lambda item: repr(item[0]))
        if isinstance(value, set | frozenset):
            return "set", *sorted(repr(self.of(item, path)) for item in value)
        if isinstance(value, list | tuple | collections.deque):
            return "list", *(
                self.of(item, f"{path}[{number}]") for number, item in enumerate(value)
            )
        if isinstance(value, type):
            return self._class(value, path)
        if isinstance(value, functools.partial):
            parts = value.func, value.args, value.keywords
            return "partial", *(self.of(part, path) for part in parts)
        if isinstance(value, types.MethodType):
            return "method", *(self.of(part, path) for part in _parts(value))
        if isinstance(value, types.FunctionType):
            return self._function(value, path)
        if isinstance(value, types.BuiltinFunctionType):
            owner = value.__self__
            own = () if isinstance(owner, types.ModuleType | None) else (owner,)
            return "builtin", value.__qualname__, *(self.of(o, path) for o in own)
        if isinstance(value, property):
            parts = value.fget, value.fset, value.fdel
            return "property", *(self.of(part, path) for part in parts)
        inner = getattr(value, "python_function", getattr(value, "__wrapped__", None))
        if inner is not None:  # of tf.function, jax.jit, staticmethod
            return "compiled", self.of(inner, path)
        return self._object(value, path)

    def _array(self, value, path):
        array = np.asarray(value)
        if array.dtype.hasobject:
            return "array", str(array.shape), self.of(array.ravel().tolist(), path)
        digest = hashlib.blake2b(array.tobytes(), digest_size=16)
        return "array", str(array.dtype), str(array.shape), digest.hexdigest()

    def _object(self, value, path):
        kind = type(value)
        name = f"{kind.__module__}.{kind.__qualname__}"
        if isinstance(value, weakref.ReferenceType) or name in _LOCKS:
            return name
        if id(value) in _GLOBAL:
            return name
        has_attributes = hasattr(value, "__dict__") or _slots(kind)
        if isinstance(value, _HOST_GENERATORS) or not has_attributes:
            place = path.partition(".")[2]
            where = f" in `{place}`" if place else ""
            raise NotUnderstoodError(f"it has a {kind.__qualname__}{where}")
        if isinstance(value, keras.Initializer):
            return name  # has made what it makes
        if isinstance(value, keras.DTypePolicy):
            return name, self.of(value.get_config())
        if isinstance(value, keras.KerasTensor):
            return name, str(value.shape), str(value.dtype)
        if isinstance(value, keras.layers.Layer):
            return self.layer(value, path)
        return self.of(kind, path), *self.attributes(value, path)

    def number(self, value: Any) -> None:
        """Numbers an object that is described elsewhere."""
        self._numbers[id(value)] = len(self._kept)
        self._kept.append(value)

    def layer(self, layer: keras.layers.Layer, path: str) -> Any:
        """What a layer computes with: flags, policy, attributes, and calls inside."""
        nodes = graph_nodes(layer) or []
        return (
            self.of(type(layer), path),
            (bool(layer.trainable), bool(layer.autocast), bool(layer.supports_masking)),
            self.of(layer.dtype_policy.get_config()),
            getattr(layer, "quantization_mode", None),
            self.attributes(layer, path),
            [self.of(keras.tree.flatten(layer.inputs), path)] if nodes else [],
            [[self.of(part, path) for part in node] for node in nodes],
            [self.of(output_structure(layer), path)] if nodes else [],
        )

    def attributes(self, value: Any, path: str = "") -> list[tuple[str, Any]]:
        """Descriptions of what an object is made of, beyond Keras's bookkeeping."""
        items = own_attributes(value)
        items |= {
            n: getattr(value, n) for n in _slots(type(value)) if hasattr(value, n)
        }
        described = []
        for name, item in sorted(items.items()):
            place = f"{path}.{name}"
            if self._attribute is not None:
                item = self._attribute(place, value, name, item)
            described.append((name, self.of(item, place)))
        return described

    def _class(self, kind, path):
        name = f"{kind.__module__}.{kind.__qualname__}"
        if is_of_library(kind):
            return name
        self.has_own_code = True
        own = {
            key: item
            for key, item in vars(kind).items()
            if key not in _CLASS_NAMES and not isinstance(item, _DESCRIPTORS)
        }
        for key in ("__dict__", "__weakref__", "_abc_impl", "__annotations__"):
            own.pop(key, None)
        parts = [(key, self.of(item, path)) for key, item in sorted(own.items())]
        return name, *parts, *(self.of(base, path) for base in kind.__bases__)

    def _function(self, function, path):
        name = f"{function.__module__}.{function.__qualname__}"
        code = function.__code__
        if hasattr(function, "__wrapped__"):
            name = name, self.of(function.__wrapped__, path)
        closed = [
            (key, self.of(cell_value(cell), f"{path}:{key}"))
            for key, cell in zip(
                code.co_freevars, function.__closure__ or (), strict=True
            )
        ]
        if is_of_library(function):
            return "function", name, *closed
        self.has_own_code = True
        names = names_in(code)
        self.own_names |= names
        used = sorted(names & function.__globals__.keys())
        values = [
            (key, self.of(function.__globals__[key], f"{path}:{key}")) for key in used
        ]
        defaults = function.__defaults__, function.__kwdefaults__, vars(function)
        return "function", name, _code(code), *closed, *values, self.of(defaults, path)


def _parts(method):
    return method.__func__, method.__self__


def _slots(kind):
    slots = [vars(base).get("__slots__", ()) for base in kind.__mro__]
    names = [name for own in slots for name in ([own] if isinstance(own, str) else own)]
    return [name for name in names if name not in ("__dict__", "__weakref__")]


def _code(code):
    inner = [_code(item) for item in code.co_consts if isinstance(item, types.CodeType)]
    plain = [
        repr(item) for item in code.co_consts if not isinstance(item, types.CodeType)
    ]
    return code.co_code.hex(), code.co_names, *plain, *inner


def _is_tensor(value):
    return keras.ops.is_tensor(value) and not isinstance(value, keras.KerasTensor)


def _is_variable(value):
    """Whether it is a variable of Keras or of TensorFlow, which Keras does not list."""
    if isinstance(value, keras.Variable):
        return True
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return isinstance(value, tf.Variable)
