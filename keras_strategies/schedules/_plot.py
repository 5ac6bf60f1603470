"""Pictures of schedules."""

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.optional import require

_POINTS = 500  # more cannot be told apart in a picture


def plot(schedule, steps, ax=None):
    """Draws one or several schedules over the training steps.

    A look at the course of the rate before a long training finds wrong units
    (epochs for steps) and forgotten boundaries.

    Args:
        schedule: What to draw: a schedule of this package or of Keras, a function
            of the step, a number, or several of them in a list or in a dict whose
            keys are the labels.
        steps: Number of optimizer steps to draw, at least 1. Long courses are drawn
            at 500 of them.
        ax: The Matplotlib `Axes` to draw on. A new figure by default.

    Returns:
        The Matplotlib `Axes`.

    Raises:
        ImportError: If Matplotlib is not installed.
        TypeError: If something cannot be drawn.

    Example:

    ```python
    import keras
    from keras_strategies import schedules

    cosine = keras.optimizers.schedules.CosineDecay(0.1, decay_steps=1000)
    warm = schedules.WarmupSchedule(cosine, warmup_steps=100)
    ax = schedules.plot({"cosine": cosine, "warm-up": warm}, steps=1200)
    print([line.get_label() for line in ax.get_lines()])  # ['cosine', 'warm-up']
    ax.figure.savefig("schedules.png")
    ```
    """
    steps = checks.integer("steps", steps, low=1)
    courses = _labelled(schedule)
    if ax is None:
        _, ax = require("matplotlib.pyplot", "`schedules.plot`").subplots()
    at = np.unique(np.linspace(0, steps, min(steps, _POINTS) + 1).round().astype(int))
    for label, item in courses.items():
        ax.plot(at, [_value(item, int(step)) for step in at], label=label)
    ax.set_xlabel("step")
    ax.set_ylabel("learning rate")
    if len(courses) > 1:
        ax.legend()
    return ax


def _labelled(schedule):
    """`{label: schedule}`, with a number behind labels that are there already."""
    if isinstance(schedule, dict):
        courses = {str(label): item for label, item in schedule.items()}
    else:
        several = isinstance(schedule, list | tuple)
        courses = {}
        for item in schedule if several else [schedule]:
            label = first = _label(item)
            count = 1
            while label in courses:
                count += 1
                label = f"{first} {count}"
            courses[label] = item
    for label, item in courses.items():
        if not callable(item):
            checks.real(f"schedule[{label!r}]", item)
    if not courses:
        checks.fail("`schedule` must be one or more schedules", schedule=schedule)
    return courses


def _label(item):
    if not callable(item):
        return str(item)
    name = getattr(item, "name", None) or getattr(item, "__name__", None)
    return name if isinstance(name, str) else type(item).__name__


def _value(item, step):
    if not callable(item):
        return float(item)
    return float(keras.ops.convert_to_numpy(item(step)))
