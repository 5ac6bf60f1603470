"""Expected loss of an artifact, with the Keras model's own outputs as the truth.

Labels are seldom there when a model is exported, but the model's own probabilities say
how much a changed answer costs: where Keras gives its class .9 and the class that the
artifact chooses .05, the change loses .85 of a right answer on average, if the model
knows what it does not know; at a near tie it loses nothing. In the same way the other
figures of a task (recall of a class, IoU, F1, average precision, Brier score, explained
variance) are computed with the Keras output in place of the labels. Labels, where they
are given, take that place.

Every measure is written in units of what is allowed: above 1 the artifact is refused.
The units are those of a prototype over 1,255 artifacts of 15 models, on which 300
samples without labels missed .9 % of the bad ones and refused 1.7 % of the good ones.

NumPy only: this runs in the worker, too.
"""

import dataclasses
from typing import Any

import numpy as np

# Points of each figure that are allowed. The ratio between them is that of their noise
# on some hundred samples.
ACCURACY, CLASS_RECALL, IOU, BRIER = 0.8, 3.2, 1.2, 1.2
F1, CLASS_F1, AVERAGE_PRECISION = 0.8, 2.5, 0.8
# Per cent of the variance of a channel.
VARIANCE = 1.2
# The same for one of many equals, of which the whole is judged.
CHANNEL_VARIANCE = 5.0
# The same for a sigmoid of which it is not known whether it answers yes or no.
LOOSE_VARIANCE = 4.0
# Loss of similarity to the nearest neighbour, as a fraction of its distance.
NEIGHBOUR = 0.05
# Error of the length of embeddings that all have the same in Keras, relative to it.
NORM = 0.1
# Fewest samples on which a class is judged.
MIN_CLASS = 5
# A measure of what no threshold has to weigh: a constant, a class that is gone.
CERTAIN = 10.0
# Values of an output that are looked at; more are drawn at random.
_MAX_VALUES = 20_000_000
MAX_ORDERED = 20_000
MAX_NEIGHBOURS = 2_000
# Channels from which the spread of the others says what an error means to one of them.
MANY_CHANNELS = 8


@dataclasses.dataclass(frozen=True)
class Measure:
    """One measure of an output, or of a span of its channels.

    Attributes:
        name: Its name, one word.
        value: In units of what is allowed.
        text: What was measured, as a clause for a sentence.
        channel: The channel or class that it is about, if it is about one.
    """

    name: str
    value: float
    text: str
    channel: int | None = None


def as_rows(
    values: np.ndarray, channels: int, rows: np.ndarray | None = None
) -> np.ndarray:
    """Returns `values` as `(positions, channels)` in float64."""
    flat = values.reshape(-1, channels)
    flat = flat if rows is None else flat[rows]
    return flat.astype("float64")


def drawn_rows(positions: int, channels: int) -> np.ndarray | None:
    """Returns the positions to look at, or `None` for all of them."""
    limit = max(1000, _MAX_VALUES // max(channels, 1))
    if positions <= limit:
        return None
    drawn = np.random.default_rng(0).choice(positions, limit, replace=False)
    return np.sort(drawn)


def random_rows(limit: int, *arrays: Any) -> tuple[Any, ...]:
    """Returns at most `limit` rows of each array, the same ones, drawn at random.

    What is `None` stays so.
    """
    if len(arrays[0]) <= limit:
        return arrays
    rows = np.random.default_rng(0).choice(len(arrays[0]), limit, replace=False)
    return tuple(None if array is None else array[rows] for array in arrays)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Returns class probabilities along the last axis."""
    exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponents / exponents.sum(axis=-1, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Returns probabilities of yes, without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * logits))


def points_lost(lost: np.ndarray) -> tuple[float, float]:
    """Returns the mean of per-sample losses in points, and its standard error."""
    deviation = float(lost.std(ddof=1)) if len(lost) > 1 else 0.0
    return 100 * float(lost.mean()), 100 * deviation / max(len(lost), 1) ** 0.5


def largest(measures: list[Measure]) -> Measure:
    """Returns the measure of the largest value; NaN counts as the largest."""
    return max(measures, key=lambda entry: _orderable(entry.value))


def _orderable(value: Any) -> float:
    return float("inf") if np.isnan(value) else float(value)
