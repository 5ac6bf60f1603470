"""Verification and calibration data as named arrays, checked early."""

import itertools
import os

import keras
import numpy as np

from keras_strategies._internal import checks, walking
from keras_strategies.export._common import image_folder

# Samples drawn from an iterable of batches, which may have no end.
ITERABLE_LIMIT = 1024
# Samples made up where there are no data, and taken from the calibration data.
GENERATED = 64
VERIFIED = 256


def arrays(name, data, specs, normalization=None):
    """Returns `data` as `{input name: array}`, samples first, in spec order.

    Args:
        name: The argument's name, for messages.
        data: An array for a single input; a dict by input name; a list or tuple
            with one array for each input; or an iterable of batches, such as a
            `tf.data.Dataset` or `keras.utils.PyDataset`, whose elements are
            inputs or `(inputs, targets, ...)`; or the path of a folder of images.
        specs: List of `_signature.Spec`.
        normalization: Metadata entry that images of a folder go through.
    """
    if isinstance(data, str | os.PathLike):
        data = image_folder.read(name, data, specs, ITERABLE_LIMIT, normalization)
    if isinstance(data, dict | list | tuple) or hasattr(data, "__array__"):
        named = _named(name, data, specs)
    elif isinstance(data, keras.utils.PyDataset) or hasattr(data, "__iter__"):
        named = _from_batches(name, data, specs)
    else:
        checks.fail(
            f"`{name}` must be an array, a dict by input name, a list of arrays, an "
            "iterable of batches or a folder of images",
            error=TypeError,
            **{name: type(data).__name__},
        )
    checked = {spec.name: _checked(name, named[spec.name], spec) for spec in specs}
    sizes = {key: len(value) for key, value in checked.items()}
    if len(set(sizes.values())) > 1:
        checks.fail(f"`{name}` must have as many samples for each input", **sizes)
    if 0 in sizes.values():
        checks.fail(f"`{name}` must not be empty", samples=0, fix="Give real inputs.")
    return checked


def _named(name, data, specs):
    names = [spec.name for spec in specs]
    if isinstance(data, dict):
        if sorted(data) != sorted(names):
            fix = "Use the model's input names as keys."
            rule = f"`{name}` must have the keys {names}"
            checks.fail(rule, fix=fix, keys=sorted(map(str, data)))
        return data
    if isinstance(data, list | tuple):
        if len(data) != len(names):
            fix = "Give one array for each input, or a dict by input name."
            if len(names) == 1:
                fix = "The model has one input: give one array, samples first."
            rule = f"`{name}` must have {len(names)} arrays, one for each input"
            checks.fail(rule, fix=fix, arrays=len(data), inputs=names)
        return dict(zip(names, data, strict=True))
    if len(names) != 1:
        example = dict.fromkeys(names, "array")
        fix = f"Give a dict by input name: {example}."
        checks.fail(
            f"`{name}` must have one array for each of {len(names)} inputs",
            fix=fix,
            **{name: type(data).__name__},
        )
    return {names[0]: data}


def _from_batches(name, data, specs):
    if isinstance(data, keras.utils.PyDataset):
        total = data.num_batches  # None: without end
        order = itertools.count() if total is None else range(total)
        data = map(data.__getitem__, order)
    parts, count = [], 0
    for batch in data:
        inputs = batch[0] if isinstance(batch, tuple) else batch
        part = {
            key: _numpy(name, value)
            for key, value in _named(name, inputs, specs).items()
        }
        parts.append(part)
        count += max((len(value) for value in part.values() if value.ndim), default=1)
        if count >= ITERABLE_LIMIT:
            break
    if not parts:
        checks.fail(f"`{name}` must not be empty", batches=0, fix="Give real inputs.")
    try:
        return {
            spec.name: np.concatenate([part[spec.name] for part in parts])[
                :ITERABLE_LIMIT
            ]
            for spec in specs
        }
    except ValueError as error:
        message = f"`{name}` must have batches of the same sample shape. {error}."
        raise ValueError(message) from error


def _numpy(name, value):
    try:
        if keras.ops.is_tensor(value):
            return keras.ops.convert_to_numpy(value)
        return np.asarray(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"`{name}` must hold arrays of numbers. {error}.") from error


def _checked(name, value, spec):
    value = _numpy(name, value)
    if value.dtype.kind not in "biuf":
        checks.fail(f"`{name}` must hold numbers or booleans", dtype=str(value.dtype))
    wanted = spec.shape[1:]
    shape = ("samples", *wanted)
    fits = value.ndim == len(shape) and all(
        size in (None, actual)
        for size, actual in zip(wanted, value.shape[1:], strict=True)
    )
    if not fits:
        one = value.ndim == len(wanted)
        fix = "Add the sample axis: data[None]." if one else ""
        text = ", ".join("any" if size is None else str(size) for size in shape)
        rule = f"`{name}` for input '{spec.name}' must have shape ({text})"
        checks.fail(rule, fix=fix, shape=value.shape)
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        fix = "Remove NaN and infinity before exporting."
        rule = f"`{name}` for input '{spec.name}' must be finite"
        checks.fail(rule, fix=fix, non_finite=int((~np.isfinite(value)).sum()))
    kind = np.dtype(spec.dtype).kind
    if kind in "iu" and value.dtype.kind == "f" and (value != np.round(value)).any():
        rule = f"`{name}` for input '{spec.name}' must hold whole numbers"
        checks.fail(rule, dtype=str(value.dtype), wanted=spec.dtype)
    return np.ascontiguousarray(value.astype(spec.dtype))


def generate(model, specs, count=GENERATED, seed=0):
    """Makes up `count` samples for each input where there are no real ones.

    Floats: one half standard normal, one half uniform in [0, 1), times 255 if the
    model rescales pixels. Integers: below the smallest `Embedding` of the model,
    else 0 or 1. Free axes get 16 entries.
    """
    rng = np.random.default_rng(seed)
    layers = walking.all_layers(model)
    embeddings = [x.input_dim for x in layers if isinstance(x, keras.layers.Embedding)]
    pixels = any(
        isinstance(layer, keras.layers.Rescaling)
        and np.ndim(layer.scale) == 0
        and abs(layer.scale) <= 1 / 64
        for layer in layers
    )
    samples = {}
    for spec in specs:
        shape = (count, *(16 if size is None else size for size in spec.shape[1:]))
        kind = np.dtype(spec.dtype).kind
        if kind == "f":
            values = rng.normal(size=shape)
            values[count // 2 :] = rng.random((count - count // 2, *shape[1:]))
            values = np.abs(values) * 255 if pixels else values
        else:
            high = 2 if kind == "b" else min(embeddings, default=2)
            values = rng.integers(0, high, size=shape)
        samples[spec.name] = values.astype(spec.dtype)
    return samples


def head(samples, count):
    """Returns the first `count` samples of each input."""
    return {name: values[:count] for name, values in samples.items()}


def batches(samples, size):
    """Yields `(arrays, count)` in full batches; the last repeats its last sample."""
    total = len(next(iter(samples.values())))
    for start in itertools.count(0, size):
        if start >= total:
            return
        count = min(size, total - start)
        rows = np.minimum(np.arange(start, start + size), total - 1)
        yield {name: values[rows] for name, values in samples.items()}, count
