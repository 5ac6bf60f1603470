"""Names of Keras that stand for something else inside a `with`."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from keras_strategies._internal import checks

_TESTED = ((3, 12), (3, 15))


@contextlib.contextmanager
def replaced(changes: Sequence[tuple[Any, str, Any]]) -> Iterator[None]:
    """Sets attributes `(owner, name, value)` and puts the earlier values back.

    Raises:
        RuntimeError: If this version of Keras lacks one of the names.
    """
    missing = [name for owner, name, _ in changes if not hasattr(owner, name)]
    if missing:
        checks.fail(
            "Distributed training repairs Keras by names that this version lacks",
            fix=f"Use Keras {_TESTED[0][0]}.{_TESTED[0][1]} to "
            f"{_TESTED[1][0]}.{_TESTED[1][1]}.",
            error=RuntimeError,
            keras=keras.__version__,
            missing=missing,
        )
    before = [(owner, name, _own(owner, name)) for owner, name, _ in changes]
    for owner, name, value in changes:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for owner, name, value in reversed(before):
            setattr(owner, name, value)


def _own(owner, name):
    return vars(owner)[name] if name in vars(owner) else getattr(owner, name)
