"""Methods of Keras's own trainer, intercepted for models whose class overrides them."""

import functools
import threading
import weakref
from collections.abc import Callable
from typing import Any

import keras

_lock = threading.RLock()
# {name: (class that has the method, the method, {model: wrapper})}
_intercepted: dict[str, tuple[type, Callable[..., Any], Any]] = {}


def is_overridden(model: keras.Model, name: str) -> bool:
    """Whether the class of a model has a `fit` (or the like) of its own."""
    method = getattr(type(model), name)
    return getattr(method, "__wrapped__", method) is not _keras_method(name)


def intercept_base(
    model: keras.Model, name: str, wrapper: Callable[..., Any]
) -> Callable[[], None]:
    """Runs `wrapper(call, *args, **kwargs)` where Keras's own method would run.

    The class of `model` overrides the method and calls Keras's by `super()`, with
    arguments that only it knows: nothing on the object is in between. So the method of
    Keras's class looks whether the model is one of these, as long as there is one.
    Returns a function that undoes it. Keras 3.12 to 3.15.
    """
    with _lock:
        if name not in _intercepted:
            owner = next(cls for cls in keras.Model.__mro__ if name in vars(cls))
            original = vars(owner)[name]
            models = weakref.WeakKeyDictionary()
            _intercepted[name] = owner, original, models

            @functools.wraps(original)
            def method(self, *args, **kwargs):
                found = models.get(self)
                call = functools.partial(original, self)
                return (
                    call(*args, **kwargs)
                    if found is None
                    else found(call, *args, **kwargs)
                )

            setattr(owner, name, method)
        _intercepted[name][2][model] = wrapper

    def undo() -> None:
        with _lock:
            owner, original, models = _intercepted[name]
            models.pop(model, None)
            if not models:
                setattr(owner, name, original)
                del _intercepted[name]

    return undo


def _keras_method(name):
    method = getattr(keras.Model, name)
    return getattr(method, "__wrapped__", method)


def base_method(model: keras.Model, name: str) -> Callable[..., Any]:
    """What `super().fit` is in a class that overrides it, else the method itself."""
    if is_overridden(model, name):
        return functools.partial(getattr(keras.Model, name), model)
    return getattr(model, name)
