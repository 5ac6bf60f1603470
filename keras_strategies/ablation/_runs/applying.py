"""Applying strategies to a model and to its training data."""

import contextlib
import inspect
import logging
import random
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import compile_arguments
from keras_strategies.ablation._runs.batches import Batches, fresh_layer
from keras_strategies.ablation._runs.samples import Samples
from keras_strategies.ablation._strategy import Strategy


@contextlib.contextmanager
def clean_keras(settings: dict[str, Any]) -> Iterator[None]:
    """Names of layers begin anew; what is global is as before afterwards."""
    mine = current_settings()
    states = random.getstate(), np.random.get_state()
    logger = logging.getLogger("tensorflow")
    _restart(settings)
    logger.addFilter(_is_no_retracing)
    try:
        yield
    finally:
        logger.removeFilter(_is_no_retracing)
        _restart(mine)
        random.setstate(states[0])
        np.random.set_state(states[1])


def _is_no_retracing(record: logging.LogRecord) -> bool:
    """Every training is a new model, which TensorFlow warns about as if in vain."""
    return "triggered tf.function retracing" not in record.getMessage()


def current_settings() -> dict[str, Any]:
    """Global settings of Keras that `clear_session` forgets."""
    return {
        "policy": keras.config.dtype_policy().name,
        "logging": keras.config.is_interactive_logging_enabled(),
    }


def _restart(settings):
    distribution = keras.distribution.distribution()
    # Collecting garbage takes longer than a small training; see `training._tidy`.
    keras.utils.clear_session(free_memory=False)
    keras.config.set_dtype_policy(settings["policy"])
    if not settings["logging"]:
        keras.config.disable_interactive_logging()
    if distribution is not None:
        keras.distribution.set_distribution(distribution)


def built(build_fn: Any, samples: Samples, seed: int) -> keras.Model:
    """The baseline, compiled and with the initial weights of a seed."""
    keras.utils.set_random_seed(seed)
    model = build_fn()
    if not isinstance(model, keras.Model) or not model.compiled:
        checks.fail(
            "`build_fn` must return a compiled keras.Model",
            returned=model if not isinstance(model, keras.Model) else model.name,
            compiled=getattr(model, "compiled", False),
            fix="Call `model.compile(...)` in it.",
        )
    if not model.built:
        model(keras.tree.map_structure(_tensor, samples.rows(np.arange(1)).x))
    return model


def _tensor(leaf):
    return leaf if leaf.dtype.kind in "OSU" else keras.ops.convert_to_tensor(leaf)


def apply_to_model(
    model: keras.Model, strategies: Sequence[Strategy], x: Any
) -> keras.Model:
    """The model with the changes of all strategies, compiled once more if needed."""
    arguments, changed = compile_arguments(model), False
    for strategy in strategies:
        if strategy.model is None:
            continue
        result = strategy.change_model(model, x)
        model = checks.instance(f"{strategy.name}.model(model)", result, keras.Model)
        if model.compiled:
            arguments = compile_arguments(model)
        changed = True
    # A strategy wraps the optimizer itself, not the loss scaling around it.
    optimizer = _inner(model.optimizer if model.compiled else arguments["optimizer"])
    for strategy in strategies:
        if strategy.optimizer is not None:
            optimizer = checks.instance(
                f"{strategy.name}.optimizer(optimizer)",
                strategy.optimizer(optimizer),
                keras.optimizers.Optimizer,
            )
            changed = True
    if changed:
        model.compile(**{**arguments, "optimizer": _unbuilt(optimizer)})
    return model


def _inner(optimizer):
    """The optimizer itself; `compile` wraps it again where precision needs it."""
    optimizer = keras.optimizers.get(optimizer)
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return optimizer.inner_optimizer
    return optimizer


def _unbuilt(optimizer):
    """One without variables, which are those of the weights of another model."""
    if not optimizer.built:
        return optimizer
    return type(optimizer).from_config(optimizer.get_config())


def training_data(
    samples: Samples, strategies: Sequence[Strategy], batch_size: int, seed: int
) -> tuple[Any, Any]:
    """`(dataset, targets)`: what `fit` is given, and the targets if they are known."""
    layers = []
    for change in [c for s in strategies for c in s.data_changes()]:
        if not isinstance(samples, Samples):
            checks.fail(
                "a change of the data must come before one that returns a dataset",
                change=change,
            )
        if isinstance(change, keras.layers.Layer):
            layers.append(fresh_layer(change, seed))
        elif hasattr(change, "flow"):
            samples = change.flow(
                samples.x, samples.y, batch_size=batch_size, seed=seed
            )
        else:
            result = called(change, samples)
            if isinstance(result, keras.layers.Layer):
                layers.append(fresh_layer(result, seed))
            else:
                samples = result
    if isinstance(samples, Samples):
        return Batches(samples, batch_size, seed, layers), samples.y
    if layers:
        checks.fail("a layer cannot change the batches of a dataset", layers=layers)
    return samples, None


def weighs(change: Any, samples: Samples) -> bool:
    """Whether a function of the data is given the weights of the samples."""
    return samples.weight is not None and _takes_weights(change)


def called(change: Any, samples: Samples) -> Any:
    """The result of a function of the data: `Samples`, a layer or a dataset."""
    has_weights = weighs(change, samples)
    result = change(*samples.parts) if has_weights else change(samples.x, samples.y)
    if not isinstance(result, tuple) or len(result) not in (2, 3):
        return result
    changed = Samples(*(_as_arrays(part) for part in result))
    if has_weights or samples.weight is None:
        return changed
    if len(changed) != len(samples):
        checks.fail(
            "a function that changes the number of samples must take and return "
            "sample weights if there are some",
            function=getattr(change, "__name__", change),
        )
    return Samples(changed.x, changed.y, samples.weight)


def _takes_weights(function):
    """Whether a function has a third positional parameter."""
    parameters = inspect.signature(function).parameters.values()
    positional = [
        p
        for p in parameters
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        and p.default is p.empty
    ]
    return len(positional) > 2 or any(p.kind == p.VAR_POSITIONAL for p in parameters)


def _as_arrays(nest):
    if nest is None or isinstance(nest, list):
        return None if nest is None else np.asarray(nest)
    return keras.tree.map_structure(
        lambda leaf: (
            np.asarray(keras.ops.convert_to_numpy(leaf))
            if keras.ops.is_tensor(leaf)
            else np.asarray(leaf)
        ),
        nest,
    )


def like_targets(y: Any, targets: Any) -> Any:
    """Validation targets `y` as one-hot vectors if the training targets became so."""
    if targets is None or not hasattr(targets, "shape") or not hasattr(y, "shape"):
        return y
    if targets.ndim == 2 and y.size == len(y) and targets.shape[1] > 1:
        return keras.utils.to_categorical(y.reshape(-1), targets.shape[1])
    return y


def fit_arguments(strategies: Sequence[Strategy], **defaults: Any) -> dict[str, Any]:
    """Arguments of `fit`: those of the study, replaced by those of strategies."""
    arguments = dict(defaults)
    for strategy in strategies:
        arguments.update(strategy.fit or {})
    return arguments
