"""MixUp and CutMix of the images and targets of a batch."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.types import Tensor, Tensors


def check_mixing(generator: Any, labels: Tensors, extra: Sequence[str]) -> None:
    """Checks that the targets can be mixed like the images.

    Args:
        generator: The `ImageDataGenerator`.
        labels: Array of labels, or `None`.
        extra: Names of the other targets and inputs.
    """
    names = [name for name in ("mixup", "cutmix") if getattr(generator, name)]
    if not names:
        return
    name = names[0]
    if labels is None or not np.issubdtype(np.asarray(labels).dtype, np.floating):
        fix = "Take keras.utils.to_categorical, or class_mode='categorical'."
        dtype = None if labels is None else str(np.asarray(labels).dtype)
        checks.fail(f"`{name}` needs labels of floats", fix=fix, labels=dtype)
    unmixable = [item for item in extra if item != "masks" or name == "mixup"]
    if unmixable:
        checks.fail(f"`{name}` cannot mix {', '.join(unmixable)}", **{name: True})


def mix_batch(generator: Any, batch: Any, random: np.random.Generator) -> Any:
    """Returns the batch with each image mixed with a random other one.

    MixUp: image and target are `l a + (1 - l) b`, with `l` from Beta(alpha, alpha).
    CutMix: a rectangle of about the area `1 - l` comes from `b`; the targets are
    mixed by its true area.
    """
    g = generator
    cut = bool(g.cutmix) and (not g.mixup or random.random() < 0.5)
    weight = float(random.beta(*[g.cutmix if cut else g.mixup] * 2))
    images, targets, *sample_weights = batch
    partners = random.permutation(len(images))
    masks = targets.get("masks") if isinstance(targets, dict) else None
    if cut:
        is_channels_first = g.data_format == "channels_first"
        height, width = images.shape[2:] if is_channels_first else images.shape[1:3]
        rows, columns = _rectangle(height, width, 1 - weight, random)
        # The true area: the image clips the rectangle.
        weight = 1 - np.arange(height)[rows].size * np.arange(width)[columns].size / (
            height * width
        )
        _paste(images, partners, rows, columns, is_channels_first)
        if masks is not None:
            _paste(
                masks, partners, rows, columns, is_channels_first and masks.ndim == 4
            )
    else:
        images = _blend(images, partners, weight)
    if masks is None:
        targets = _blend(targets, partners, weight)
    else:
        targets = {**targets, "labels": _blend(targets["labels"], partners, weight)}
    return (
        images,
        targets,
        *(_blend(values, partners, weight) for values in sample_weights),
    )


def _blend(values: Any, partners: np.ndarray, weight: float) -> Any:
    mixed = weight * values + (1 - weight) * values[partners]
    return mixed.astype(values.dtype) if values.dtype.kind == "f" else mixed


def _rectangle(height: int, width: int, area: float, random: Any) -> list[slice]:
    """Returns slices of a rectangle whose center is uniform in the image."""
    scale = np.sqrt(area)
    slices = []
    for size in (height, width):
        center, half = random.integers(size), size * scale / 2
        start, stop = (int(np.clip(center + s * half, 0, size)) for s in (-1, 1))
        slices.append(slice(start, stop))
    return slices


def _paste(
    images: Tensor,
    partners: np.ndarray,
    rows: slice,
    columns: slice,
    channels_first: bool,
) -> None:
    index = (..., rows, columns) if channels_first else (slice(None), rows, columns)
    # Indexing with an array copies first, so that no pasted pixel is pasted again.
    images[index] = images[partners][index]
