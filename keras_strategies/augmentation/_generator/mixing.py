"""MixUp and CutMix of the images and targets of a batch."""

import numpy as np

from keras_strategies._internal import checks


def check_mixing(generator, labels, others):
    """Fails where the targets cannot be mixed as the images are.

    Args:
        generator: The `ImageDataGenerator`.
        labels: Array of labels, or `None`.
        others: Names of the other targets and inputs.
    """
    names = [name for name in ("mixup", "cutmix") if getattr(generator, name)]
    if not names:
        return
    name = names[0]
    if labels is None or not np.issubdtype(np.asarray(labels).dtype, np.floating):
        fix = "Take keras.utils.to_categorical, or class_mode='categorical'."
        found = None if labels is None else str(np.asarray(labels).dtype)
        checks.fail(f"`{name}` needs labels of floats", fix=fix, labels=found)
    unfit = [other for other in others if other != "masks" or name == "mixup"]
    if unfit:
        checks.fail(f"`{name}` cannot mix {', '.join(unfit)}", **{name: True})


def mix_batch(generator, batch, random):
    """The batch with each image mixed with another one of it.

    MixUp: image and target are `l a + (1 - l) b`, with `l` of Beta(alpha, alpha).
    CutMix: a rectangle of about the area `1 - l` comes from `b`; the targets are
    mixed by its true area.
    """
    g = generator
    cut = bool(g.cutmix) and (not g.mixup or random.random() < 0.5)
    share = float(random.beta(*[g.cutmix if cut else g.mixup] * 2))
    images, targets, *weights = batch
    partners = random.permutation(len(images))
    masks = targets.get("masks") if isinstance(targets, dict) else None
    if cut:
        first = g.data_format == "channels_first"
        height, width = images.shape[2:] if first else images.shape[1:3]
        rows, columns = _rectangle(height, width, 1 - share, random)
        share = 1 - np.arange(height)[rows].size * np.arange(width)[columns].size / (
            height * width
        )
        _paste(images, partners, rows, columns, first)
        if masks is not None:
            _paste(masks, partners, rows, columns, first and masks.ndim == 4)
    else:
        images = _blend(images, partners, share)
    if masks is None:
        targets = _blend(targets, partners, share)
    else:
        targets = {**targets, "labels": _blend(targets["labels"], partners, share)}
    return images, targets, *(_blend(weight, partners, share) for weight in weights)


def _blend(values, partners, share):
    mixed = share * values + (1 - share) * values[partners]
    return mixed.astype(values.dtype) if values.dtype.kind == "f" else mixed


def _rectangle(height, width, area, random):
    """Slices of a rectangle whose middle lies anywhere in the image."""
    side = np.sqrt(area)
    slices = []
    for size in (height, width):
        middle, half = random.integers(size), size * side / 2
        start, stop = (int(np.clip(middle + s * half, 0, size)) for s in (-1, 1))
        slices.append(slice(start, stop))
    return slices


def _paste(images, partners, rows, columns, channels_first):
    place = (..., rows, columns) if channels_first else (slice(None), rows, columns)
    images[place] = images[partners][place]
