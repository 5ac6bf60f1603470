"""Inputs of `TFLiteModel`: batches of named arrays, checked and cast."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies.export._common import NamedArrays, sample_data
from keras_strategies.export.artifact._interpreter import is_quantized


@dataclasses.dataclass(frozen=True)
class Slot:
    """One input or output of a signature as the interpreter sees it.

    Attributes:
        name: Its name.
        shape: Sizes, `None` for a free axis.
        dtype: NumPy type of the numbers to give: float32 for a quantized tensor
            whose integers stand for real numbers.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype

    @classmethod
    def from_details(
        cls, name: str, details: Mapping[str, Any], dequantize: bool
    ) -> "Slot":
        """Builds it from the interpreter's details of a tensor."""
        signature = details["shape_signature"]
        sizes = signature if len(signature) else details["shape"]
        shape = tuple(None if size < 0 else int(size) for size in sizes)
        is_real = dequantize and is_quantized(details)
        dtype = np.dtype("float32" if is_real else details["dtype"])
        return cls(name, shape, dtype)


@dataclasses.dataclass(frozen=True)
class Chunk:
    """Inputs of one inference: `size` rows in `feed`, of which `count` are samples.

    `targets` (by output name) and `weights` have `count` rows; `total` is the number
    of chunks, None if it is not known.
    """

    feed: NamedArrays
    size: int
    count: int
    targets: NamedArrays
    weights: np.ndarray | None
    total: int | None


def split_into_chunks(
    x: Any,
    y: Any,
    weights: Any,
    slots: Sequence[Slot],
    scored_slots: Sequence[Slot],
    batch_size: int | None,
    fixed_size: int | None,
) -> Iterator[Chunk]:
    """Yields the `Chunk`s of `x`.

    Args:
        x: Arrays, or an iterable of batches.
        y: Targets of arrays.
        weights: Sample weights of arrays.
        slots: The inputs.
        scored_slots: The outputs that need targets.
        batch_size: Samples in a chunk of arrays; None takes all. Batches of an
            iterable keep the size of the first one.
        fixed_size: Batch size of the artifact, or None.
    """
    is_whole, first_size = _is_arrays(x), None
    for inputs, batch_targets, batch_weights in _elements(x, y, weights):
        arrays = by_slot_name("x", inputs, slots)
        feed = {slot.name: fit_to_slot("x", arrays[slot.name], slot) for slot in slots}
        num_samples = _count_samples(feed)
        targets: NamedArrays = {}
        if scored_slots:
            targets = _named_targets(batch_targets, scored_slots, num_samples)
        if batch_weights is not None:
            batch_weights = _check_rows("sample_weight", batch_weights, num_samples)
        first_size = first_size or num_samples
        size = min(batch_size or num_samples, num_samples) if is_whole else first_size
        size = fixed_size or size
        total = -(-num_samples // size) if is_whole else None
        start = 0
        for batch, count in sample_data.full_batches(feed, size):
            rows = slice(start, start + count)
            part = sample_data.select_samples(targets, rows)
            row_weights = None if batch_weights is None else batch_weights[rows]
            yield Chunk(batch, size, count, part, row_weights, total)
            start += count


def _is_arrays(data):
    return isinstance(data, dict | list | tuple) or hasattr(data, "__array__")


def _elements(x, y=None, sample_weight=None):
    """Yields `(inputs, targets, weights)`: once for arrays, else batch by batch."""
    if _is_arrays(x):
        yield x, y, sample_weight
        return
    if y is not None or sample_weight is not None:
        fix = "Let its batches be (inputs, targets) or (inputs, targets, weights)."
        rule = "`y` and `sample_weight` must be None if `x` is an iterable of batches"
        checks.fail(rule, fix=fix, x=type(x).__name__)
    if isinstance(x, keras.utils.PyDataset):
        if x.num_batches is None:
            rule = "`x` must have an end"
            checks.fail(rule, fix="Give num_batches.", num_batches=None)
        x = map(x.__getitem__, range(x.num_batches))
    elif not hasattr(x, "__iter__"):
        checks.fail(
            "`x` must be an array, a dict by input name, a list of arrays or an "
            "iterable of batches",
            error=TypeError,
            x=type(x).__name__,
        )
    for batch in x:
        parts = batch if isinstance(batch, tuple) else (batch,)
        if not 1 <= len(parts) <= 3:
            rule = "Batches of `x` must be inputs or (inputs, targets, weights)"
            checks.fail(rule, parts=len(parts))
        yield (*parts, None, None)[:3]


def by_slot_name(name: str, data: Any, slots: Sequence[Slot]) -> NamedArrays:
    """Returns `data` as `{slot name: array}`, not yet checked."""
    names = [slot.name for slot in slots]
    if isinstance(data, dict):
        if sorted(map(str, data)) != sorted(names):
            rule = f"`{name}` must have the keys {names}"
            checks.fail(rule, keys=sorted(map(str, data)))
        return {key: sample_data.as_array(name, data[key]) for key in names}
    if isinstance(data, list | tuple):
        is_numbers = not any(hasattr(part, "__array__") for part in data)
        if len(names) == 1 and (is_numbers or len(data) != 1):
            return {names[0]: sample_data.as_array(name, data)}
        if len(data) != len(names):
            rule = f"`{name}` must have {len(names)} arrays, in the order of {names}"
            checks.fail(rule, arrays=len(data))
        kinds = {(slot.shape[1:], slot.dtype) for slot in slots}
        if len(kinds) < len(slots):
            # A file sorts its names, so the order is seldom the Keras model's.
            fix = f"Give a dict: {dict.fromkeys(names, 'array')}."
            rule = f"`{name}` must be a dict by name, as arrays of {names} look alike"
            checks.fail(rule, fix=fix, **{name: type(data).__name__})
        return {
            k: sample_data.as_array(name, value)
            for k, value in zip(names, data, strict=True)
        }
    if len(names) != 1:
        fix = "Give a dict by name, or a list in this order."
        rule = f"`{name}` must have one array for each of {names}"
        checks.fail(rule, fix=fix, **{name: type(data).__name__})
    return {names[0]: sample_data.as_array(name, data)}


def fit_to_slot(
    name: str, value: np.ndarray, slot: Slot, batched: bool = True
) -> np.ndarray:
    """Returns `value` in the dtype of `slot`, or refuses its shape or type.

    Args:
        name: The argument's name, for messages.
        value: An array.
        slot: The input that it is for.
        batched: Whether the first axis holds any number of samples.
    """
    expected = (None, *slot.shape[1:]) if batched else slot.shape
    fits = value.ndim == len(expected) and all(
        size in (None, actual)
        for size, actual in zip(expected, value.shape, strict=True)
    )
    if not fits:
        sizes = ["any" if size is None else str(size) for size in expected]
        sizes[:1] = ["samples"] if batched else sizes[:1]
        is_one_sample = batched and value.ndim == len(expected) - 1
        fix = "Add the sample axis: x[None]." if is_one_sample else ""
        rule = f"`{name}` for '{slot.name}' must have shape ({', '.join(sizes)})"
        checks.fail(rule, fix=fix, shape=value.shape)
    return np.ascontiguousarray(_cast(name, value, slot))


def _cast(name, value, slot):
    """Casts to the dtype of `slot` where at most digits of a float are lost."""
    dtype, kind = slot.dtype, value.dtype.kind
    if dtype.kind in "SUO":
        return value  # text: the interpreter checks it
    if kind == "V" and "float" in value.dtype.name:  # bfloat16 and similar types
        value, kind = value.astype("float32"), "f"
    accepted = {"f": "biuf", "b": "b", "c": "biufc"}.get(dtype.kind, "biu")
    if kind == "f" and dtype.kind in "iu" and np.array_equal(value, np.round(value)):
        kind = "i"  # whole numbers, such as ids that came as floats
    if kind in "iu" and dtype.kind == "b" and np.isin(value, (0, 1)).all():
        kind = "b"
    if kind not in accepted:
        rule = f"`{name}` for '{slot.name}' must hold {dtype} values"
        fix = f"Cast it if that loses nothing: x.astype('{dtype}')."
        checks.fail(rule, fix=fix, dtype=str(value.dtype))
    if dtype.kind in "iu" and value.size:
        limits = np.iinfo(dtype)
        low, high = value.min(), value.max()
        if low < limits.min or high > limits.max:
            rule = f"`{name}` for '{slot.name}' must fit {dtype}"
            checks.fail(rule, smallest=low.item(), largest=high.item())
    return value.astype(dtype, copy=False)


def _count_samples(feed):
    """Returns the number of samples, the same for all inputs."""
    sizes = {name: len(value) for name, value in feed.items()}
    if len(set(sizes.values())) != 1:
        checks.fail("`x` must have as many samples for each input", **sizes)
    count = next(iter(sizes.values()))
    if not count:
        checks.fail("`x` must not be empty", samples=0)
    return count


def _named_targets(targets, scored_slots, num_samples):
    """Returns `{output name: targets}` for the scored outputs."""
    if targets is None:
        fix = "Give `y`, or batches of (inputs, targets)."
        checks.fail("`evaluate` needs targets", fix=fix, y=None)
    if isinstance(targets, dict):
        names = [slot.name for slot in scored_slots]
        targets = {key: value for key, value in targets.items() if key in names}
    arrays = by_slot_name("y", targets, scored_slots)
    return {key: _check_rows("y", value, num_samples) for key, value in arrays.items()}


def _check_rows(name, value, num_samples):
    value = sample_data.as_array(name, value)
    if value.ndim == 0 or len(value) != num_samples:
        rule = f"`{name}` must have one row for each of the {num_samples} samples"
        checks.fail(rule, shape=value.shape)
    return value
