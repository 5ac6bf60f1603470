"""What of a model's output is explained, as a number for each sample."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.types import Shape, Tensor
from keras_strategies.explain._engine.region import Region
from keras_strategies.explain._engine.similarity import Similarity


@dataclasses.dataclass(frozen=True)
class Score:
    """How a number for each sample is made of an output.

    Attributes:
        kind: `"top"`, `"index"`, `"region"`, `"cosine"`, `"dot"`, `"distance"` or
            `"function"`; part of what a compiled program depends on.
        arrays: What it needs for each sample.
        function: The user's function of the output.
    """

    kind: str
    arrays: tuple[np.ndarray, ...] = ()
    function: Callable[[Tensor], Tensor] | None = None

    @property
    def key(self) -> tuple[Any, ...]:
        return (self.kind, self.function)


def compute(
    kind: str,
    function: Callable[[Tensor], Tensor] | None,
    output: Tensor,
    arrays: list[Tensor],
) -> Tensor:
    """The score of each sample, float32."""
    output = ops.cast(output, "float32")
    if function is not None:
        return _of_function(function, output)
    if kind in ("cosine", "dot", "distance"):
        return _similarity(kind, output, arrays[0])
    if len(output.shape) == 1:
        output = output[:, None]
    if kind == "top":
        top = ops.argmax(ops.stop_gradient(output), axis=-1)
        return ops.sum(output * ops.one_hot(top, output.shape[-1]), axis=-1)
    chosen = ops.one_hot(arrays[0], output.shape[-1])  # (samples, classes)
    rest = tuple(range(1, len(output.shape) - 1))
    values = ops.sum(output * ops.expand_dims(chosen, rest), axis=-1)
    if kind == "region":
        mask = arrays[1]
        return ops.sum(values * mask, axis=rest) / ops.sum(mask, axis=rest)
    return ops.mean(values, axis=rest) if rest else values


def _similarity(kind, output, reference):
    axes = tuple(range(1, len(output.shape)))
    if kind == "distance":
        # A small number under the root: its slope at 0 is infinite.
        return -ops.sqrt(ops.sum(ops.square(output - reference), axis=axes) + 1e-12)
    products = ops.sum(output * reference, axis=axes)
    if kind == "dot":
        return products
    lengths = [ops.sum(ops.square(x), axis=axes) for x in (output, reference)]
    return products / ops.sqrt(ops.maximum(lengths[0] * lengths[1], 1e-24))


def _of_function(function, output):
    values = ops.cast(function(output), "float32")
    if len(values.shape) != 1:
        checks.fail(
            "A function as `target` must return a number for each sample, (samples,)",
            fix="For example: lambda output: output[:, 3] - output[:, 5].",
            shape=tuple(values.shape),
        )
    return values


def check_target(
    target: Any, shape: Shape, count: int, embed: Callable[[Any], np.ndarray]
) -> Score:
    """Checks a target of one output.

    Args:
        target: What the user gave.
        shape: The shape of the output, samples first.
        count: The number of samples.
        embed: The output for other inputs.
    """
    if isinstance(target, Region):
        return _region(target, shape, count)
    if isinstance(target, Similarity):
        return _reference(target, count, embed)
    if callable(target):
        return Score("function", (), target)
    classes = shape[-1] if len(shape) > 1 else 1
    if target is None:
        if len(shape) > 2:
            checks.fail(
                "`target` must be given for a model with outputs at many positions",
                fix="Give explain.Region(mask, index), or an index for the mean over "
                "all positions.",
                output=tuple(shape),
            )
        return Score("top")
    return Score("index", (_indices(target, classes, count),))


def _indices(target, classes, count):
    array = np.asarray(target)
    if array.dtype.kind not in "iu" or array.ndim > 1:
        checks.fail(
            "`target` must be None, the index of an output, an array with an index for "
            "each sample, a Region, a Similarity, a function of the output, or for "
            "several outputs a dict with the name of one",
            error=TypeError,
            target=target,
        )
    if array.ndim == 1 and len(array) != count:
        checks.fail(
            "`target` must have an index for each sample",
            samples=count,
            indices=len(array),
        )
    if classes is not None and ((array < 0) | (array >= classes)).any():
        checks.fail(
            f"`target` must be in [0, {classes - 1}]: the model has {classes} "
            f"output{'s' if classes > 1 else ''}",
            target=target,
        )
    return np.broadcast_to(array.astype("int32"), (count,)).copy()


def _region(target, shape, count):
    positions = tuple(shape[1:-1])
    if not positions:
        checks.fail(
            "A Region needs a model with an output at each position",
            fix="Give the index of the class.",
            output=tuple(shape),
        )
    mask = target.mask
    sizes = mask.shape if mask.ndim == len(positions) else mask.shape[1:]
    if (
        mask.ndim not in (len(positions), len(positions) + 1)
        or any(
            size is not None and size != given
            for size, given in zip(positions, sizes, strict=True)
        )
        or (mask.ndim > len(positions) and len(mask) not in (1, count))
    ):
        checks.fail(
            "The mask of a Region must have the positions of the output",
            output=tuple(shape),
            mask=mask.shape,
            samples=count,
        )
    index = _indices(target.index, shape[-1], count)
    full = np.broadcast_to(mask, (count, *sizes)).astype("float32")
    has_entry = full.reshape(count, -1).any(axis=1)
    if not has_entry.all():
        checks.fail(
            "The mask of a Region must have a positive entry for each sample",
            samples_without=np.flatnonzero(~has_entry)[:5].tolist(),
        )
    return Score("region", (index, full))


def _reference(target, count, embed):
    reference = np.asarray(embed(target.reference), "float32")
    if len(reference) not in (1, count):
        checks.fail(
            "The reference of a Similarity must have one sample, or one for each",
            samples=count,
            reference=len(reference),
        )
    full = np.broadcast_to(reference, (count, *reference.shape[1:]))
    return Score(target.kind, (np.ascontiguousarray(full),))


def output_of(model: keras.Model, target: Any, count: int) -> tuple[int, Any]:
    """Which output a target is about, by position, and the target of that output."""
    names = list(getattr(model, "output_names", None) or range(count))
    if not isinstance(target, dict):
        if count > 1:
            checks.fail(
                "`target` must name an output of a model that has several",
                fix=f"For example: target={{{names[0]!r}: 3}}.",
                target=target,
                outputs=names,
            )
        return 0, target
    if len(target) != 1 or next(iter(target)) not in [*names, *range(count)]:
        checks.fail(
            "`target` as a dict must have one entry, the name of an output",
            target=target,
            outputs=names,
        )
    [(name, inner)] = target.items()
    return (names.index(name) if name in names else int(name)), inner
