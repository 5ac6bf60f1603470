"""Monitoring of one metric in the logs of an epoch."""

import math
import warnings
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.metrics import known_direction

MODES = ("auto", "min", "max")


class MetricMonitor:
    """A metric, whether less or more of it is better, and what is an improvement."""

    def __init__(self, name: str, mode: str = "auto", min_delta: float = 0.0):
        self.name: str = checks.instance("monitor", name, str)
        self.mode: str = checks.choice("mode", mode, MODES)
        self.min_delta: float = abs(checks.real("min_delta", min_delta))
        self.reset()

    def reset(self) -> None:
        """Prepares for a new fit, perhaps of another model."""
        self.direction = None if self.mode == "auto" else self.mode
        self.warned = False

    def read(
        self, logs: dict[str, Any] | None, callback: keras.callbacks.Callback
    ) -> float | None:
        """Returns the value, or `None` in an epoch without validation.

        Raises:
            ValueError: If the training does not have the metric, or if its direction
                is not known.
        """
        logs = logs or {}
        owner = type(callback).__name__
        if self.name in logs:
            if self.direction is None:
                self._resolve_direction(callback.model, owner)
            return _scalar(logs[self.name], self.name)
        # Without any `val_` entry this may be an epoch that is not validated: a metric
        # that is there without the prefix is then only waited for.
        validated = any(key.startswith("val_") for key in logs)
        if validated or self.name.removeprefix("val_") not in logs:
            checks.fail(
                f"`monitor` of {owner} must be a metric of this training: "
                f"{', '.join(logs) or 'none'}",
                fix="Name one of these, or add the metric in compile().",
                monitor=self.name,
            )
        if not self.warned:
            self.warned = True
            warnings.warn(
                f"{owner} waits for `{self.name}`, which this epoch did not have. "
                f"Available metrics: {', '.join(logs)}. Give fit() validation data, "
                "unless it validates only every `validation_freq` epochs.",
                stacklevel=2,
            )
        return None

    def improves(self, value: float, reference: float | None) -> bool:
        """Whether `value` is better than `reference` by more than `min_delta`."""
        if math.isnan(value):
            return False
        if reference is None:
            return True
        if self.direction == "min":
            return value + self.min_delta < reference
        return value - self.min_delta > reference

    def _resolve_direction(self, model, owner):
        self.direction = known_direction(self.name, model)
        if self.direction is None:
            checks.fail(
                f"{owner} cannot tell whether less or more of `{self.name}` is better",
                fix="Give `mode` as 'min' or 'max'.",
                mode="auto",
            )


def _scalar(value, name):
    array = np.asarray(value)
    if array.size != 1:
        checks.fail(
            "`monitor` must name a metric with one value",
            fix="Let the metric average its values.",
            monitor=name,
            value=value,
        )
    return float(array.reshape(-1)[0])
