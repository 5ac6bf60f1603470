"""Limit on the loss that a quantization may cause in the user's own metric."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.metrics import metric_direction
from keras_strategies.export._common import ExportError, exception_text
from keras_strategies.export.artifact._scoring import Scorer
from keras_strategies.export.verify._criteria import labels_by_output


class MetricConstraint:
    """Maximum drop of a metric from the Keras model to the artifact.

    Args:
        labels: Targets, as many as samples are verified, or a dict by output name.
        metric: A Keras metric or its name, of which it is known whether less or more
            is better.
        limit: Largest drop, in the metric's own unit, at least 0.

    Raises:
        ValueError: The direction of the metric is not known, as that of a user's
            function.
    """

    def __init__(self, labels: Any, metric: Any, limit: float) -> None:
        self.labels = labels
        self.metric = metric
        self.limit = limit
        self.direction = metric_direction(
            metric, fix="Use a metric or a loss of Keras."
        )

    def validate(
        self, num_samples: int, reference: Mapping[str, np.ndarray]
    ) -> "MetricConstraint":
        """Returns the constraint with the labels of the one output.

        Refuses labels and metrics that give no score of the Keras model.

        Args:
            num_samples: Number of samples that are verified.
            reference: The Keras model's outputs.
        """
        if len(reference) != 1:
            fix = "Use `min_agreement`, which compares each output."
            checks.fail(
                "`max_metric_drop` needs a model with one output",
                fix=fix,
                outputs=list(reference),
            )
        by_name = labels_by_output("labels", self.labels, list(reference), num_samples)
        [labels] = by_name.values()  # type: ignore[union-attr]
        if labels.dtype.kind not in "biuf":
            fix = "Number the classes, for example."
            checks.fail("`labels` must be numbers", fix=fix, dtype=str(labels.dtype))
        if labels.dtype.kind == "f" and not np.isfinite(labels).all():
            checks.fail(
                "`labels` must be finite for `max_metric_drop`",
                fix="Leave samples without a label out of `verify` and `labels`.",
                non_finite=int((~np.isfinite(labels)).sum()),
            )
        constraint = MetricConstraint(labels, self.metric, self.limit)
        try:
            name, score = constraint.score(reference)
        except Exception as error:  # of Keras or its backend, of whatever class
            [values] = reference.values()
            rule = (
                "`metric` must be computable from `labels` and the Keras model's "
                f"output ({exception_text(error)})"
            )
            fix = "Give labels as the metric takes them: classes, or one row for each."
            received = {"labels": labels.shape, "output": values.shape}
            raise ValueError(checks.message(rule, received, fix)) from error
        if np.ndim(score) or not np.isfinite(score):
            fix = 'Average over the classes, for example by average="macro".'
            rule = "`metric` must give one finite number"
            checks.fail(rule, fix=fix if np.ndim(score) else "", **{name: score})
        return constraint

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
        name, keras_score = self.score(reference)
        _, artifact_score = self.score(actual)
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

    def score(self, outputs: Mapping[str, np.ndarray]) -> tuple[str, Any]:
        """Returns the metric's name and its value on the labels."""
        [(name, values)] = outputs.items()
        scorer = Scorer(self.metric, [name])
        scorer.update({name: self.labels}, {name: values}, None)
        [(label, score)] = scorer.result().items()
        return label, score
