"""Verdicts on the outputs of an artifact, from the measures of their spans."""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np

from keras_strategies.export.verify import _channel_figures
from keras_strategies.export.verify._binary_measures import binary_measures
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
    label_error,
    value_measures,
)
from keras_strategies.export.verify.output_verdict import OutputVerdict

# Where labels decide for values: what is far from the limit needs none.
_LABELS_FROM, _LABELS_TO = 0.1, 8.0
# Largest standard error, in per cent of the variance, with which they do.
_LABELS_ERROR = 1.5
# Labels may clear answers up to this multiple of the limit.
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
    ratio = measure.value / limit if limit else np.inf
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
        kind = self.span.kind
        soft, hard = self._measures(None), None
        if self.truth is not None:
            hard = self._measures(self.truth)
        if hard and kind == "regression":
            self._decide_values(soft, hard)
        elif hard:
            self._decide_answers(soft, hard)
        else:
            self.measures = soft
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
            settings["is_shared"] = self.span.is_shared
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
        """The reference and the artifact's values as probabilities."""
        change: Callable[[np.ndarray], np.ndarray] = {
            "logits": softmax,
            "binary_logits": sigmoid,
        }.get(self.span.kind, lambda x: np.clip(x, 0.0, 1.0))
        return change(self.reference), change(self.actual)

    def _decide_values(self, soft, hard):
        """Labels decide near the limit; a constant stays a constant."""
        loss = largest(soft).value
        is_near = _LABELS_FROM < loss < _LABELS_TO and self.limit >= 1
        if is_near and not self.span.is_shared:
            # A few extreme labels can outweigh all the others.
            error = label_error(self.reference, self.actual, self.truth)
            is_near = error <= _LABELS_ERROR
        self.by_labels = is_near
        if is_near:
            hard = hard + [m for m in soft if m.name == "constant"]
        self.measures = hard if is_near else soft

    def _decide_answers(self, soft, hard):
        """Labels decide where the points lost on them are significant."""
        mean, error = points_lost(self._lost_answers())
        loss = largest(soft).value
        # Two standard errors: then it is no chance that labels see more loss than is
        # allowed.
        if mean - 2 * error > ACCURACY * self.limit:
            self.measures, self.by_labels = hard, True
            if largest(hard).value < loss:
                self.measures = soft + hard
        # The other way round only near the limit: probabilities judge by all samples,
        # labels by the few answers that changed.
        elif (
            self.limit < loss < _LABELS_CLEAR * self.limit
            and self.limit >= 1
            and mean + 2 * error < ACCURACY * self.limit
            and largest(hard).value <= self.limit
        ):
            self.measures, self.by_labels = hard, True
        else:
            self.measures = soft

    def _lost_answers(self):
        """Right answers of Keras less those of the artifact, by position."""
        truth = self.truth
        if self.span.kind == "embedding":
            # An answer is a neighbour, which changes with all the other samples.
            return np.zeros(1)
        if self.span.kind == "integer":
            before, after = (x == truth for x in (self.reference, self.actual))
            return (before * 1.0 - after).mean(axis=1)
        p, q = self.probabilities
        if self.span.kind.startswith("binary"):
            right = [(x > 0.5) == (truth > 0.5) for x in (p, q)]
            return (right[0] * 1.0 - right[1]).mean(axis=1)
        rows = np.arange(len(p))
        return truth[rows, p.argmax(axis=1)] - truth[rows, q.argmax(axis=1)]

    def _truth(self, labels, shape, columns, is_mixed):
        """Labels as (positions, channels) of this span; None with a note if unfit."""
        labels = np.asarray(labels)
        kind, channels = self.span.kind, shape[-1] if len(shape) > 1 else 1
        positions = shape[:-1] if len(shape) > 1 else shape
        is_numeric = labels.dtype.kind in "biuf" and labels.shape[:1] == shape[:1]
        if is_numeric and labels.size == np.prod(shape) and kind != "embedding":
            return as_rows(labels, channels, self.rows_drawn)[:, columns]
        if is_numeric and not is_mixed and labels.size == np.prod(positions):
            flat = as_rows(labels, 1, self.rows_drawn)
            if kind == "embedding":
                return flat[:, 0]
            classes = flat[:, 0].astype(int)
            is_class = (classes >= 0) & (classes < channels)
            if kind in ("probabilities", "logits") and is_class.all():
                return np.eye(channels)[classes]
        self.notes.append(
            f"Labels of shape {labels.shape} do not fit an output of shape {shape} of "
            f"kind {kind}: it was judged without them."
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
