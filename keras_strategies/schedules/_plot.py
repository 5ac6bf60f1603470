"""Plot of learning-rate schedules."""

from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.optional import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
from keras_strategies._internal.types import Tensor

_MAX_POINTS = 500  # more cannot be distinguished in a plot


def plot(schedule: Any, steps: int, ax: "Axes | None" = None) -> "Axes":
    """Plots one or several schedules over the training steps.

    Plotting a schedule before a long training reveals wrong units (epochs instead of
    steps) and missing boundaries.

    Args:
        schedule: A schedule of this package or of Keras, a function
            of the step, a number, or several of them in a list or in a dict whose
            keys are the labels.
        steps: Number of optimizer steps to plot, at least 1. Longer ranges are
            sampled at 500 steps.
        ax: The Matplotlib `Axes` to draw on. Defaults to those of a new figure.

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
    curves = _labelled(schedule)
    if ax is None:
        _, ax = require("matplotlib.pyplot", "`schedules.plot`").subplots()
    positions = np.linspace(0, steps, min(steps, _MAX_POINTS) + 1).round().astype(int)
    positions = np.unique(positions)
    for label, item in curves.items():
        ax.plot(positions, [_value(item, int(step)) for step in positions], label=label)
    ax.set_xlabel("step")
    ax.set_ylabel("learning rate")
    if len(curves) > 1:
        ax.legend()
    return ax


def _labelled(schedule: Any) -> dict[str, Any]:
    """Returns `{label: schedule}`; repeated labels are numbered."""
    if isinstance(schedule, dict):
        curves = {str(label): item for label, item in schedule.items()}
    else:
        several = isinstance(schedule, list | tuple)
        curves = {}
        for item in schedule if several else [schedule]:
            label = base = _label(item)
            count = 1
            while label in curves:
                count += 1
                label = f"{base} {count}"
            curves[label] = item
    for label, item in curves.items():
        if not callable(item):
            checks.real(f"schedule[{label!r}]", item)
    if not curves:
        checks.fail("`schedule` must be one or more schedules", schedule=schedule)
    return curves


def _label(item: Any) -> str:
    if not callable(item):
        return str(item)
    name = getattr(item, "name", None) or getattr(item, "__name__", None)
    return name if isinstance(name, str) else type(item).__name__


def _value(item: Any, step: Tensor) -> float:
    if not callable(item):
        return float(item)
    return float(keras.ops.convert_to_numpy(item(step)))
