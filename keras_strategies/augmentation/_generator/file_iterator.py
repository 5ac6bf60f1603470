"""Batches from image files: what directories and data frames share."""

import sys
import warnings

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies.augmentation._generator.iterator import BatchIterator
from keras_strategies.augmentation._generator.mixing import check_mixing
from keras_strategies.augmentation._generator.reading import CHANNELS, Reader
from keras_strategies.augmentation._generator.transform import transform_images


def check_class_mode(class_mode, allowed):
    """Keras's error for a class mode that is none."""
    if class_mode not in allowed:
        raise ValueError(
            f"Invalid class_mode: {class_mode}; expected one of: {allowed}"
        )


def say(text):
    """What Keras prints about the files it found."""
    if keras.config.is_interactive_logging_enabled():
        sys.stdout.write(text + "\n")


class FileIterator(BatchIterator):
    """Augmented batches of images that are read when they are needed.

    Subclasses set `filenames`, `classes` or `_targets`, and `sample_weight` before
    they call `__init__`.
    """

    prefetch = 2
    sample_weight = None

    def __init__(
        self,
        generator,
        reader,
        filepaths,
        class_mode,
        on_error="raise",
        **kwargs,
    ):
        self.class_mode = class_mode
        self._filepaths = filepaths
        self.samples = len(filepaths)
        self.target_size = reader.target_size
        self.color_mode = reader.color_mode
        self.dtype = generator.dtype
        self.data_format = generator.data_format
        self._reader = reader
        self._shape = (*reader.target_size, CHANNELS[reader.color_mode])
        shape = self._shape
        first = generator.data_format == "channels_first"
        self.image_shape = (shape[2], *shape[:2]) if first else shape
        self.on_error = checks.choice("on_error", on_error, ("raise", "skip"))
        self._skipped = {}
        mixed = {"categorical": [0.0], "binary": [0.0], "raw": self.labels}
        labels = mixed.get(class_mode)
        check_mixing(generator, labels, [])
        super().__init__(generator, self.samples, **kwargs)

    @property
    def filepaths(self):
        """The paths of all files."""
        return self._filepaths

    @property
    def labels(self):
        """The class or the target of every file."""
        targets = getattr(self, "_targets", None)
        return getattr(self, "classes", None) if targets is None else targets

    @property
    def skipped(self):
        """The files left out so far because they cannot be decoded."""
        return [self.filenames[i] for i in sorted(self._skipped)]

    def _images(self, samples, draws):
        order, good = samples.tolist(), np.ones(len(samples), bool)
        if self.on_error == "raise":

            def read(i):
                return self._reader(self._filepaths[order[i]])

        else:

            def read(i):
                try:
                    return self._reader(self._filepaths[order[i]])
                except OSError as error:
                    good[i] = False
                    self._skip(order[i], error)
                    return np.zeros(self._shape, "uint8")

        depth = "float32" if self.color_mode == "grayscale" else "uint8"
        shape = (len(order), *self._shape)
        images = transform_images(
            self.image_data_generator, read, draws, shape, depth, heavy=True
        )
        if good.all():
            return images, samples
        if not good.any():
            raise OSError(
                f"No file of a batch of {len(order)} can be decoded, beginning with "
                f"{str(self._filepaths[order[0]])!r}."
            )
        return images[good], np.flatnonzero(good)

    def _skip(self, sample, error):
        if not self._skipped:
            warnings.warn(
                f"{error} It is left out, as all that follow; `skipped` lists them.",
                stacklevel=2,
            )
        self._skipped[sample] = str(error)

    def _with_targets(self, images, samples, draws):
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


def make_reader(target_size, color_mode, interpolation, keep_aspect_ratio=False):
    """The `Reader` of an iterator's arguments."""
    if isinstance(target_size, list | np.ndarray):
        target_size = tuple(int(side) for side in target_size)
    return Reader(target_size, color_mode, interpolation, bool(keep_aspect_ratio))
