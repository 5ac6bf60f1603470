"""Predicates on models: whether a graph can be read and whether it can be rebuilt.

The only place that asks. Every rewriter of the package accepts the same models and
refuses the others with the same reason.
"""

from typing import Any

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import (
    has_functional_constructor,
    input_layer_of,
    operations,
)

#: The reason of a model that has no graph yet.
NOT_BUILT = "it is not built"

# Methods a subclass may have of its own and lose when it is rebuilt as a plain model:
# they say how the class itself is made and saved.
_OF_CONSTRUCTION = frozenset(
    {"get_config", "from_config", "build", "get_build_config", "build_from_config"}
)


def opaque_reason(layer: Any) -> str | None:
    """Why there is no graph that says what `layer` computes; `None` if there is one.

    A subclassed model without a graph is treated as one layer wherever it stands in a
    model. A Functional or Sequential model with its own `call` is refused there too:
    its graph can be read, and says something else than what it computes.
    """
    if not isinstance(layer, keras.Model):
        return "it is a layer"
    own_call = _own_call(layer)
    if own_call is not None:
        return own_call
    if not _has_graph_class(layer):
        return "it is subclassed and has no graph"
    if not layer.built or not layer.inputs:
        return NOT_BUILT
    for inner in _models_in(layer):
        own_call = _own_call(inner)
        if own_call is not None:
            return f"of the model {inner.name!r} inside it, {own_call}"
    return None


def _has_graph_class(model):
    return isinstance(model, keras.Sequential | keras.Function)


def _own_call(model):
    """Why the graph of a model, if it has one, is not what it computes."""
    if not _has_graph_class(model):
        return None
    plain = keras.Sequential
    if not isinstance(model, keras.Sequential):
        plain = functional_class(type(model))
    for method in ("call", "__call__"):
        if getattr(type(model), method) is not getattr(plain, method):
            return f"its class has its own `{method}`, which its graph does not say"
    return None


def _models_in(model):
    """The models that the graph of a model calls, and those in their graphs."""
    for operation in operations(model):
        if isinstance(operation, keras.Model) and _has_graph_class(operation):
            yield operation
            if operation.built:
                yield from _models_in(operation)


def rebuild_reason(model: Any) -> str | None:
    """Why no model of its kind can be made from a changed graph; `None` if one can."""
    reason = opaque_reason(model)
    if reason is not None or construction_class(model) is type(model):
        return reason
    return lost_methods(type(model), construction_class(model))


def construction_class(model: keras.Model) -> type:
    """The class to make a rebuilt model by: its own, or the plain one of Keras.

    A class with a constructor of its own builds its own graph and cannot be given
    another one.
    """
    kind = type(model)
    if isinstance(model, keras.Sequential):
        own = kind.__init__ is not keras.Sequential.__init__
        return keras.Sequential if own else kind
    if kind is functional_class(kind):
        return keras.Model
    return kind if has_functional_constructor(kind) else keras.Model


def functional_class(kind: type) -> type:
    """The class of Keras among the bases of a Functional model's class."""
    return next(base for base in kind.__mro__ if keras.Function in base.__bases__)


def lost_methods(kind: type, plain: type) -> str | None:
    """Which methods a plain model would not have that a class of models has."""
    base = plain if issubclass(plain, keras.Sequential) else functional_class(kind)
    lost = {
        name
        for cls in kind.__mro__[: kind.__mro__.index(base)]
        for name, value in vars(cls).items()
        if callable(value) and hasattr(keras.Model, name)
    }
    lost = {name for name in lost - _OF_CONSTRUCTION if not name.startswith("__")}
    if not lost:
        return None
    return (
        "its class has a constructor of its own, and without it its "
        f"{', '.join(f'`{name}`' for name in sorted(lost))} would be lost"
    )


def is_open(layer: Any) -> bool:
    """Whether `layer` is a model with a graph that says what it computes."""
    return opaque_reason(layer) is None


_FIX = (
    "Build the network with keras.Input and keras.Model(inputs, outputs), or "
    "keras.Sequential."
)


def check_readable(model: Any, fix: str = "") -> None:
    """Refuses a model whose graph does not say what it computes."""
    checks.instance("model", model, keras.Model, fix="Give a Keras model.")
    _refuse(model, opaque_reason(model), fix)


def check_rebuildable(model: Any, fix: str = "") -> None:
    """Refuses a model that cannot be rebuilt from a changed graph."""
    checks.instance("model", model, keras.Model, fix="Give a Keras model.")
    _refuse(model, rebuild_reason(model), fix)


def _refuse(model, reason, fix):
    if reason is None:
        return
    checks.fail(
        "`model` must be a built Functional or Sequential model that can be rebuilt "
        f"from its graph, but {reason}",
        fix=f"{_FIX} {fix}".strip(),
        model=model.name,
        type=type(model).__name__,
        built=model.built,
    )


def input_layers(model: keras.Model) -> list[Any]:
    """The input layers of a model with a graph, in the order of its flat inputs."""
    return [input_layer_of(tensor) for tensor in model.inputs]
