"""Methods of `ImageDataGenerator` that return iterators."""

import os
import warnings
from collections.abc import Sequence
from typing import Any, Literal

from keras_strategies.augmentation._generator.array_iterator import NumpyArrayIterator
from keras_strategies.augmentation._generator.dataframe_iterator import (
    DataFrameIterator,
)
from keras_strategies.augmentation._generator.directory_iterator import (
    DirectoryIterator,
)
from keras_strategies.augmentation._generator.file_iterator import make_reader

_OLD_ARGUMENTS = {
    "has_ext": "filenames in the dataframe have to match the exact filenames in disk.",
    "sort": "batches come in the order of the filenames if `shuffle` is False.",
    "drop_duplicates": "use the pandas.DataFrame.drop_duplicates method.",
}


class Flows:
    """Mixin with iterators over arrays, directories and data frames."""

    def flow(
        self,
        x: Any,
        y: Any = None,
        batch_size: int = 32,
        shuffle: bool = True,
        sample_weight: Any = None,
        seed: int | None = None,
        save_to_dir: str | os.PathLike[str] | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        ignore_class_split: bool = False,
        subset: str | None = None,
        *,
        masks: Any = None,
        boxes: Any = None,
        keypoints: Any = None,
        mask_cval: float = 0,
        min_area: float = 1.0,
        min_visibility: float = 0.0,
        **kwargs: Any,
    ) -> NumpyArrayIterator:
        """Returns batches of augmented images from arrays.

        The targets of a batch are the labels, masks, boxes or keypoints; if several are
        given, a dict with the keys `labels`, `masks`, `boxes` and `keypoints`.

        Args:
            x: Images, an array of rank 4, or a pair of it and an array or a list of
                arrays that are passed on unchanged. Do not convert uint8 images.
            y: Labels, or `None`. Defaults to `None`.
            batch_size: Images per batch. Defaults to `32`.
            shuffle: Whether to shuffle the images in each epoch. Defaults to `True`.
            sample_weight: Weights of the images, or `None`. Defaults to `None`.
            seed: Seed of order and transforms; `None` uses NumPy's global one. Defaults
                to `None`.
            save_to_dir: Directory in which to save augmented images, or `None`.
                Defaults to `None`.
            save_prefix: Prefix of the names of these files. Defaults to `""`.
            save_format: Suffix of these files. Defaults to `"png"`.
            ignore_class_split: Whether the subsets may have different classes. Defaults
                to `False`.
            subset: `"training"`, `"validation"` or `None`, see `validation_split`.
                Defaults to `None`.
            masks: Segmentation masks `(images, height, width)`, with or without
                channels, transformed with the images and read at the nearest pixel.
                Defaults to `None`.
            boxes: Bounding boxes, an array `(images, n, 4)` or a list of `(n, 4)`:
                left, top, right and bottom edge in pixels. Or a dict of `boxes` and
                `labels`. In a batch they are clipped to the image; boxes outside of it,
                and padding, are -1 with the label -1. Defaults to `None`.
            keypoints: Array `(images, n, 2)` of x and y, with pixel centers at
                integers, or with a third column, which is 0 outside of the image.
                Defaults to `None`.
            mask_cval: Value of masks outside for `fill_mode="constant"`. Defaults to
                `0`.
            min_area: Smallest area of a box in pixels. Defaults to `1`.
            min_visibility: Smallest visible fraction of a transformed box, in
                [0, 1]. Defaults to `0`.
            **kwargs: `workers`, `use_multiprocessing` and `max_queue_size` of
                `keras.utils.PyDataset`.
        """
        targets = {
            "masks": masks,
            "boxes": boxes,
            "keypoints": keypoints,
            "mask_cval": mask_cval,
            "min_area": min_area,
            "min_visibility": min_visibility,
        }
        return NumpyArrayIterator(
            self,
            x,
            y,
            sample_weight=sample_weight,
            subset=subset,
            ignore_class_split=ignore_class_split,
            targets=targets,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            saving=(save_to_dir, save_prefix, save_format),
            **kwargs,
        )

    def flow_from_directory(
        self,
        directory: str | os.PathLike[str],
        target_size: Any = (256, 256),
        color_mode: Literal["rgb", "rgba", "grayscale"] = "rgb",
        classes: Sequence[str] | None = None,
        class_mode: str | None = "categorical",
        batch_size: int = 32,
        shuffle: bool = True,
        seed: int | None = None,
        save_to_dir: str | os.PathLike[str] | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        follow_links: bool = False,
        subset: str | None = None,
        interpolation: str = "nearest",
        keep_aspect_ratio: bool = False,
        on_error: Literal["raise", "skip"] = "raise",
        **kwargs: Any,
    ) -> DirectoryIterator:
        """Returns batches of augmented images from a directory of class folders.

        Files are decoded by the threads that augment them, two batches ahead in plain
        iteration; no other images are in memory.

        Args:
            directory: Path of the folders.
            target_size: `(height, width)` of the images. Defaults to `(256, 256)`.
            color_mode: `"rgb"`, `"rgba"` or `"grayscale"`. Defaults to `"rgb"`.
            classes: Names of the folders in the order of their labels. Defaults to
                `None`: all, in alphabetical order.
            class_mode: `"categorical"` (one-hot), `"binary"` or `"sparse"` (numbers),
                `"input"` (the images themselves) or `None` (no labels). Defaults to
                `"categorical"`.
            batch_size: Images per batch. Defaults to `32`.
            shuffle: Whether to shuffle the images in each epoch. Defaults to `True`.
            seed: Seed of order and transforms; `None` uses NumPy's global one. Defaults
                to `None`.
            save_to_dir: Directory in which to save augmented images, or `None`.
                Defaults to `None`.
            save_prefix: Prefix of the names of these files. Defaults to `""`.
            save_format: Suffix of these files. Defaults to `"png"`.
            follow_links: Whether to follow symbolic links to folders. Defaults to
                `False`.
            subset: `"training"`, `"validation"` or `None`, see `validation_split`.
                Defaults to `None`.
            interpolation: `"nearest"`, `"bilinear"`, `"bicubic"`, `"lanczos"`,
                `"box"` or `"hamming"`. All but `"nearest"` average over the area
                when they downsample, and decode large JPEGs at a lower resolution.
                Defaults to `"nearest"`.
            keep_aspect_ratio: Whether to crop the center instead of distorting the
                image. Defaults to `False`.
            on_error: `"raise"` raises an error for a file that cannot be decoded;
                `"skip"` skips it, and the iterator's `skipped` lists such files.
                Defaults to `"raise"`.
            **kwargs: `workers`, `use_multiprocessing` and `max_queue_size` of
                `keras.utils.PyDataset`.
        """
        return DirectoryIterator(
            self,
            directory,
            make_reader(target_size, color_mode, interpolation, keep_aspect_ratio),
            classes=classes,
            class_mode=class_mode,
            follow_links=follow_links,
            subset=subset,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            saving=(save_to_dir, save_prefix, save_format),
            on_error=on_error,
            **kwargs,
        )

    def flow_from_dataframe(
        self,
        dataframe: Any,
        directory: str | os.PathLike[str] | None = None,
        x_col: str = "filename",
        y_col: str | list[str] = "class",
        weight_col: str | None = None,
        target_size: Any = (256, 256),
        color_mode: Literal["rgb", "rgba", "grayscale"] = "rgb",
        classes: Sequence[str] | None = None,
        class_mode: str | None = "categorical",
        batch_size: int = 32,
        shuffle: bool = True,
        seed: int | None = None,
        save_to_dir: str | os.PathLike[str] | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        subset: str | None = None,
        interpolation: str = "nearest",
        validate_filenames: bool = True,
        keep_aspect_ratio: bool = False,
        on_error: Literal["raise", "skip"] = "raise",
        **kwargs: Any,
    ) -> DataFrameIterator:
        """Returns batches of augmented images from a table of file names and labels.

        Args:
            dataframe: A data frame, or a dict of columns.
            directory: Directory of relative file names, or `None`. Defaults to `None`.
            x_col: Column of the file names. Defaults to `"filename"`.
            y_col: Column of the labels, or a list of columns. Defaults to `"class"`.
            weight_col: Column of sample weights, or `None`. Defaults to `None`.
            target_size: `(height, width)` of the images. Defaults to `(256, 256)`.
            color_mode: `"rgb"`, `"rgba"` or `"grayscale"`. Defaults to `"rgb"`.
            classes: Names of the classes in the order of their labels; rows of other
                classes are dropped. Defaults to `None`: all, in alphabetical order.
            class_mode: Besides those of `flow_from_directory`, `"raw"` (the column
                as it is) and `"multi_output"` (a list of columns). With
                `"categorical"` a row may have a list of classes. Defaults to
                `"categorical"`.
            batch_size: Images per batch. Defaults to `32`.
            shuffle: Whether to shuffle the images in each epoch. Defaults to `True`.
            seed: Seed of order and transforms; `None` uses NumPy's global one. Defaults
                to `None`.
            save_to_dir: Directory in which to save augmented images, or `None`.
                Defaults to `None`.
            save_prefix: Prefix of the names of these files. Defaults to `""`.
            save_format: Suffix of these files. Defaults to `"png"`.
            subset: `"training"`, `"validation"` or `None`, see `validation_split`.
                Defaults to `None`.
            interpolation: See `flow_from_directory`. Defaults to `"nearest"`.
            validate_filenames: Whether to drop rows of missing files, with a warning.
                Defaults to `True`.
            keep_aspect_ratio: Whether to crop the center instead of distorting the
                image. Defaults to `False`.
            on_error: See `flow_from_directory`. Defaults to `"raise"`.
            **kwargs: `workers`, `use_multiprocessing` and `max_queue_size` of
                `keras.utils.PyDataset`.
        """
        for name, words in _OLD_ARGUMENTS.items():
            if kwargs.pop(name, None) is not None:
                text = f"{name} is deprecated: {words}"
                warnings.warn(text, DeprecationWarning, stacklevel=2)
        if class_mode == "other":
            text = '`class_mode="other"` is deprecated, please use `class_mode="raw"`.'
            warnings.warn(text, DeprecationWarning, stacklevel=2)
            class_mode = "raw"
        return DataFrameIterator(
            self,
            dataframe,
            directory,
            make_reader(target_size, color_mode, interpolation, keep_aspect_ratio),
            x_col,
            y_col,
            weight_col=weight_col,
            classes=classes,
            class_mode=class_mode,
            subset=subset,
            validate_filenames=validate_filenames,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            saving=(save_to_dir, save_prefix, save_format),
            on_error=on_error,
            **kwargs,
        )
