"""Compiling a model like another one, with some of it changed."""

import keras

from keras_strategies._internal import checks, model_graph
from keras_strategies.tuning import _task


def make_optimizer(given, settings=None):
    """A new optimizer from a name, a class or another one, with `settings` changed."""
    settings = settings or {}
    if isinstance(given, str):
        known = _task.optimizers()
        if given.lower() in known:
            return _new(known[given.lower()], settings)
        given = keras.optimizers.get(given)
    if isinstance(given, type):
        return _new(given, settings)
    checks.instance("optimizer", given, keras.optimizers.Optimizer)
    config = given.get_config()
    unknown = [name for name in settings if name not in config]
    if unknown:
        _refuse(type(given), unknown)
    return type(given).from_config({**config, **settings})


def _new(cls, settings):
    try:
        return cls(**settings)
    except (TypeError, ValueError) as error:
        # Keras refuses a name that it does not know by either.
        if not any(name in str(error) for name in settings):
            raise
        _refuse(cls, list(settings), error)


def _refuse(cls, names, cause=None):
    text = checks.message(
        f"{cls.__name__} must know each argument of the optimizer",
        {"arguments": names},
    )
    raise ValueError(text) from cause


def compile_like(model, source, optimizer=None, loss=None, metrics=None):
    """Compiles `model` like `source`, but for what is given; its metrics are new."""
    changes = {"optimizer": optimizer, "loss": loss, "metrics": metrics}
    if optimizer is None:
        changes["optimizer"] = make_optimizer(source.optimizer)
    changes = {name: value for name, value in changes.items() if value is not None}
    return model_graph.compile_like(model, source, **changes)


def loss_name(model):
    """Name of the loss a model is compiled with, in lower case with underscores."""
    loss = model.loss
    return str(getattr(loss, "name", None) or getattr(loss, "__name__", loss)).lower()


def wants_logits(model):
    """Whether the loss takes outputs before softmax or sigmoid."""
    return bool(getattr(model.loss, "from_logits", False))
