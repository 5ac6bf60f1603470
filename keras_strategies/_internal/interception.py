"""Calls of layers inside a model, intercepted while the model runs."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

#: `around(position, call, args, kwargs)` of the layer at a position: what it returns.
Around = Callable[[int, Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]


@contextlib.contextmanager
def intercepting(layers: Sequence[Any], around: Around) -> Iterator[None]:
    """Hands every call of some layers or operations to `around` inside the block.

    A second model up to a layer would run the first half twice, and cannot reach into
    nested or subclassed models. The calls are intercepted on the objects instead; in
    a compiled program that is while it is traced.
    """
    with contextlib.ExitStack() as stack:
        for position, layer in enumerate(layers):
            # A layer of integers or float8 computes in a method of its own.
            quantized = getattr(layer, "quantization_mode", None) is not None
            name = "quantized_call" if quantized else "call"
            call = getattr(layer, name)

            def wrapped(*args, _position=position, _call=call, **kwargs):
                return around(_position, _call, args, kwargs)

            stack.enter_context(replacing(layer, name, wrapped))
        yield


@contextlib.contextmanager
def replacing(thing: Any, name: str, value: Any) -> Iterator[None]:
    """Gives an object another attribute inside the block.

    Around Keras's own setting of attributes, which tracks what it is given.
    """
    before = thing.__dict__.get(name, thing)
    thing.__dict__[name] = value
    try:
        yield
    finally:
        if before is thing:
            thing.__dict__.pop(name, None)
        else:
            thing.__dict__[name] = before
