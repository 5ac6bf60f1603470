"""Verdict on one output of an artifact."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from keras_strategies._internal.optional import require
from keras_strategies._internal.reports import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True)
class OutputVerdict:
    """Whether one output of a `.tflite` file is as good as the Keras model's.

    An entry of `verdicts` of `ExportResult` and `ComparisonResult`. The output is
    judged by what it means, its `kind`, and the worst of several measures counts, each
    in units of what is allowed; the file is refused above `limit`. `str()` gives the
    verdict in one sentence, `plot()` draws it.

    | kind | measures, with what is allowed |
    |---|---|
    | `"probabilities"`, `"logits"` | accuracy .8 points, recall of the worst class 3.2 (IoU 1.2 for images), Brier skill 1.2 |
    | `"binary_probabilities"`, `"binary_logits"` | accuracy .8, F1 .8 and of the worst channel 2.5 (IoU 1.2 for images), average precision .8, Brier skill 1.2 |
    | `"regression"` | squared error of the worst channel 1.2 % of its variance, and again on the central 99 % of its values; no channel constant. Of many channels of one unit (pixels of an autoencoder): 1.2 % as a whole, 6 % of the worst |
    | `"embedding"` | loss of similarity to the nearest neighbour .05 of its distance; error of the length .1, where Keras's are all the same |
    | `"integer"` | equal elements .8 points less, recall of the worst class 3.2 (IoU 1.2 for images) |
    | `"mixed"` | the spans of channels, each by its own kind |

    Accuracy, recall and the like are expected ones, with the Keras model's own
    probabilities as the truth: a changed answer costs `p[k] - p[t]`, where `p` are
    Keras's probabilities, `k` its class and `t` the artifact's. What Keras itself
    cannot decide thus costs nothing. Labels, where given, correct that truth near the
    limit: a temperature and biases for answers, a line for values, which 300 labels tell
    well, while the points lost on the labels themselves have a standard error of about
    one. What these prove beyond two standard errors decides.

    References: [Brier, 1950](https://doi.org/10.1175/1520-0493(1950)078%3C0001:VOFEIT%3E2.0.CO;2),
    the score of probabilities; [Guo et al., 2017](https://arxiv.org/abs/1706.04599), the
    calibration of a model by labels.

    Args:
        passed: Whether `loss` is at most `limit`.
        kind: What the output means, one of the table.
        reason: What decided, one sentence that names the worst channel or class.
        loss: The largest measure, in units of what is allowed for int8.
        limit: Largest loss that passes.
        samples: Number of samples.
        judged_by: `"labels"` or `"Keras"`.
        worst: The channel or class that `reason` is about, or `None`.
        measures: One dict for each measure: `measure`, `loss` and `text`.
        channels: One dict for each of the worst channels or classes, at most 32:
            explained variance, bias and rank correlation of values; recall and counts
            of classes.
        notes: Sentences on what could not be judged.
        picture: Values that `plot()` draws.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import export

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="out")])
    result = export.to_tflite(model, "verdict_example.tflite")
    verdict = result.verdicts["out"]
    print(verdict.passed, verdict.kind, verdict.reason)
    ```
    """  # noqa: E501

    passed: bool
    kind: str
    reason: str
    loss: float = 0.0
    limit: float = 1.0
    samples: int = 0
    judged_by: str = "Keras"
    worst: str | None = None
    measures: tuple[dict[str, Any], ...] = ()
    channels: tuple[dict[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    picture: Mapping[str, Any] | None = dataclasses.field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{'passed' if self.passed else 'refused'} ({self.kind}): {self.reason}"

    def to_dict(self) -> dict[str, Any]:
        """Returns all but the picture, ready for `json.dumps`."""
        fields = dataclasses.asdict(self)
        fields.pop("picture")
        return plain(fields)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draws values of the worst channel, or which classes became which.

        Args:
            ax: The Matplotlib `Axes` to draw on. Defaults to those of a new figure.
        """
        if ax is None:
            pyplot = require("matplotlib.pyplot", "`OutputVerdict.plot`")
            ax = pyplot.subplots(layout="constrained", figsize=(4.6, 4.2))[1]
        picture = self.picture or {"kind": "none"}
        if picture["kind"] == "scatter":
            _draw_scatter(ax, picture)
        elif picture["kind"] == "flips":
            _draw_flips(ax, picture)
        ax.set_title(f"{'passed' if self.passed else 'refused'}: {self.kind}")
        return ax


def loss_by_limit(loss: float, limit: float) -> float:
    """Returns a loss as a multiple of its limit, which may be 0."""
    return loss / max(limit, 1e-12)


def _draw_scatter(ax, picture):
    keras_values, actual = picture["keras"], picture["artifact"]
    ax.scatter(keras_values, actual, s=8, color="#0b6e99", alpha=0.6)
    low, high = min(keras_values), max(keras_values)
    ax.plot([low, high], [low, high], color="#c0392b", linewidth=1)
    ax.set_xlabel(f"Keras, {picture['channel']}")
    ax.set_ylabel("file")


def _draw_flips(ax, picture):
    names, counts = picture["classes"], picture["counts"]
    ax.imshow(counts, cmap="Blues")
    for row, line in enumerate(counts):
        for column, count in enumerate(line):
            if count:
                ax.text(column, row, str(count), ha="center", va="center", fontsize=8)
    ax.set_xticks(range(len(names)), names)
    ax.set_yticks(range(len(names)), names)
    ax.set_xlabel("class in the file")
    ax.set_ylabel("class in Keras")
