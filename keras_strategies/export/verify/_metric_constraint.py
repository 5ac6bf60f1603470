"""The limit on what a quantization may cost in the user's own metric."""

import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.metrics import metric_direction
from keras_strategies.export._common.export_error import ExportError
from keras_strategies.export.artifact import _scoring


class MetricGate:
    """How much worse than the Keras model's the artifact's metric may be.

    Args:
        labels: Targets, as many as samples are verified.
        metric: A Keras metric or its name.
        limit: Largest drop, in the metric's own unit, at least 0.
    """

    def __init__(self, labels, metric, limit):
        self.labels = np.asarray(labels)
        self.metric = metric
        self.limit = limit
        self.direction = metric_direction(
            metric, fix="Use a metric or a loss of Keras."
        )

    def check_size(self, count):
        """Refuses labels that do not belong to the `count` samples."""
        if self.labels.ndim == 0 or len(self.labels) != count:
            checks.fail(
                "`labels` must have one target for each sample of `verify`",
                labels=self.labels.shape,
                samples=count,
            )

    def part(self, rows):
        """Returns the gate for some of the samples."""
        return MetricGate(self.labels[rows], self.metric, self.limit)

    def figures(self, reference, actual):
        """Returns `{"metric", "keras", "artifact", "drop", "limit"}`.

        Args:
            reference: The Keras model's outputs as a dict.
            actual: The artifact's outputs as a dict.
        """
        if len(reference) != 1:
            fix = "Use `min_agreement`, which looks at each output."
            checks.fail(
                "`max_metric_drop` needs a model with one output",
                fix=fix,
                outputs=list(reference),
            )
        name, expected = self._score(reference)
        _, found = self._score(actual)
        worse = found - expected if self.direction == "min" else expected - found
        return {
            "metric": name,
            "keras": expected,
            "artifact": found,
            "drop": worse,
            "limit": self.limit,
        }

    def judge(self, reference, actual):
        """Returns the figures, or raises where the drop is too large."""
        figures = self.figures(reference, actual)
        if not figures["drop"] <= self.limit:
            raise ExportError(
                f"The artifact's {figures['metric']} is {figures['artifact']:.4f}, "
                f"the Keras model's {figures['keras']:.4f}: worse by "
                f"{figures['drop']:.4f}, "
                f"more than the {self.limit:g} that `max_metric_drop` allows. Nothing "
                "was written. Use another `quantization` or more representative data.",
                "disagreement",
                {"metric": figures},
            )
        return figures

    def _score(self, outputs):
        [(name, values)] = outputs.items()
        scorer = _scoring.Scorer(self.metric, [name])
        scorer.update({name: self.labels}, {name: values}, None)
        [(label, score)] = scorer.result().items()
        return label, float(score)
