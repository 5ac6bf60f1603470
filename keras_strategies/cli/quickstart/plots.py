"""Plots of the quickstart, as PNG bytes."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

PLAIN, STRATEGIES = "#7f7f7f", "#0b6e99"


def _figure(rows, columns, width, height):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def _png(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def training_curves(
    plain: Sequence[Mapping[str, Any]], strategies: Sequence[Mapping[str, Any]]
) -> bytes:
    """Mean over the seeds as a line, smallest to largest as a band.

    Args:
        plain: One History dict per seed of the plain network.
        strategies: The same of the network with strategies.
    """
    figure, axes = _figure(1, 2, 9, 3.6)
    titles = {"val_accuracy": "Validation accuracy", "val_loss": "Validation loss"}
    for axis, (key, title) in zip(axes[0], titles.items(), strict=True):
        for histories, name, color in (
            (plain, "plain Keras", PLAIN),
            (strategies, "with strategies", STRATEGIES),
        ):
            values = np.array([history[key] for history in histories])
            epochs = np.arange(1, values.shape[1] + 1)
            marker = "o" if len(epochs) == 1 else None
            axis.plot(
                epochs, values.mean(axis=0), color=color, label=name, marker=marker
            )
            axis.fill_between(
                epochs, values.min(axis=0), values.max(axis=0), color=color, alpha=0.2
            )
        axis.set(title=title, xlabel="epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
    axes[0][0].set_ylim(top=1.0, bottom=max(0.0, axes[0][0].get_ylim()[0]))
    axes[0][1].set_yscale("log")
    axes[0][0].legend(loc="lower right")
    return _png(figure)


def augmented_images(images: np.ndarray, versions: Sequence[np.ndarray]) -> bytes:
    """Originals in the first row, one augmented version in each row below.

    Args:
        images: `(n, height, width, 1)`, values in [0, 1].
        versions: List of arrays of the same shape.
    """
    rows = [images, *versions]
    figure, axes = _figure(len(rows), len(images), len(images), len(rows))
    for row, (line, row_images) in enumerate(zip(axes, rows, strict=True)):
        for axis, image in zip(line, row_images, strict=True):
            axis.imshow(image[..., 0], cmap="gray_r", vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[])
        line[0].set_ylabel("original" if row == 0 else f"version {row}")
    return _png(figure)


def hardest_first(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Indices of the images: mistakes, then the least confident answers."""
    is_correct = probabilities.argmax(axis=1) == labels
    # The last key is the primary one.
    return np.lexsort((probabilities.max(axis=1), is_correct))


def predictions(
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    columns: int = 10,
    rows: int = 3,
) -> bytes:
    """Test images with the artifact's answer; the mistakes come first, in red."""
    answers = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    order = hardest_first(labels, probabilities)[: rows * columns]
    figure, axes = _figure(rows, columns, columns, 1.25 * rows)
    for axis, index in zip(axes.flat, order, strict=False):
        is_correct = answers[index] == labels[index]
        axis.imshow(images[index, ..., 0], cmap="gray_r", vmin=0, vmax=1)
        text = f"{answers[index]}"
        text += "" if is_correct else f", is {labels[index]}"
        axis.set_title(f"{text}\n{confidence[index]:.0%}", fontsize=8)
        axis.title.set_color("black" if is_correct else "#c0392b")
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.set_frame_on(False)
    return _png(figure)
