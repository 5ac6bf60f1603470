"""One watched entry of the epoch logs."""

import math
import warnings

import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.metrics import known_direction

MODES = ("auto", "min", "max")


class Monitor:
    """A metric, whether less or more of it is better, and what counts as better."""

    def __init__(self, name, mode="auto", min_delta=0.0):
        self.name = checks.instance("monitor", name, str)
        self.mode = checks.choice("mode", mode, MODES)
        self.min_delta = abs(checks.real("min_delta", min_delta))
        self.direction = None if mode == "auto" else mode
        self.warned = False

    def read(self, logs, callback):
        """The value as a float, or `None` in an epoch without validation.

        Raises `ValueError` for a metric that the training does not have.
        """
        logs = logs or {}
        owner = type(callback).__name__
        if self.name in logs:
            if self.direction is None:
                self._find_direction(callback.model, owner)
            return _scalar(logs[self.name], self.name)
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

    def improves(self, value, reference):
        """Whether `value` is better than `reference` by more than `min_delta`."""
        if math.isnan(value):
            return False
        if reference is None:
            return True
        if self.direction == "min":
            return value + self.min_delta < reference
        return value - self.min_delta > reference

    def _find_direction(self, model, owner):
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
