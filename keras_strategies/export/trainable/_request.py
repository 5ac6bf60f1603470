"""What of a model is to be trained on the device: losses, targets, weights."""

import json
import re

import keras
import numpy as np

from keras_strategies._internal import checks, walking
from keras_strategies.export._common import model_signature

_DROPS = ("Dropout", "GaussianNoise", "DropPath", "StochasticDepth")


def trained(model, trainable):
    """Returns for each of `model.weights` its path, or None if it is frozen."""
    chosen = {id(variable) for variable in model.trainable_variables}
    if trainable is not None:
        pattern = checks.pattern("trainable", trainable)
        paths = {id(v): v.path for v in model.trainable_variables}
        chosen = {key for key, path in paths.items() if pattern.search(path)}
    if not chosen:
        known = [variable.path for variable in model.trainable_variables]
        checks.fail(
            "There must be a weight to train",
            fix=f"`trainable` is searched in {known[:8]}."
            if known
            else "Set layer.trainable = True on the layers to train.",
            trainable=trainable,
        )
    # Without the model's own name, which changes with what was built before.
    own = f"{model.name}/"
    return [
        v.path.removeprefix(own) if id(v) in chosen else None for v in model.weights
    ]


def losses(model, loss, outputs):
    """Returns `{output name: JSON-ready loss}`; by default the compiled ones."""
    if loss is None:
        if not getattr(model, "compiled", False) or model.loss is None:
            fix = 'Pass loss="sparse_categorical_crossentropy", for example.'
            checks.fail("`loss` is needed, as the model is not compiled", fix=fix)
        if (model.get_compile_config() or {}).get("loss_weights") is not None:
            fix = "Pass `loss` to say which losses to use, each of weight 1."
            checks.fail("The model is compiled with `loss_weights`", fix=fix)
        loss = model.loss
    named = _by_output(loss, outputs)
    return {name: _ready(value) for name, value in named.items() if value is not None}


def _by_output(loss, outputs):
    fix = f"Give a dict by output name, {dict.fromkeys(outputs, 'mse')}."
    if isinstance(loss, dict):
        named = {model_signature.tensor_name(str(name)): loss[name] for name in loss}
        if not named or not set(named) <= set(outputs):
            rule = f"`loss` must have keys among the outputs {list(outputs)}"
            checks.fail(rule, keys=list(map(str, loss)))
        return {name: named[name] for name in outputs if name in named}
    several = loss if isinstance(loss, list | tuple) else [loss]
    if len(several) != len(outputs):
        rule = f"`loss` must have one loss for each of the outputs {list(outputs)}"
        checks.fail(rule, fix=fix, losses=len(several))
    return dict(zip(outputs, several, strict=True))


def _ready(loss):
    """A loss by name, object or function as the worker can read it."""
    if isinstance(loss, str):
        keras.losses.get(loss)  # an unknown name raises, with the name
        return loss
    name = getattr(loss, "__name__", type(loss).__name__)
    fix = "Use a loss of keras.losses, or register it in an importable module."
    if not callable(loss) or name == "<lambda>":
        checks.fail("`loss` must be a Keras loss", fix=fix, error=TypeError, loss=name)
    try:
        ready = keras.saving.serialize_keras_object(loss)
        json.dumps(ready)
    except (TypeError, ValueError) as error:
        rule = f"`loss` must be ready to be saved ({error})"
        checks.fail(rule, fix=fix, loss=name)
    return ready


def targets(named_losses, outputs, inputs):
    """Returns `{output name: (input name, shape of a sample, dtype)}`."""
    found, taken = {}, set(inputs)
    for name, loss in named_losses.items():
        given = "y" if len(named_losses) == 1 else f"y_{name}"
        given = f"{given}_target" if given in taken else given
        taken.add(given)
        shape = list(outputs[name].shape[1:])
        if "sparse" in _loss_name(loss):
            found[name] = (given, shape[:-1], "int32")
        else:
            found[name] = (given, shape, "float32")
    return found


def _loss_name(loss):
    if isinstance(loss, dict):
        config = loss["config"]
        loss = config if isinstance(config, str) else loss["class_name"]
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", loss).lower()


def given_targets(y, wanted, count):
    """Returns the user's `y` as `{input name: array}`."""
    names = list(wanted)
    if isinstance(y, dict):
        y = {model_signature.tensor_name(str(key)): value for key, value in y.items()}
        if set(y) != set(names):
            rule = f"`verify[1]` must have the keys {names}"
            checks.fail(rule, keys=sorted(y))
    elif len(names) == 1:
        y = {names[0]: y}
    else:
        checks.fail(f"`verify[1]` must be a dict with the keys {names}")
    found = {}
    for name, (given, shape, dtype) in wanted.items():
        value = np.asarray(y[name])
        if value.dtype.kind not in "biuf" or value.size != count * int(np.prod(shape)):
            checks.fail(
                f"`verify[1]` for output '{name}' must have shape "
                f"{(count, *shape)} and hold numbers",
                shape=value.shape,
            )
        found[given] = value.reshape((count, *shape)).astype(dtype)
    return found


def made_up_targets(named_losses, wanted, outputs, count, seed=0):
    """Targets that fit the losses where there are no real ones."""
    rng = np.random.default_rng(seed)
    found = {}
    for name, (given, shape, dtype) in wanted.items():
        kind = _loss_name(named_losses[name])
        size = outputs[name].shape[-1]
        values = rng.random((count, *shape))
        if "sparse" in kind:
            values = rng.integers(0, size, (count, *shape))
        elif "categorical" in kind or "kl" in kind:
            values = np.eye(size)[rng.integers(0, size, (count, *shape[:-1]))]
        elif "binary" in kind or "hinge" in kind:
            values = values > 0.5
        found[given] = values.astype(dtype)
    return found


def warnings(model, chosen, optimizer):
    """What differs from `fit`."""
    found = []
    layers = walking.all_layers(model)
    drops = sorted({type(x).__name__ for x in layers if _drops(x)})
    if drops:
        found.append(f"Training on the device runs without {', '.join(drops)}.")
    ids = {id(v) for v, path in zip(model.weights, chosen, strict=True) if path}
    normal = [x for x in layers if isinstance(x, keras.layers.BatchNormalization)]
    if any(id(v) in ids for x in normal for v in x.trainable_variables):
        found.append(
            "BatchNormalization keeps its stored mean and variance while training on "
            "the device; its scale and offset are trained."
        )
    rows = [x for x in layers if isinstance(x, keras.layers.Embedding)]
    if optimizer["kind"] == "Adam" and any(id(x.embeddings) in ids for x in rows):
        found.append(
            "Adam trains embeddings by the summed gradient of a row, as Keras does on "
            "JAX and Torch; `fit` on TensorFlow sums the squares of its parts instead."
        )
    return found


def _drops(layer):
    return any(mark in type(layer).__name__ for mark in _DROPS)
