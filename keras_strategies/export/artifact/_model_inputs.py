"""What `TFLiteModel` is given: batches of named arrays, checked and cast."""

import dataclasses

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies.export._common import sample_data


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
    shape: tuple
    dtype: np.dtype

    @classmethod
    def of(cls, name, entry, dequantize):
        """Builds it from the interpreter's details of a tensor."""
        signature = entry["shape_signature"]
        sizes = signature if len(signature) else entry["shape"]
        shape = tuple(None if size < 0 else int(size) for size in sizes)
        dtype = np.dtype(entry["dtype"])
        if dequantize and entry["quantization"][0] and dtype.kind in "iu":
            dtype = np.dtype("float32")
        return cls(name, shape, dtype)


@dataclasses.dataclass(frozen=True)
class Chunk:
    """What one inference takes: `size` rows in `feed`, of which `count` are asked for.

    `targets` (by output name) and `weights` have `count` rows; `total` is the number
    of chunks, None if it is not known.
    """

    feed: dict
    size: int
    count: int
    targets: dict
    weights: np.ndarray | None
    total: int | None


def chunks(x, y, weights, slots, scored, size, fixed):
    """Yields the `Chunk`s of `x`.

    Args:
        x: Arrays, or an iterable of batches.
        y: Targets of arrays.
        weights: Sample weights of arrays.
        slots: The inputs.
        scored: The outputs that need targets.
        size: Samples in a chunk of arrays; None takes all. Batches of an iterable
            keep the size of the first one.
        fixed: Batch size of the artifact, or None.
    """
    whole, first = _is_arrays(x), None
    for inputs, wanted, share in _elements(x, y, weights):
        feed = named("x", inputs, slots)
        feed = {slot.name: fitted("x", feed[slot.name], slot) for slot in slots}
        total = _count(feed)
        targets = _targets(wanted, scored, total) if scored else {}
        share = None if share is None else _rows("sample_weight", share, total)
        first = first or total
        step = fixed or (min(size or total, total) if whole else first)
        number = -(-total // step) if whole else None
        start = 0
        for batch, count in sample_data.batches(feed, step):
            end = start + count
            part = {name: value[start:end] for name, value in targets.items()}
            some = None if share is None else share[start:end]
            yield Chunk(batch, step, count, part, some, number)
            start = end


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


def named(name, data, slots):
    """Returns `data` as `{slot name: array}`, not yet checked."""
    names = [slot.name for slot in slots]
    if isinstance(data, dict):
        if sorted(map(str, data)) != sorted(names):
            rule = f"`{name}` must have the keys {names}"
            checks.fail(rule, keys=sorted(map(str, data)))
        return {key: array(name, data[key]) for key in names}
    if isinstance(data, list | tuple):
        numbers = not any(hasattr(part, "__array__") for part in data)
        if len(names) == 1 and (numbers or len(data) != 1):
            return {names[0]: array(name, data)}
        if len(data) != len(names):
            rule = f"`{name}` must have {len(names)} arrays, in the order of {names}"
            checks.fail(rule, arrays=len(data))
        alike = {(slot.shape[1:], slot.dtype) for slot in slots}
        if len(alike) < len(slots):
            # A file sorts its names, so the order is seldom the Keras model's.
            fix = f"Give a dict: {dict.fromkeys(names, 'array')}."
            rule = f"`{name}` must be a dict by name, as arrays of {names} look alike"
            checks.fail(rule, fix=fix, **{name: type(data).__name__})
        return {key: array(name, value) for key, value in zip(names, data, strict=True)}
    if len(names) != 1:
        fix = "Give a dict by name, or a list in this order."
        rule = f"`{name}` must have one array for each of {names}"
        checks.fail(rule, fix=fix, **{name: type(data).__name__})
    return {names[0]: array(name, data)}


def array(name, value):
    """Returns `value`, a tensor of any backend or nested numbers, as an array."""
    try:
        if keras.ops.is_tensor(value):
            return keras.ops.convert_to_numpy(value)
        return np.asarray(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"`{name}` must hold arrays of numbers. {error}.") from error


def fitted(name, value, slot, batched=True):
    """Returns `value` in the dtype of `slot`, or refuses its shape or type.

    Args:
        name: The argument's name, for messages.
        value: An array.
        slot: Where it goes.
        batched: Whether the first axis holds any number of samples.
    """
    shape = slot.shape
    wanted = (None, *shape[1:]) if batched else shape
    fits = value.ndim == len(wanted) and all(
        size in (None, actual) for size, actual in zip(wanted, value.shape, strict=True)
    )
    if not fits:
        sizes = ["any" if size is None else str(size) for size in wanted]
        sizes[:1] = ["samples"] if batched else sizes[:1]
        one = batched and value.ndim == len(wanted) - 1
        fix = "Add the sample axis: x[None]." if one else ""
        rule = f"`{name}` for '{slot.name}' must have shape ({', '.join(sizes)})"
        checks.fail(rule, fix=fix, shape=value.shape)
    return np.ascontiguousarray(_cast(name, value, slot))


def _cast(name, value, slot):
    dtype, kind = slot.dtype, value.dtype.kind
    if dtype.kind in "SUO":
        return value  # text: the interpreter checks it
    if kind == "V" and "float" in value.dtype.name:  # bfloat16 and its like
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


def _count(feed):
    """Returns the number of samples, the same for all inputs."""
    sizes = {name: len(value) for name, value in feed.items()}
    if len(set(sizes.values())) != 1:
        checks.fail("`x` must have as many samples for each input", **sizes)
    total = next(iter(sizes.values()))
    if not total:
        checks.fail("`x` must not be empty", samples=0)
    return total


def _targets(wanted, scored, total):
    """Returns `{output name: targets}` for the outputs in `scored`."""
    if wanted is None:
        fix = "Give `y`, or batches of (inputs, targets)."
        checks.fail("`evaluate` needs targets", fix=fix, y=None)
    if isinstance(wanted, dict):
        names = [slot.name for slot in scored]
        wanted = {key: value for key, value in wanted.items() if key in names}
    found = named("y", wanted, scored)
    return {name: _rows("y", value, total) for name, value in found.items()}


def _rows(name, value, total):
    value = array(name, value)
    if value.ndim == 0 or len(value) != total:
        rule = f"`{name}` must have one row for each of the {total} samples"
        checks.fail(rule, shape=value.shape)
    return value
