"""Compilation of a model like another one, with some of it changed."""

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import keras

from keras_strategies._internal import checks, model_graph
from keras_strategies.tuning.hypermodels import _task


def make_optimizer(
    optimizer: Any, settings: Mapping[str, Any] | None = None
) -> keras.optimizers.Optimizer:
    """A new optimizer from a name, a class or another one, with `settings` changed."""
    settings = settings or {}
    if isinstance(optimizer, str):
        by_name = _task.optimizers()
        if optimizer.lower() in by_name:
            return _new(by_name[optimizer.lower()], settings)
        optimizer = keras.optimizers.get(optimizer)
    if isinstance(optimizer, type):
        return _new(optimizer, settings)
    checks.instance("optimizer", optimizer, keras.optimizers.Optimizer)
    config = optimizer.get_config()
    unknown = [name for name in settings if name not in config]
    if unknown:
        _refuse(type(optimizer), unknown)
    return type(optimizer).from_config({**config, **settings})


def _new(cls: type[Any], settings: Mapping[str, Any]) -> keras.optimizers.Optimizer:
    try:
        return cls(**settings)
    except (TypeError, ValueError) as error:
        # Keras refuses a name that it does not know by either.
        if not any(name in str(error) for name in settings):
            raise
        _refuse(cls, list(settings), error)


def _refuse(
    cls: type[Any], names: Iterable[str], cause: Exception | None = None
) -> NoReturn:
    text = checks.message(
        f"{cls.__name__} must know each argument of the optimizer",
        {"arguments": names},
    )
    raise ValueError(text) from cause


def compile_like(
    model: keras.Model,
    source: keras.Model,
    optimizer: Any = None,
    loss: Any = None,
    metrics: Any = None,
) -> None:
    """Compiles `model` like `source`, except for the arguments given.

    By way of the compile config, so that metrics and losses with a state are new.
    """
    changes = {"optimizer": optimizer, "loss": loss, "metrics": metrics}
    if optimizer is None:
        changes["optimizer"] = make_optimizer(source.optimizer)
    changes = {name: value for name, value in changes.items() if value is not None}
    model_graph.compile_like(model, source, **changes)


def loss_name(model: keras.Model) -> str:
    """Names of the loss a model is compiled with and of its class, in lower case."""
    loss = _single_loss(model)
    name = str(getattr(loss, "name", None) or getattr(loss, "__name__", loss))
    if isinstance(loss, keras.losses.Loss):  # whose name may be any
        name = f"{name} {type(loss).__name__}"
    return name.lower()


def takes_logits(model: keras.Model) -> bool:
    """Whether the loss takes outputs before softmax or sigmoid."""
    return bool(getattr(_single_loss(model), "from_logits", False))


def _single_loss(model: keras.Model) -> Any:
    """The loss of a model, also where it is the one in a list or dict."""
    loss = model.loss
    if isinstance(loss, Mapping):
        loss = list(loss.values())
    if isinstance(loss, (list, tuple)) and len(loss) == 1:
        return loss[0]
    return loss
