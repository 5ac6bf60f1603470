"""Scopes of custom objects that nest."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import keras


@contextlib.contextmanager
def nested_scope(objects: Mapping[str, Any]) -> Iterator[None]:
    """Makes custom objects known, beside those of all scopes around and inside.

    `keras.saving.custom_object_scope` replaces the scope around it, where that of
    TFMOT's Keras adds to it. The global registry, which every scope is asked before,
    is added to instead, and put back at the end.
    """
    registry = keras.saving.get_custom_objects()
    before = {name: registry[name] for name in objects if name in registry}
    registry.update(objects)
    try:
        yield
    finally:
        for name in objects:
            registry.pop(name, None)
        registry.update(before)
