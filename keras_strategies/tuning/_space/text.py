"""Text of hyperparameter values and durations, as tables and plots show them."""

import datetime

from keras_strategies.tuning._space import space


def number(value):
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(space.decode(value))
    return f"{value:.5g}"


def duration(seconds):
    if seconds < 60:
        return f"{seconds:.1f} s"
    return str(datetime.timedelta(seconds=round(seconds)))
