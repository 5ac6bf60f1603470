"""Folders of images as samples for a model with one image input."""

import contextlib
import io
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies.export._common.model_signature import Spec

# Number of channels -> the color mode of Keras's reader.
_COLOR_MODES = {1: "grayscale", 3: "rgb", 4: "rgba"}


def read_images(
    name: str,
    folder: str | os.PathLike[str],
    specs: Sequence[Spec],
    limit: int,
    normalization: Mapping[str, Any] | None = None,
) -> np.ndarray:
    """Returns at most `limit` images of `folder` as a float32 array.

    Images of subfolders count too; they are drawn in a fixed random order, so that a
    sample from many folders has some images of each. They are resized to the model's
    input (bilinear, aspect ratio not preserved) and have the values 0 to 255, which
    then go through `normalization`, `(x * scale + offset - mean) / std`.

    Args:
        name: The argument's name, for messages.
        folder: Path of the folder.
        specs: List of `Spec`, of which there must be one.
        limit: Maximum number of images to read.
        normalization: Dict with `scale`, `offset`, `mean` and `std`, or `None`.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        rule = f"`{name}` must be an existing folder of images, or arrays"
        raise FileNotFoundError(checks.message(rule, {name: str(folder)}))
    height, width, color_mode = _image_format(name, specs)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # "Found 12 files."
            dataset = keras.utils.image_dataset_from_directory(
                str(folder),
                labels=None,
                color_mode=color_mode,
                batch_size=1,
                image_size=(height, width),
                shuffle=True,
                seed=0,
            )
    except ValueError as error:
        rule = f"`{name}` must be a folder with images (bmp, gif, jpeg, png)"
        fix = f"Keras says: {error}"
        raise ValueError(checks.message(rule, {name: str(folder)}, fix)) from error
    images = np.concatenate([batch.numpy() for batch in dataset.take(limit)])
    return normalize(images.astype("float32"), normalization)


def normalize(
    images: np.ndarray, normalization: Mapping[str, Any] | None
) -> np.ndarray:
    """Returns `(images * scale + offset - mean) / std` in float32."""
    settings = {"scale": 1.0, "offset": 0.0, "mean": 0.0, "std": 1.0}
    settings |= normalization or {}
    scale, offset, mean, std = (
        np.asarray(settings[key], "float32")
        for key in ("scale", "offset", "mean", "std")
    )
    return (images * scale + offset - mean) / std


def _image_format(name, specs):
    """Returns `(height, width, color mode)` of the model's only input."""
    shape = specs[0].shape
    if len(specs) != 1 or len(shape) != 4 or shape[-1] not in _COLOR_MODES:
        fix = "Give arrays by input name instead."
        checks.fail(
            f"`{name}` as a folder needs a model with one image input "
            "(height, width, 1, 3 or 4 channels)",
            fix=fix,
            inputs={spec.name: spec.shape for spec in specs},
        )
    if None in shape[1:3]:
        fix = "Read and resize the images, and give them as an array."
        checks.fail(
            f"`{name}` as a folder needs a model with a fixed image size",
            fix=fix,
            shape=shape,
        )
    return shape[1], shape[2], _COLOR_MODES[shape[-1]]
