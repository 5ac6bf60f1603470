"""What an artifact is judged by: limits, labels, meanings of its outputs."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_strategies._internal import checks
from keras_strategies.export.verify._output_kinds import validate_output_kind


@dataclasses.dataclass(frozen=True)
class ModeLimits:
    """The limits of a quantization mode.

    Attributes:
        loss: Largest loss of a verdict that passes.
        tolerance: Difference of values, relative to the range of their channel, within
            which they agree.
        rounding: Difference of class scores, relative to their range, below which
            Keras itself cannot decide.
    """

    loss: float
    tolerance: float
    rounding: float

    def loosened(self, other: "ModeLimits") -> "ModeLimits":
        """Returns the looser of each limit."""
        return ModeLimits(
            loss=max(self.loss, other.loss),
            tolerance=max(self.tolerance, other.tolerance),
            rounding=max(self.rounding, other.rounding),
        )


# int8 and its like are held to what a task may lose; float32 and float16 are held to
# rounding, as more than that is a bug of a conversion.
MODE_LIMITS = {
    "float32": ModeLimits(0.05, 1e-3, 1e-6),
    "float16": ModeLimits(0.2, 1e-2, 1e-3),
    "dynamic": ModeLimits(1.0, 0.1, 1 / 256),
    "int8": ModeLimits(1.0, 0.15, 1 / 256),
    "int16x8": ModeLimits(1.0, 0.1, 1 / 256),
    "int4_weights": ModeLimits(1.0, 0.25, 1 / 256),
}


def loosest(modes: Sequence[str]) -> ModeLimits:
    """Returns the loosest limits of several modes."""
    return functools.reduce(ModeLimits.loosened, (MODE_LIMITS[mode] for mode in modes))


@dataclasses.dataclass(frozen=True)
class Criteria:
    """What the outputs of an artifact are judged by.

    Attributes:
        limits: The limits of its mode.
        max_loss: The user's limit of the loss: a number, or a dict by output name.
        min_agreement: The user's bound of the agreement; 0 lets everything pass.
        output_kind: What the user says about the outputs.
        labels: Targets by output name, or `None`.
        class_names: Names of the classes, from the metadata.
        search_margin: Part of the limits that a search keeps back.
    """

    limits: ModeLimits
    max_loss: Any = None
    min_agreement: float | None = None
    output_kind: Any = None
    labels: Mapping[str, np.ndarray] | None = None
    class_names: Sequence[str] = ()
    search_margin: float = 0.0

    def __post_init__(self) -> None:
        validate_output_kind(self.output_kind)
        checks.real("min_agreement", self.min_agreement, low=0, high=1, optional=True)
        is_dict = isinstance(self.max_loss, Mapping)
        for value in self.max_loss.values() if is_dict else [self.max_loss]:
            checks.real("max_loss", value, low=0, optional=True)

    @property
    def lets_all_pass(self) -> bool:
        """Whether the user asked for the file whatever its verdict is."""
        return self.min_agreement == 0

    def check_names(self, outputs: Sequence[str]) -> None:
        """Refuses limits of outputs that there are not: they would limit nothing."""
        if not isinstance(self.max_loss, Mapping):
            return
        unknown = sorted(set(map(str, self.max_loss)) - set(outputs))
        if unknown:
            rule = f"`max_loss` must have output names as keys, of {list(outputs)}"
            checks.fail(rule, keys=unknown)

    def limit(self, name: str) -> float:
        """Largest loss of one output that passes."""
        limit = self.max_loss
        if isinstance(limit, Mapping):
            limit = limit.get(name)
        limit = self.limits.loss if limit is None else float(limit)
        return limit * (1 - self.search_margin)

    def select(self, rows: np.ndarray) -> "Criteria":
        """Returns the criteria for some of the samples."""
        if self.labels is None:
            return self
        labels = {name: values[rows] for name, values in self.labels.items()}
        return dataclasses.replace(self, labels=labels)


def labels_by_output(
    name: str, labels: Any, outputs: Sequence[str], samples: int
) -> dict[str, np.ndarray] | None:
    """Returns labels as a dict by output name; a size that does not fit is refused.

    Args:
        name: The argument's name, for messages.
        labels: An array for a single output, a dict by output name, or a list with one
            array (or `None`) for each output.
        outputs: Names of the outputs.
        samples: Number of samples that there must be.
    """
    if labels is None:
        return None
    if isinstance(labels, Mapping):
        unknown = sorted(set(labels) - set(outputs))
        if unknown:
            rule = f"Labels in `{name}` must have output names as keys, of "
            checks.fail(f"{rule}{list(outputs)}", keys=unknown)
        by_name = dict(labels)
    elif len(outputs) == 1:
        by_name = {outputs[0]: labels}
    elif isinstance(labels, list | tuple) and len(labels) == len(outputs):
        by_name = dict(zip(outputs, labels, strict=True))
    else:
        rule = f"Labels in `{name}` must be a dict by output name, of {list(outputs)}"
        checks.fail(rule, labels=type(labels).__name__)
    arrays = {
        key: np.asarray(value) for key, value in by_name.items() if value is not None
    }
    for key, value in arrays.items():
        if value.ndim == 0 or len(value) != samples:
            checks.fail(
                f"`{name}` must have one label for each sample",
                labels=value.shape,
                samples=samples,
                output=key,
            )
    return arrays
