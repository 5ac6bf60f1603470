"""The distillation part of a loss: a weighted sum of distances."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from keras_strategies._internal import checks, keras_private
from keras_strategies.training._distill import losses

OUTPUT_KINDS = ("logits", "decoupled")
FEATURE_KINDS = ("hints", "attention", "relational")
KINDS = (*OUTPUT_KINDS, *FEATURE_KINDS)


@dataclasses.dataclass(frozen=True)
class Answers:
    """Outputs and features of one model for a batch, flat."""

    outputs: Sequence[Any]
    features: Sequence[Any] = ()


@dataclasses.dataclass(frozen=True)
class Objective:
    """Weights and settings of the distances.

    Attributes:
        weights: Dict from each kind to its weight.
        temperature: Of the softened outputs.
        decoupled: Weights of the true class and of the others.
        relational: Weights of distances and angles.
    """

    weights: Mapping[str, float]
    temperature: float = 4.0
    decoupled: tuple[float, float] = (1.0, 8.0)
    relational: tuple[float, float] = (1.0, 2.0)

    @property
    def needs_layers(self) -> bool:
        """Whether a kind compares layers, not outputs."""
        return bool({"hints", "attention"} & set(self.weights))

    def __call__(
        self,
        student: Answers,
        teacher: Answers,
        kinds: Sequence[tuple[str, bool] | None],
        teacher_from_logits: Sequence[bool] | None,
        labels: Sequence[Any],
        sample_weights: Sequence[Any],
        projections: Sequence[Any] = (),
    ) -> Any:
        """The weighted sum of the distances, a scalar.

        Args:
            student: The student's answers.
            teacher: The teacher's.
            kinds: `(kind, from_logits)` of each output, `None` for one to leave out.
            teacher_from_logits: Whether each output of the teacher, if for classes, is
                logits; `None` if they are as the student's.
            labels: Targets, flat; needed for `"decoupled"`.
            sample_weights: One entry for all outputs, or one for each; may be empty.
            projections: Layers from the student's to the teacher's features.
        """
        total = 0.0
        for kind, weight in self.weights.items():
            if kind in OUTPUT_KINDS:
                part = self._of_outputs(
                    kind,
                    *(student.outputs, teacher.outputs, kinds, teacher_from_logits),
                    *(labels, sample_weights),
                )
            else:
                part = self._of_features(
                    kind, student, teacher, projections, sample_weights
                )
            total = total + weight * part
        return total

    def _of_outputs(
        self, name, student, teacher, kinds, teacher_logits, labels, sample_weights
    ):
        total, used = 0.0, 0
        for position, kind in enumerate(kinds):
            if kind is None:
                continue
            pair = (student[position], teacher[position])
            label = labels[position] if position < len(labels) else None
            logits = None if teacher_logits is None else teacher_logits[position]
            far = self._of_output(name, *pair, kind, logits, label)
            total = total + weighted_mean(far, sample_weights, position)
            used += 1
        # The mean: `alpha` means the same for one output and for ten.
        return total / max(used, 1)

    def _of_output(self, name, student, teacher, kind, teacher_logits, labels):
        output, from_logits = kind
        if name == "logits":
            return losses.logits_loss(
                *(student, teacher, output, from_logits),
                *(self.temperature, teacher_logits),
            )
        if output != "categorical" or labels is None:
            checks.fail(
                'kind "decoupled" needs outputs for classes and labels',
                fix='Use "logits", or a categorical cross-entropy.',
                outputs=output,
            )
        return losses.decoupled_loss(
            *(student, teacher, labels, from_logits, self.temperature),
            *self.decoupled,
            teacher_logits,
        )

    def _of_features(self, name, student, teacher, projections, sample_weights):
        pairs = list(zip(student.features, teacher.features, strict=True))
        if name == "relational" and not pairs:
            pairs = list(zip(student.outputs, teacher.outputs, strict=True))
        total = 0.0
        for position, (own, other) in enumerate(pairs):
            far = self._of_feature(name, own, other, projections, position)
            total = total + weighted_mean(far, sample_weights, None)
        return total / len(pairs)

    def _of_feature(self, name, student, teacher, projections, position):
        last = losses.channels_last()
        if name == "relational":
            return keras_private.rows_of_batch(
                lambda *pair: losses.relational_loss(*pair, *self.relational),
                *(student, teacher),
            )
        student, teacher = losses.same_places(student, teacher, last)
        if name == "attention":
            return losses.attention_loss(student, teacher, last)
        return losses.hint_loss(_projected(student, projections[position]), teacher)


def _projected(features, projection):
    """A layer for the last axis, applied to the channels."""
    if projection is None:
        return features
    if losses.channels_last() or len(features.shape) < 4:
        return projection(features)
    return ops.moveaxis(projection(ops.moveaxis(features, 1, -1)), -1, 1)


def weighted_mean(values: Any, sample_weights: Sequence[Any], position: int | None):
    """The mean of numbers by sample, weighted as Keras weighs losses.

    Args:
        values: One number a sample.
        sample_weights: None, one for all outputs, or one for each output.
        position: Of the output; `None` for what belongs to no output.
    """
    weights = [w for w in sample_weights if w is not None]
    if not weights:
        return ops.mean(values)
    if position is not None and len(sample_weights) > 1:
        if sample_weights[position] is None:
            return ops.mean(values)
        weights = [sample_weights[position]]
    # Keras divides a weighted loss by the number of samples, not by the sum of the
    # weights, and so does this. What belongs to no output takes the mean of the
    # outputs' weights.
    means = [losses.by_sample(ops.cast(w, "float32")) for w in weights]
    return ops.mean(values * sum(means) / len(means))


def added_losses(model: keras.Model) -> Any:
    """The sum of what regularizers and layers add to a model's loss."""
    return sum(keras_private.additional_loss(model, loss) for loss in model.losses)


def checked_kinds(kind: str | Mapping[str, float]) -> dict[str, float]:
    """A dict from kinds to weights, from a name or such a dict."""
    if isinstance(kind, str):
        kind = {kind: 1.0}
    checks.instance(
        "kind", kind, Mapping, fix=f"Give one of {KINDS} or a dict of them."
    )
    if not kind:
        checks.fail("`kind` must name a distance", kind=kind, kinds=KINDS)
    return {
        checks.choice("kind", name, KINDS): checks.real(
            f"kind[{name!r}]", weight, low=0, low_open=True
        )
        for name, weight in kind.items()
    }


def checked_layers(
    layers: Sequence[Sequence[str]] | None, objective: Objective
) -> list[tuple[str, str]]:
    """Pairs of paths, of the teacher's layer and the student's."""
    pairs = [] if layers is None else list(layers)
    for pair in pairs:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            checks.fail(
                "`layers` must be pairs: a layer of the teacher, one of the student",
                fix='For example [("block_4", "block_2")].',
                layers=layers,
            )
        for name in pair:
            checks.instance("layers", name, str)
    if objective.needs_layers and not pairs:
        checks.fail(
            "`layers` must be given for hints and attention",
            fix='Pairs such as [("block_4", "block_2")]: teacher, student.',
            kind=list(objective.weights),
            layers=layers,
        )
    return [(str(a), str(b)) for a, b in pairs]


def flat(structure: Any) -> list[Any]:
    """The leaves of a structure, `None` among them; empty for `None`."""
    return [] if structure is None else keras.tree.flatten(structure)
