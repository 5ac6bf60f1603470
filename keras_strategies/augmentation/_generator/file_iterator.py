"""Base of iterators over image files."""

import sys
import warnings
from collections.abc import Sequence
from typing import Any, Literal

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.types import Tensor
from keras_strategies.augmentation._generator.iterator import BatchIterator
from keras_strategies.augmentation._generator.mixing import check_mixing
from keras_strategies.augmentation._generator.reading import CHANNELS, Reader
from keras_strategies.augmentation._generator.tiff import has_wide_samples
from keras_strategies.augmentation._generator.transform import transform_images


def check_class_mode(class_mode: str | None, allowed: Sequence[str | None]) -> None:
    """Raises Keras's error for an invalid class mode."""
    if class_mode not in allowed:
        raise ValueError(
            f"Invalid class_mode: {class_mode}; expected one of: {allowed}"
        )


def print_message(text: str) -> None:
    """Prints a message about files, unless Keras's logging is disabled."""
    if keras.config.is_interactive_logging_enabled():
        sys.stdout.write(text + "\n")


class FileIterator(BatchIterator):
    """Augmented batches of images that are read on demand.

    Subclasses set `filenames`, `classes` or `_targets`, and `sample_weight` before they
    call `__init__`.
    """

    prefetch = 2
    sample_weight = None

    def __init__(
        self,
        generator: Any,
        reader: Reader,
        filepaths: Sequence[str],
        class_mode: str | None,
        on_error: Literal["raise", "skip"] = "raise",
        **kwargs: Any,
    ) -> None:
        self.class_mode: str | None = class_mode
        self._filepaths = filepaths
        self.samples: int = len(filepaths)
        self.target_size: Any = reader.target_size
        self.color_mode: str = reader.color_mode
        self.dtype: str = generator.dtype
        self.data_format: str = generator.data_format
        self._reader = reader
        self._shape = (*reader.target_size, CHANNELS[reader.color_mode])
        shape = self._shape
        is_channels_first = generator.data_format == "channels_first"
        self.image_shape: tuple[int, ...] = (
            (shape[2], *shape[:2]) if is_channels_first else shape
        )
        self.on_error: str = checks.choice("on_error", on_error, ("raise", "skip"))
        self._skipped = {}
        self._wide: dict[int, bool] = {}
        # One-hot and binary labels become floats, as MixUp and CutMix require.
        mixable = {"categorical": [0.0], "binary": [0.0], "raw": self.labels}
        check_mixing(generator, mixable.get(class_mode), [])
        super().__init__(generator, self.samples, **kwargs)

    @property
    def filepaths(self) -> Sequence[str]:
        """The paths of all files."""
        return self._filepaths

    @property
    def labels(self) -> Any:
        """The class or the target of every file."""
        targets = getattr(self, "_targets", None)
        return getattr(self, "classes", None) if targets is None else targets

    @property
    def skipped(self) -> list[str]:
        """The files skipped so far because they cannot be decoded."""
        return [self.filenames[i] for i in sorted(self._skipped)]

    def _images(self, samples: np.ndarray, draws: Any) -> tuple[Any, Any]:
        order, decoded = samples.tolist(), np.ones(len(samples), bool)
        if self.on_error == "raise":

            def read(i: int) -> Any:
                return self._reader(self._filepaths[order[i]])

        else:

            def read(i: int) -> Any:
                try:
                    return self._reader(self._filepaths[order[i]])
                except OSError as error:
                    decoded[i] = False
                    self._skip(order[i], error)
                    return np.zeros(self._shape, "uint8")

        is_deep = self.color_mode == "grayscale" or any(map(self._is_wide, order))
        depth = "float32" if is_deep else "uint8"
        shape = (len(order), *self._shape)
        images = transform_images(
            self.image_data_generator, read, draws, shape, depth, heavy=True
        )
        if decoded.all():
            return images, samples
        if not decoded.any():
            raise OSError(
                f"No file of a batch of {len(order)} can be decoded, beginning with "
                f"{str(self._filepaths[order[0]])!r}."
            )
        return images[decoded], np.flatnonzero(decoded)

    def _is_wide(self, i: int) -> bool:
        """Returns whether a file stores numbers that do not fit in 8 bits."""
        if not self._filepaths[i].lower().endswith((".tif", ".tiff")):
            return False
        if i not in self._wide:
            try:
                with open(self._filepaths[i], "rb") as file:
                    self._wide[i] = has_wide_samples(file)
            except OSError:  # which reading the image reports
                return False
        return self._wide[i]

    def _skip(self, sample: int, error: Exception) -> None:
        if not self._skipped:
            warnings.warn(
                f"{error} It is skipped, as all that follow; `skipped` lists them.",
                stacklevel=2,
            )
        self._skipped[sample] = str(error)

    def _with_targets(self, images: Tensor, samples: np.ndarray, draws: Any) -> Any:
        mode = self.class_mode
        if mode is None:
            return images
        if mode == "input":
            targets = images.copy()
        elif mode in ("binary", "sparse"):
            targets = np.array([self.classes[i] for i in samples], self.dtype)
        elif mode == "categorical":
            targets = np.zeros((len(samples), len(self.class_indices)), self.dtype)
            for row, i in enumerate(samples):
                targets[row, self.classes[i]] = 1
        elif mode == "multi_output":
            targets = [target[samples] for target in self._targets]
        else:
            targets = self._targets[samples]
        if self.sample_weight is None:
            return images, targets
        return images, targets, self.sample_weight[samples]


def make_reader(
    target_size: Any,
    color_mode: Literal["rgb", "rgba", "grayscale"],
    interpolation: str,
    keep_aspect_ratio: bool = False,
) -> Reader:
    """Returns the `Reader` for the arguments of an iterator."""
    if isinstance(target_size, list | np.ndarray):
        target_size = tuple(int(side) for side in target_size)
    return Reader(target_size, color_mode, interpolation, bool(keep_aspect_ratio))
