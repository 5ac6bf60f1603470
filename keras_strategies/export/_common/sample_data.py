"""Verification and calibration data as named arrays, checked early."""

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import keras
import numpy as np

from keras_strategies._internal import checks, traversal
from keras_strategies.export._common.image_folder import read_images
from keras_strategies.export._common.model_signature import Spec
from keras_strategies.export._common.named_arrays import NamedArrays

#: Data in any form that `named_samples` accepts.
InputData: TypeAlias = (
    np.ndarray | Iterable[Any] | keras.utils.PyDataset | str | os.PathLike[str]
)

# Samples drawn from an iterable of batches, which may have no end.
ITERABLE_LIMIT = 1024
# Samples generated where there are no data, and drawn from the calibration data.
NUM_GENERATED = 64
NUM_VERIFIED = 256
# Fewest calibration samples that some are held out of to check on, and the fewest of
# those.
_MIN_SPLIT, _MIN_HELD_OUT = 40, 20

GENERATED_WARNING = (
    "Verified on made-up inputs only: pass real ones as `verify` for an agreement "
    "that means something."
)


def named_samples(
    name: str,
    data: InputData,
    specs: Sequence[Spec],
    normalization: Mapping[str, Any] | None = None,
) -> NamedArrays:
    """Returns `data` as `{input name: array}`, samples first, in spec order.

    Args:
        name: The argument's name, for messages.
        data: An array for a single input; a dict by input name; a list or tuple
            with one array for each input; or an iterable of batches, such as a
            `tf.data.Dataset` or `keras.utils.PyDataset`, whose elements are
            inputs or `(inputs, targets, ...)`; or the path of a folder of images.
        specs: List of `Spec`.
        normalization: Metadata entry that images of a folder go through.
    """
    if isinstance(data, str | os.PathLike):
        data = read_images(name, data, specs, ITERABLE_LIMIT, normalization)
    if isinstance(data, dict | list | tuple) or hasattr(data, "__array__"):
        arrays = _by_input_name(name, data, specs)
    elif isinstance(data, keras.utils.PyDataset) or hasattr(data, "__iter__"):
        arrays = _from_batches(name, data, specs)
    else:
        checks.fail(
            f"`{name}` must be an array, a dict by input name, a list of arrays, an "
            "iterable of batches or a folder of images",
            error=TypeError,
            **{name: type(data).__name__},
        )
    samples = {spec.name: _validated(name, arrays[spec.name], spec) for spec in specs}
    sizes = {key: len(value) for key, value in samples.items()}
    if len(set(sizes.values())) > 1:
        checks.fail(f"`{name}` must have as many samples for each input", **sizes)
    if 0 in sizes.values():
        checks.fail(f"`{name}` must not be empty", samples=0, fix="Give real inputs.")
    return samples


def _by_input_name(name, data, specs):
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
    """Joins the inputs of batches until `ITERABLE_LIMIT` samples are drawn."""
    if isinstance(data, keras.utils.PyDataset):
        num_batches = data.num_batches  # None: without end
        indices = itertools.count() if num_batches is None else range(num_batches)
        data = map(data.__getitem__, indices)
    parts, num_samples = [], 0
    for batch in data:
        inputs = batch[0] if isinstance(batch, tuple) else batch
        part = {
            key: as_array(name, value)
            for key, value in _by_input_name(name, inputs, specs).items()
        }
        parts.append(part)
        sizes = [len(value) for value in part.values() if value.ndim]
        num_samples += max(sizes, default=1)
        if num_samples >= ITERABLE_LIMIT:
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


def as_array(name: str, value: Any) -> np.ndarray:
    """Returns `value`, a tensor of any backend or nested numbers, as an array."""
    try:
        if keras.ops.is_tensor(value):
            return keras.ops.convert_to_numpy(value)
        return np.asarray(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"`{name}` must hold arrays of numbers. {error}.") from error


def _validated(name, value, spec):
    """Returns `value` in the dtype of `spec`, or refuses its shape or values."""
    value = as_array(name, value)
    if value.dtype.kind not in "biuf":
        checks.fail(f"`{name}` must hold numbers or booleans", dtype=str(value.dtype))
    sample_shape = spec.shape[1:]
    shape = ("samples", *sample_shape)
    fits = value.ndim == len(shape) and all(
        size in (None, actual)
        for size, actual in zip(sample_shape, value.shape[1:], strict=True)
    )
    if not fits:
        is_one_sample = value.ndim == len(sample_shape)
        fix = "Add the sample axis: data[None]." if is_one_sample else ""
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
    if kind in "iub" and value.size:
        # A cast would wrap around without a word.
        limits = np.iinfo(spec.dtype) if kind != "b" else None
        smallest, largest = (0, 1) if limits is None else (limits.min, limits.max)
        low, high = value.min(), value.max()
        if low < smallest or high > largest or (kind == "b" and (value % 1).any()):
            rule = f"`{name}` for input '{spec.name}' must fit into {spec.dtype}"
            checks.fail(rule, smallest=low.item(), largest=high.item())
    return np.ascontiguousarray(value.astype(spec.dtype))


def generate_samples(
    model: keras.Model, specs: Sequence[Spec], count: int = NUM_GENERATED, seed: int = 0
) -> NamedArrays:
    """Generates `count` samples for each input where there are no real ones.

    Floats: one half standard normal, one half uniform in [0, 1), times 255 if the
    model rescales pixels. Integers: below the smallest `Embedding` of the model,
    else 0 or 1. Free axes get 16 entries.
    """
    rng = np.random.default_rng(seed)
    layers = traversal.all_layers(model)
    vocabularies = [
        x.input_dim for x in layers if isinstance(x, keras.layers.Embedding)
    ]
    # A layer that divides by 64 or more expects pixels of 0 to 255.
    rescales_pixels = any(
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
            # Both kinds of input that are usual: standardized, and in [0, 1).
            values = rng.normal(size=shape)
            values[count // 2 :] = rng.random((count - count // 2, *shape[1:]))
            values = np.abs(values) * 255 if rescales_pixels else values
        else:
            high = 2 if kind == "b" else min(vocabularies, default=2)
            values = rng.integers(0, high, size=shape)
        samples[spec.name] = values.astype(spec.dtype)
    return samples


def num_samples(samples: Mapping[str, np.ndarray]) -> int:
    """Returns the number of samples, which is the same for each input."""
    return len(next(iter(samples.values())))


def first_samples(samples: Mapping[str, np.ndarray], count: int) -> NamedArrays:
    """Returns the first `count` samples of each input."""
    return {name: values[:count] for name, values in samples.items()}


def select_samples(
    samples: Mapping[str, np.ndarray], rows: np.ndarray | slice
) -> NamedArrays:
    """Returns the samples at `rows` of each input."""
    return {name: values[rows] for name, values in samples.items()}


def join_samples(parts: Sequence[Mapping[str, np.ndarray]]) -> NamedArrays:
    """Returns the samples of several parts, one after the other."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def hold_out(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns `(rows to calibrate on, rows to check on)`, both in their order.

    A fifth, but at least 20 and at most 256, is held out at random: data are often
    sorted by class or time. Of fewer than 40 samples none is.
    """
    if count < _MIN_SPLIT:
        return np.arange(count), np.arange(0)
    size = min(max(count // 5, _MIN_HELD_OUT), NUM_VERIFIED)
    rows = np.random.default_rng(0).permutation(count)
    return np.sort(rows[size:]), np.sort(rows[:size])


def fraction_outside(
    samples: Mapping[str, np.ndarray], calibrated: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """Returns the fraction of `samples` with values outside of the calibrated range.

    The range is that of all values of a floating-point input, plus 5 % of it.
    """
    fractions = {}
    for name, values in samples.items():
        known = calibrated[name]
        if values.dtype.kind != "f" or not values.size:
            continue
        low, high = float(known.min()), float(known.max())
        slack = 0.05 * (high - low)
        flat = values.reshape(len(values), -1)
        outside = (flat < low - slack) | (flat > high + slack)
        fractions[name] = float(outside.any(axis=1).mean())
    return fractions


def full_batches(
    samples: Mapping[str, np.ndarray], size: int
) -> Iterator[tuple[NamedArrays, int]]:
    """Yields `(arrays, count)` in full batches; the last repeats its last sample.

    An artifact of fixed batch size accepts no smaller batch; `count` is the number of
    real samples in it.
    """
    total = num_samples(samples)
    for start in range(0, total, size):
        count = min(size, total - start)
        rows = np.minimum(np.arange(start, start + size), total - 1)
        yield select_samples(samples, rows), count


def rows_of_batch(
    outputs: Mapping[str, np.ndarray], size: int, count: int
) -> NamedArrays:
    """Returns the first `count` rows of the outputs of a batch of `size` samples.

    An output without a batch axis becomes a single row.
    """
    return {
        name: value[:count] if value.shape[:1] == (size,) else value[None]
        for name, value in outputs.items()
    }
