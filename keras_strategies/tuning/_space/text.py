"""Text of hyperparameter values and durations, as tables and plots show them."""

import datetime
from typing import Any

from keras_strategies.tuning._space.labels import from_label


def format_value(value: Any) -> str:
    """Five significant digits of a number, anything else as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(from_label(value))
    return f"{value:.5g}"


def format_duration(seconds: float) -> str:
    """`"12.3 s"`, from a minute on `"0:01:00"`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return str(datetime.timedelta(seconds=round(seconds)))
