"""Losses, targets and weights of an on-device training."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks, traversal
from keras_strategies._internal.select import Selection, Selector, weight_targets
from keras_strategies.export._common.model_signature import tensor_name

_DROPOUT_NAMES = ("Dropout", "GaussianNoise", "DropPath", "StochasticDepth")


def select_trained_weights(
    model: keras.Model, include: Selector | None, exclude: Selector | None
) -> list[str | None]:
    """Returns for each of `model.weights` its path, or None if it is frozen."""
    trainable = {id(variable) for variable in model.trainable_variables}
    if not trainable:
        checks.fail(
            "There must be a weight to train",
            fix="Set layer.trainable = True on the layers to train.",
            model=model.name,
        )
    targets = [x for x in weight_targets(model) if id(x.item) in trainable]
    chosen = Selection(include, exclude).choose(targets, "trainable weight")
    ids = {id(target.item) for target in chosen}
    # Without the model's own name, which depends on the models built before.
    prefix = f"{model.name}/"
    return [
        v.path.removeprefix(prefix) if id(v) in ids else None for v in model.weights
    ]


def serialized_losses(
    model: keras.Model, loss: Any, outputs: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns `{output name: JSON-ready loss}`; by default the compiled ones."""
    if loss is None:
        if not getattr(model, "compiled", False) or model.loss is None:
            fix = 'Pass loss="sparse_categorical_crossentropy", for example.'
            checks.fail(
                "`loss` is needed, as the model is not compiled", fix=fix, loss=None
            )
        weights = (model.get_compile_config() or {}).get("loss_weights")
        if weights is not None:
            fix = "Pass `loss` to say which losses to use, each of weight 1."
            rule = "The model must not be compiled with `loss_weights`"
            checks.fail(rule, fix=fix, loss_weights=weights)
        loss = model.loss
    named = _by_output(loss, outputs)
    return {
        name: _serialize(value) for name, value in named.items() if value is not None
    }


def _by_output(loss, outputs):
    fix = f"Give a dict by output name, {dict.fromkeys(outputs, 'mse')}."
    if isinstance(loss, dict):
        named = {tensor_name(str(name)): loss[name] for name in loss}
        if not named or not set(named) <= set(outputs):
            rule = f"`loss` must have keys among the outputs {list(outputs)}"
            checks.fail(rule, keys=list(map(str, loss)))
        return {name: named[name] for name in outputs if name in named}
    losses = loss if isinstance(loss, list | tuple) else [loss]
    if len(losses) != len(outputs):
        rule = f"`loss` must have one loss for each of the outputs {list(outputs)}"
        checks.fail(rule, fix=fix, losses=len(losses))
    return dict(zip(outputs, losses, strict=True))


def _serialize(loss):
    """A loss by name, object or function as the worker can read it."""
    if isinstance(loss, str):
        keras.losses.get(loss)  # an unknown name raises, with the name
        return loss
    name = getattr(loss, "__name__", type(loss).__name__)
    fix = "Use a loss of keras.losses, or register it in an importable module."
    if not callable(loss) or name == "<lambda>":
        checks.fail("`loss` must be a Keras loss", fix=fix, error=TypeError, loss=name)
    try:
        serialized = keras.saving.serialize_keras_object(loss)
        json.dumps(serialized)
    except (TypeError, ValueError) as error:
        rule = f"`loss` must be ready to be saved ({error})"
        checks.fail(rule, fix=fix, loss=name)
    return serialized


def target_specs(
    losses: Mapping[str, Any],
    outputs: Mapping[str, np.ndarray],
    inputs: Sequence[str] | Mapping[str, Any],
) -> dict[str, tuple[str, list[int], str]]:
    """Returns `{output name: (input name, shape of a sample, dtype)}`."""
    # An input of the model may itself be called "y".
    specs, used_names = {}, set(inputs)
    for name, loss in losses.items():
        target = "y" if len(losses) == 1 else f"y_{name}"
        target = f"{target}_target" if target in used_names else target
        used_names.add(target)
        shape = list(outputs[name].shape[1:])
        # Sparse losses compare class indices, without the axis of the classes.
        if "sparse" in _loss_name(loss):
            specs[name] = (target, shape[:-1], "int32")
        else:
            specs[name] = (target, shape, "float32")
    return specs


def _loss_name(loss):
    """The snake-case name of a serialized loss."""
    if isinstance(loss, dict):
        config = loss["config"]
        loss = config if isinstance(config, str) else loss["class_name"]
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", loss).lower()


def check_targets(
    y: Any, specs: Mapping[str, tuple[str, list[int], str]], count: int
) -> dict[str, np.ndarray]:
    """Returns the user's `y` as `{input name: array}`."""
    names = list(specs)
    if isinstance(y, dict):
        y = {tensor_name(str(key)): value for key, value in y.items()}
        if set(y) != set(names):
            rule = f"`verify[1]` must have the keys {names}"
            checks.fail(rule, keys=sorted(y))
    elif len(names) == 1:
        y = {names[0]: y}
    else:
        rule = f"`verify[1]` must be a dict with the keys {names}"
        checks.fail(rule, type=type(y).__name__)
    targets = {}
    for name, (target, shape, dtype) in specs.items():
        value = np.asarray(y[name])
        if value.dtype.kind not in "biuf" or value.size != count * int(np.prod(shape)):
            checks.fail(
                f"`verify[1]` for output '{name}' must have shape "
                f"{(count, *shape)} and hold numbers",
                shape=value.shape,
            )
        targets[target] = value.reshape((count, *shape)).astype(dtype)
    return targets


def generate_targets(
    losses: Mapping[str, Any],
    specs: Mapping[str, tuple[str, list[int], str]],
    outputs: Mapping[str, np.ndarray],
    count: int,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Generates targets that fit the losses where there are no real ones."""
    rng = np.random.default_rng(seed)
    targets = {}
    for name, (target, shape, dtype) in specs.items():
        loss_name = _loss_name(losses[name])
        num_classes = outputs[name].shape[-1]
        values = rng.random((count, *shape))
        if "sparse" in loss_name:
            values = rng.integers(0, num_classes, (count, *shape))
        elif "categorical" in loss_name or "kl" in loss_name:
            classes = rng.integers(0, num_classes, (count, *shape[:-1]))
            values = np.eye(num_classes)[classes]
        elif "binary" in loss_name or "hinge" in loss_name:
            values = values > 0.5
        targets[target] = values.astype(dtype)
    return targets


def difference_warnings(
    model: keras.Model, trained: Sequence[str | None], optimizer: Mapping[str, Any]
) -> list[str]:
    """Differences of training on the device from `fit`."""
    warnings = []
    layers = traversal.all_layers(model)
    dropouts = sorted({type(layer).__name__ for layer in layers if _is_dropout(layer)})
    if dropouts:
        warnings.append(f"Training on the device runs without {', '.join(dropouts)}.")
    ids = {id(v) for v, path in zip(model.weights, trained, strict=True) if path}
    norms = [x for x in layers if isinstance(x, keras.layers.BatchNormalization)]
    if any(id(v) in ids for layer in norms for v in layer.trainable_variables):
        warnings.append(
            "BatchNormalization keeps its stored mean and variance while training on "
            "the device; its scale and offset are trained."
        )
    embeddings = [x for x in layers if isinstance(x, keras.layers.Embedding)]
    if optimizer["kind"] == "Adam" and any(id(x.embeddings) in ids for x in embeddings):
        warnings.append(
            "Adam trains embeddings by the summed gradient of a row, as Keras does on "
            "JAX and Torch; `fit` on TensorFlow sums the squares of its parts instead."
        )
    return warnings


def _is_dropout(layer):
    return any(name in type(layer).__name__ for name in _DROPOUT_NAMES)
