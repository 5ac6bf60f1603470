"""Limit on the loss that a quantization may cause in the user's own metric."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.metrics import metric_direction
from keras_strategies.export._common import ExportError
from keras_strategies.export.artifact._scoring import Scorer


class MetricConstraint:
    """Maximum drop of a metric from the Keras model to the artifact.

    Args:
        labels: Targets, as many as samples are verified.
        metric: A Keras metric or its name, of which it is known whether less or more
            is better.
        limit: Largest drop, in the metric's own unit, at least 0.

    Raises:
        ValueError: The direction of the metric is not known, as that of a user's
            function.
    """

    def __init__(self, labels: Any, metric: Any, limit: float) -> None:
        self.labels = np.asarray(labels)
        self.metric = metric
        self.limit = limit
        self.direction = metric_direction(
            metric, fix="Use a metric or a loss of Keras."
        )

    def check_size(self, num_samples: int) -> None:
        """Refuses labels that do not belong to the samples."""
        if self.labels.ndim == 0 or len(self.labels) != num_samples:
            checks.fail(
                "`labels` must have one target for each sample of `verify`",
                labels=self.labels.shape,
                samples=num_samples,
            )

    def select(self, rows: np.ndarray) -> "MetricConstraint":
        """Returns the constraint for some of the samples."""
        return MetricConstraint(self.labels[rows], self.metric, self.limit)

    def figures(
        self, reference: Mapping[str, np.ndarray], actual: Mapping[str, np.ndarray]
    ) -> dict[str, Any]:
        """Returns `{"metric", "keras", "artifact", "drop", "limit"}`.

        Args:
            reference: The Keras model's outputs as a dict.
            actual: The artifact's outputs as a dict.
        """
        if len(reference) != 1:
            fix = "Use `min_agreement`, which compares each output."
            checks.fail(
                "`max_metric_drop` needs a model with one output",
                fix=fix,
                outputs=list(reference),
            )
        name, keras_score = self._score(reference)
        _, artifact_score = self._score(actual)
        drop = keras_score - artifact_score
        return {
            "metric": name,
            "keras": keras_score,
            "artifact": artifact_score,
            "drop": -drop if self.direction == "min" else drop,
            "limit": self.limit,
        }

    def check(
        self, reference: Mapping[str, np.ndarray], actual: Mapping[str, np.ndarray]
    ) -> dict[str, Any]:
        """Returns the figures, or raises where the drop is too large."""
        figures = self.figures(reference, actual)
        if not figures["drop"] <= self.limit:  # also where it is NaN
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
        scorer = Scorer(self.metric, [name])
        scorer.update({name: self.labels}, {name: values}, None)
        [(label, score)] = scorer.result().items()
        return label, float(score)
