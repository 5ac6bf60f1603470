"""Verdicts on the outputs of an artifact, from the measures of their spans."""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np

from keras_strategies.export.verify import _channel_figures
from keras_strategies.export.verify._binary_measures import binary_measures
from keras_strategies.export.verify._calibrated_truth import (
    calibrated_answers,
    calibrated_classes,
    calibrated_values,
    correlation,
)
from keras_strategies.export.verify._class_measures import (
    class_measures,
    scrambled_channels,
)
from keras_strategies.export.verify._measure import (
    ACCURACY,
    Measure,
    as_rows,
    drawn_rows,
    largest,
    points_lost,
    sigmoid,
    softmax,
)
from keras_strategies.export.verify._other_measures import (
    embedding_measures,
    integer_measures,
)
from keras_strategies.export.verify._output_kinds import (
    Span,
    meaning,
    num_channels,
)
from keras_strategies.export.verify._value_measures import (
    proven_loss,
    value_measures,
)
from keras_strategies.export.verify.output_verdict import OutputVerdict

# Losses without labels between which the labels are asked. What loses less needs none;
# what loses more is refused whatever they say, as they may be those of other samples.
_LABELS_FROM, _LABELS_TO = 0.1, 8.0
# Labels may clear integers up to this multiple of the limit.
_LABELS_CLEAR = 1.5
# Measures whose sentence explains more than that of a larger one.
_TELLING = ("missing", "constant")


def judge(
    reference: np.ndarray,
    actual: np.ndarray,
    spans: Sequence[Span],
    limit: float = 1.0,
    labels: np.ndarray | None = None,
    class_names: Sequence[str] = (),
) -> OutputVerdict:
    """Returns the verdict on one output; both arrays are finite and of one shape.

    Args:
        reference: The Keras model's output, samples first.
        actual: The artifact's.
        spans: What its channels mean.
        limit: Largest loss that passes.
        labels: Targets. Defaults to `None`.
        class_names: Names of its classes or channels. Defaults to none.
    """
    parts = [
        _SpanJudgement(reference, actual, span, limit, labels, len(spans) > 1)
        for span in spans
    ]
    for part in parts:
        part.decide(class_names)
    part = max(parts, key=lambda entry: entry.decisive.value)
    decisive = part.decisive
    passed = bool(decisive.value <= limit)
    return OutputVerdict(
        passed=passed,
        kind=meaning(spans),
        reason=_reason(decisive, limit, len(spans) > 1, part.span),
        loss=float(decisive.value),
        limit=limit,
        samples=len(reference),
        judged_by="labels" if part.by_labels else "Keras",
        worst=part.name_of(decisive.channel, class_names),
        measures=tuple(
            {"measure": m.name, "loss": float(m.value), "text": m.text}
            for entry in parts
            for m in sorted(entry.measures, key=lambda m: -m.value)[:12]
        ),
        channels=tuple(row for entry in parts for row in entry.rows(class_names))[:32],
        notes=tuple(note for entry in parts for note in entry.notes),
        picture=part.picture(class_names),
    )


def _reason(measure, limit, is_mixed, span):
    text = measure.text[0].upper() + measure.text[1:]
    if is_mixed:
        text += f" ({span.kind}, channels {span.start} to {span.stop - 1})"
    if not limit:
        end = "which is" if measure.value <= 0 else "where"
        return f"{text}, {end} no loss{'' if measure.value <= 0 else ' is allowed'}."
    ratio = measure.value / limit
    if measure.value <= limit:
        return f"{text}: {max(ratio, 0.0):.2g} of what is allowed."
    return f"{text}: {ratio:.3g} times what is allowed."


class _SpanJudgement:
    """The measures of one span of an output's channels."""

    def __init__(self, reference, actual, span, limit, labels, is_mixed):
        self.span, self.limit = span, limit
        self.notes: list[str] = []
        self.by_labels = False
        channels = num_channels(reference)
        positions = reference.size // max(channels, 1)
        self.rows_drawn = drawn_rows(positions, channels)
        rows = np.arange(positions) if self.rows_drawn is None else self.rows_drawn
        # The sample of each position.
        self.samples = rows // max(positions // len(reference), 1)
        columns = slice(span.start, span.stop)
        self.reference, self.actual = (
            as_rows(x, channels, self.rows_drawn)[:, columns]
            for x in (reference, actual)
        )
        # Maps of integers have no axis of channels.
        dense = 3 if span.kind == "integer" else 4
        self.is_image = reference.ndim >= dense
        self.truth = None
        if labels is not None:
            self.truth = self._truth(labels, reference.shape, columns, is_mixed)
        self.measures: list[Measure] = []

    def decide(self, class_names):
        """Fills in the measures, those of the labels if these decide."""
        self.measures = self._measures(None)
        if self.truth is not None:
            self._ask_labels()
        self.measures = [
            dataclasses.replace(
                m,
                text=m.text.replace("{channel}", self._short_name(m, class_names)),
            )
            for m in self.measures
        ]
        self.decisive = largest(self.measures)
        for measure in self.measures:
            if measure.name in _TELLING and measure.value > self.limit:
                self.decisive = dataclasses.replace(measure, value=self.decisive.value)
                break

    def _measures(self, truth):
        kind, settings = self.span.kind, {"truth": truth}
        reference, actual = self.reference, self.actual
        if kind == "regression":
            labels = None if truth is None else self.truth
            settings |= {"is_shared": self.span.is_shared, "labels": labels}
            return value_measures(reference, actual, **settings)
        if kind == "embedding":
            return embedding_measures(reference, actual, **settings)
        settings["is_image"] = self.is_image
        if kind == "integer":
            return integer_measures(reference, actual, **settings)
        if kind in ("probabilities", "logits"):
            return class_measures(*self.probabilities, **settings) + scrambled_channels(
                reference, actual
            )
        settings["is_certain"] = self.span.source in ("user", "loss")
        return binary_measures(*self.probabilities, **settings)

    @functools.cached_property
    def probabilities(self) -> tuple[np.ndarray, np.ndarray]:
        """The reference and the artifact's values as probabilities.

        What the file gives beyond 0 and 1 stays: clipped, ten would be a sure yes.
        """
        change: Callable[[np.ndarray], np.ndarray] | None = {
            "logits": softmax,
            "binary_logits": sigmoid,
        }.get(self.span.kind)
        if change is None:
            return np.clip(self.reference, 0.0, 1.0), self.actual
        return change(self.reference), change(self.actual)

    def _ask_labels(self):
        """Lets labels correct the truth near the limit, and refuse what they prove."""
        if not self._has_fitting_labels():
            return
        loss = largest(self.measures).value
        if _LABELS_FROM < loss < _LABELS_TO and self.limit >= 1:
            corrected = self._corrected_truth()
            if corrected is not None:
                self.measures, self.by_labels = self._measures(corrected), True
        if self.span.kind == "embedding":
            return
        if self.span.kind == "regression":
            self._ask_values(loss)
            return
        mean, error = points_lost(self._lost_answers())
        allowed = ACCURACY * self.limit
        # Two standard errors: then it is no chance that labels see more loss than is
        # allowed.
        if mean - 2 * error > allowed:
            self.measures, self.by_labels = (
                self.measures + self._measures(self.truth),
                True,
            )
        elif (
            self.span.kind == "integer"
            and self.limit < loss < _LABELS_CLEAR * self.limit
            and self.limit >= 1
            and mean + 2 * error < allowed
        ):
            hard = self._measures(self.truth)
            if largest(hard).value <= self.limit:
                self.measures, self.by_labels = hard, True

    def _has_fitting_labels(self):
        """Whether the labels go with the Keras model's outputs; a note if not."""
        kind = self.span.kind
        if kind in ("embedding", "integer"):
            return True
        values = self.reference if kind == "regression" else self.probabilities[0]
        samples = int(self.samples[-1]) + 1
        fit = correlation(values, self.truth)
        if fit > 2 / samples**0.5:
            return True
        self.notes.append(
            f"The labels hardly go with the Keras model's own output (correlation "
            f"{fit:.2f} on {samples} samples): it was judged without them. Check that "
            "they are those of the same samples, in the same order."
        )
        return False

    def _ask_values(self, loss):
        """What the labels of values prove, for or against."""
        if self.span.is_shared or self.limit < 1:
            return
        least, most = proven_loss(self.reference, self.actual, self.truth)
        if least.value > self.limit:
            self.measures, self.by_labels = [*self.measures, least], True
        elif self.limit < loss < _LABELS_TO and most < self.limit:
            constant = [m for m in self.measures if m.name == "constant"]
            self.measures, self.by_labels = [least, *constant], True

    def _corrected_truth(self):
        """Keras's outputs as the labels correct them; `None` where that is unknown."""
        kind = self.span.kind
        if kind == "regression":
            # Of many equals each has its own noise, and the whole little to correct.
            if self.span.is_shared:
                return None
            return calibrated_values(self.reference, self.truth)
        if kind in ("probabilities", "logits"):
            return calibrated_classes(self.probabilities[0], self.truth)
        if kind.startswith("binary"):
            return calibrated_answers(self.probabilities[0], self.truth)
        return None

    def _lost_answers(self):
        """Right answers of Keras less those of the artifact, mean of each sample."""
        truth = self.truth
        if self.span.kind == "integer":
            before, after = (x == truth for x in (self.reference, self.actual))
            lost = (before * 1.0 - after).mean(axis=1)
        elif self.span.kind.startswith("binary"):
            right = [(x > 0.5) == (truth > 0.5) for x in self.probabilities]
            lost = (right[0] * 1.0 - right[1]).mean(axis=1)
        else:
            p, q = self.probabilities
            rows = np.arange(len(p))
            lost = truth[rows, p.argmax(axis=1)] - truth[rows, q.argmax(axis=1)]
        # Pixels or steps of one sample are no independent evidence.
        counts = np.bincount(self.samples)
        sums = np.bincount(self.samples, lost)
        return sums[counts > 0] / counts[counts > 0]

    def _truth(self, labels, shape, columns, is_mixed):
        """Labels as (positions, channels) of this span; None with a note if unfit."""
        labels = np.asarray(labels)
        kind, channels = self.span.kind, shape[-1] if len(shape) > 1 else 1
        positions = shape[:-1] if len(shape) > 1 else shape
        is_numeric = labels.dtype.kind in "biuf" and labels.shape[:1] == shape[:1]
        if is_numeric and labels.dtype.kind == "f" and not np.isfinite(labels).all():
            self.notes.append(
                "The labels hold NaN or infinity: it was judged without them. Leave "
                "samples without a label out."
            )
            return None
        if is_numeric and labels.size == np.prod(shape) and kind != "embedding":
            return as_rows(labels, channels, self.rows_drawn)[:, columns]
        if is_numeric and not is_mixed and labels.size == np.prod(positions):
            flat = as_rows(labels, 1, self.rows_drawn)
            if kind == "embedding":
                return flat[:, 0]
            classes = flat[:, 0].astype(int)
            is_class = (classes >= 0) & (classes < channels)
            if kind in ("probabilities", "logits"):
                if is_class.all():
                    return np.eye(channels)[classes]
                self.notes.append(
                    f"The labels hold classes from {classes.min()} to {classes.max()}, "
                    f"the output 0 to {channels - 1}: it was judged without them."
                )
                return None
        is_text = labels.dtype.kind not in "biuf"
        received = f"type {labels.dtype}" if is_text else f"shape {labels.shape}"
        self.notes.append(
            f"Labels of {received} do not fit an output of shape {shape} of kind "
            f"{kind}: it was judged without them."
        )
        return None

    def name_of(self, channel, class_names):
        """Returns "channel 4" or "class 'cat'", or None."""
        if channel is None:
            return None
        word = "class" if self.span.kind in _channel_figures.CLASS_KINDS else "channel"
        return f"{word} {self._label(channel, class_names)}"

    def _short_name(self, measure, class_names):
        return (
            "" if measure.channel is None else self._label(measure.channel, class_names)
        )

    def _label(self, channel, class_names):
        # Channels count in the whole output, classes in their own span.
        is_class = self.span.kind in _channel_figures.CLASS_KINDS
        number = channel if is_class else channel + self.span.start
        if 0 <= number < len(class_names):
            return f"{number} '{class_names[number]}'"
        return str(number)

    def rows(self, class_names):
        """Figures of the worst channels or classes, worst first."""
        kind = self.span.kind
        if kind in ("regression", "embedding"):
            rows = _channel_figures.value_rows(
                self.reference, self.actual, self.span.is_shared
            )
        elif kind == "integer":
            return []
        else:
            rows = _channel_figures.answer_rows(kind, *self.probabilities)
        key = "class" if kind in _channel_figures.CLASS_KINDS else "channel"
        return [{key: self._label(i, class_names), **row} for i, row in rows]

    def picture(self, class_names):
        """What `OutputVerdict.plot` draws."""
        kind = self.span.kind
        if kind in ("probabilities", "logits"):
            p, q = self.probabilities
            return _channel_figures.flips(
                p, q, lambda index: self._label(index, class_names)
            )
        channel = self.decisive.channel or 0
        if kind == "integer" or not self.reference.size:
            channel = 0
        return _channel_figures.scatter(
            self.reference[:, channel],
            self.actual[:, channel],
            self.name_of(channel, class_names),
        )
