"""The methods of `ImageDataGenerator` that return iterators."""

import warnings

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
    """Iterators over arrays, directories and data frames."""

    def flow(
        self,
        x,
        y=None,
        batch_size=32,
        shuffle=True,
        sample_weight=None,
        seed=None,
        save_to_dir=None,
        save_prefix="",
        save_format="png",
        ignore_class_split=False,
        subset=None,
        *,
        masks=None,
        boxes=None,
        keypoints=None,
        mask_cval=0,
        min_area=1.0,
        min_visibility=0.0,
        **kwargs,
    ):
        """Batches of augmented images from arrays.

        The second part of a batch is the labels, or the masks, boxes or keypoints
        where no others are given; of several, a dict with the keys `labels`, `masks`,
        `boxes` and `keypoints`.

        Args:
            x: Images, an array of rank 4, or a pair of it and an array or a list of
                arrays that come along unchanged. Keep uint8 as it is.
            y: Labels, or `None`.
            batch_size: Images a batch. Default 32.
            shuffle: Whether every epoch has an order of its own.
            sample_weight: Weights of the images, or `None`.
            seed: Of order and transforms; `None` takes NumPy's global one.
            save_to_dir: Directory to which every augmented image is written too.
            save_prefix: What the names of these files begin with.
            save_format: Their ending.
            ignore_class_split: Whether the subsets may have different classes.
            subset: `"training"`, `"validation"` or `None`, see `validation_split`.
            masks: Segmentation masks `(images, height, width)`, with channels or
                without, moved with the images and read at the nearest pixel.
            boxes: Bounding boxes, an array `(images, n, 4)` or a list of `(n, 4)`:
                left, top, right and bottom edge in pixels. Or a dict of `boxes` and
                `labels`. In a batch they are cut to the image; those that left it,
                and padding, are -1 with the label -1.
            keypoints: Array `(images, n, 2)` of x and y, pixel centres being whole
                numbers, or with a third column, which is 0 outside of the image.
            mask_cval: What `fill_mode="constant"` fills masks with. Default 0.
            min_area: Smallest area of a box in pixels that stays. Default 1.
            min_visibility: Smallest part of a moved box inside of the image that
                stays, in [0, 1]. Default 0.
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
        directory,
        target_size=(256, 256),
        color_mode="rgb",
        classes=None,
        class_mode="categorical",
        batch_size=32,
        shuffle=True,
        seed=None,
        save_to_dir=None,
        save_prefix="",
        save_format="png",
        follow_links=False,
        subset=None,
        interpolation="nearest",
        keep_aspect_ratio=False,
        on_error="raise",
        **kwargs,
    ):
        """Batches of augmented images from a directory with one folder a class.

        Files are decoded by the threads that augment, two batches ahead in plain
        iteration; no more is held.

        Args:
            directory: Path of the folders.
            target_size: `(height, width)` of the images.
            color_mode: `"rgb"`, `"rgba"` or `"grayscale"`.
            classes: Names of the folders in the order of their labels. Default: all,
                in alphabetical order.
            class_mode: `"categorical"` (one-hot), `"binary"` or `"sparse"` (numbers),
                `"input"` (the images themselves) or `None` (no labels).
            batch_size: Images a batch. Default 32.
            shuffle: Whether every epoch has an order of its own.
            seed: Of order and transforms; `None` takes NumPy's global one.
            save_to_dir: Directory to which every augmented image is written too.
            save_prefix: What the names of these files begin with.
            save_format: Their ending.
            follow_links: Whether links to folders are followed.
            subset: `"training"`, `"validation"` or `None`, see `validation_split`.
            interpolation: `"nearest"`, `"bilinear"`, `"bicubic"`, `"lanczos"`,
                `"box"` or `"hamming"`. All but `"nearest"` average over the area
                when they shrink, and shrink large JPEGs while they are decoded.
            keep_aspect_ratio: Whether the middle is cut out instead of distorting.
            on_error: `"raise"` names the file that cannot be decoded; `"skip"` leaves
                it out, and the iterator's `skipped` lists what was.
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
        dataframe,
        directory=None,
        x_col="filename",
        y_col="class",
        weight_col=None,
        target_size=(256, 256),
        color_mode="rgb",
        classes=None,
        class_mode="categorical",
        batch_size=32,
        shuffle=True,
        seed=None,
        save_to_dir=None,
        save_prefix="",
        save_format="png",
        subset=None,
        interpolation="nearest",
        validate_filenames=True,
        keep_aspect_ratio=False,
        on_error="raise",
        **kwargs,
    ):
        """Batches of augmented images from a table of file names and labels.

        Args:
            dataframe: A data frame, or a dict of columns.
            directory: What relative file names start from.
            x_col: Column of the file names.
            y_col: Column of the labels, or a list of columns.
            weight_col: Column of sample weights, or `None`.
            target_size: `(height, width)` of the images.
            color_mode: `"rgb"`, `"rgba"` or `"grayscale"`.
            classes: Names of the classes in the order of their labels; rows of
                others are left out. Default: all, in alphabetical order.
            class_mode: Besides those of `flow_from_directory`, `"raw"` (the column
                as it is) and `"multi_output"` (a list of columns). With
                `"categorical"` a row may have a list of classes.
            batch_size: Images a batch. Default 32.
            shuffle: Whether every epoch has an order of its own.
            seed: Of order and transforms; `None` takes NumPy's global one.
            save_to_dir: Directory to which every augmented image is written too.
            save_prefix: What the names of these files begin with.
            save_format: Their ending.
            subset: `"training"`, `"validation"` or `None`, see `validation_split`.
            interpolation: See `flow_from_directory`.
            validate_filenames: Whether missing files are looked for and left out,
                with a warning.
            keep_aspect_ratio: Whether the middle is cut out instead of distorting.
            on_error: See `flow_from_directory`.
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
