"""Functions of a part of a space, computed when its values are drawn."""

import builtins
from typing import Any

from keras_strategies.compat.hyperopt import _nodes

__all__ = ["float", "int"]


def int(node: Any) -> Any:
    """`node` as an integer, such as `scope.int(hp.quniform("units", 8, 64, 8))`."""
    return _nodes.Call(builtins.int, node)


def float(node: Any) -> Any:
    """`node` as a float."""
    return _nodes.Call(builtins.float, node)
