"""Batches from arrays, for `ImageDataGenerator.flow`."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_strategies._internal.types import Tensor
from keras_strategies.augmentation._generator.iterator import BatchIterator
from keras_strategies.augmentation._generator.mixing import check_mixing
from keras_strategies.augmentation._generator.targets import make_targets
from keras_strategies.augmentation._generator.transform import transform_images


def _unpack(x: Any) -> tuple[Any, list[Any]]:
    """Returns the images and the list of additional inputs."""
    if not isinstance(x, list | tuple) or len(x) < 2:
        return x, []
    if np.ndim(x[0]) != 4:
        return x, []  # a list of images
    extra = x[1] if isinstance(x[1], list) else [x[1]]
    extra = [np.asarray(array) for array in extra]
    for array in extra:
        if len(array) != len(x[0]):
            raise ValueError(
                "All of the arrays in `x` should have the same length. Found a pair "
                f"with: len(x[0]) = {len(x[0])}, len(x[?]) = {len(array)}"
            )
    return x[0], extra


def _check_length(x: Any, name: str, value: Any, meaning: str) -> None:
    if value is not None and len(value) != len(x):
        raise ValueError(
            f"`x` (images tensor) and `{name}` ({meaning}) should have the same "
            f"length. Found: x.shape = {np.shape(x)}, "
            f"{name}.shape = {np.shape(value)}"
        )


def subset_slice(subset: str | None, count: int, validation_split: float) -> slice:
    """Returns the slice of a subset; validation samples are the first ones."""
    if subset is None:
        return slice(None)
    if subset not in ("training", "validation"):
        raise ValueError(
            f"Invalid subset name: {subset}; expected 'training' or 'validation'."
        )
    split = int(count * validation_split)
    return slice(split) if subset == "validation" else slice(split, None)


class NumpyArrayIterator(BatchIterator):
    """Augmented batches of images in memory; uint8 images are not converted."""

    def __init__(
        self,
        generator: Any,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        subset: str | None = None,
        ignore_class_split: bool = False,
        targets: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        x, extra_inputs = _unpack(x)
        x = np.asarray(x)
        _check_length(x, "y", y, "labels")
        _check_length(x, "sample_weight", sample_weight, "weights")
        selected = subset_slice(subset, len(x), generator.validation_split)
        if y is not None and subset is not None and not ignore_class_split:
            self._check_classes(np.asarray(y), generator.validation_split)
        self._start, num_images = selected.start or 0, len(x)
        x = x[selected]
        dtype = np.dtype(generator.dtype)
        self.x: np.ndarray = x if x.dtype == np.uint8 else x.astype(dtype, copy=False)
        self.x_misc: list[Any] = [array[selected] for array in extra_inputs]
        if self.x.ndim != 4:
            raise ValueError(
                "Input data in `NumpyArrayIterator` should have rank 4. You passed an "
                f"array with shape {self.x.shape}"
            )
        warn_of_channels(generator, self.x.shape, "NumpyArrayIterator")
        self.y: Any = None if y is None else np.asarray(y)[selected]
        weights = None if sample_weight is None else np.asarray(sample_weight)[selected]
        self.sample_weight: Any = weights
        self._is_channels_first = generator.data_format == "channels_first"
        shape = self.x.shape[1:]
        self._shape = (*shape[1:], shape[0]) if self._is_channels_first else shape
        self._targets = make_targets(
            generator, num_images, self._shape, **(targets or {})
        )
        unmixable = ["the other inputs"] if self.x_misc else []
        check_mixing(generator, self.y, [*self._targets, *unmixable])
        super().__init__(generator, len(self.x), **kwargs)

    @staticmethod
    def _check_classes(y: Any, validation_split: float) -> None:
        split = int(len(y) * validation_split)
        if not np.array_equal(np.unique(y[:split]), np.unique(y[split:])):
            raise ValueError(
                "Training and validation subsets have different number of classes "
                "after the split. If your numpy arrays are sorted by the label, you "
                "might want to shuffle them."
            )

    def _images(self, samples: np.ndarray, draws: Any) -> tuple[Any, Any]:
        x, order = self.x, samples.tolist()
        if self._is_channels_first:

            def read(i: int) -> Any:
                return x[order[i]].transpose(1, 2, 0)

        else:

            def read(i: int) -> Any:
                return x[order[i]]

        images = transform_images(
            self.image_data_generator,
            read,
            draws,
            (len(order), *self._shape),
            x.dtype,
            ready=not self._is_channels_first and x.flags.c_contiguous,
        )
        return images, samples

    def _with_targets(self, images: Tensor, samples: np.ndarray, draws: Any) -> Any:
        images = [images, *(array[samples] for array in self.x_misc)]
        images = images if self.x_misc else images[0]
        targets = {} if self.y is None else {"labels": self.y[samples]}
        for name, make_batch in self._targets.items():
            targets[name] = make_batch(samples + self._start, draws)
        if not targets:
            return images
        batch = images, next(iter(targets.values())) if len(targets) == 1 else targets
        if self.sample_weight is not None:
            batch += (self.sample_weight[samples],)
        return batch


def warn_of_channels(generator: Any, shape: Any, caller: str) -> None:
    """Warns if the axis of the channels does not match the data format."""
    axis = generator.channel_axis
    if shape[axis] not in {1, 3, 4}:
        warnings.warn(
            f"{caller} is set to use the data format convention "
            f'"{generator.data_format}" (channels on axis {axis}), i.e. expected '
            f"either 1, 3, or 4 channels on axis {axis}. However, it was passed an "
            f"array with shape {shape} ({shape[axis]} channels).",
            stacklevel=4,
        )
