"""Batches from a directory with one folder per class, for `flow_from_directory`."""

import os
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_strategies.augmentation._generator.array_iterator import subset_slice
from keras_strategies.augmentation._generator.file_iterator import (
    FileIterator,
    check_class_mode,
    print_message,
)
from keras_strategies.augmentation._generator.reading import FORMATS, Reader

_MODES = ("categorical", "binary", "sparse", "input", None)


def image_files(folder: str, follow_links: bool) -> list[str]:
    """Returns the paths of the image files below a folder, sorted by name."""
    paths = []
    for root, _, names in sorted(os.walk(folder, followlinks=follow_links)):
        for name in sorted(names):
            if name.lower().endswith(".tiff"):
                warnings.warn(
                    'Using ".tiff" files with multiple bands will cause distortion. '
                    "Please verify your output.",
                    stacklevel=4,
                )
            if name.lower().endswith(tuple("." + form for form in FORMATS)):
                paths.append(os.path.join(root, name))
    return paths


class DirectoryIterator(FileIterator):
    """The iterator of `ImageDataGenerator.flow_from_directory`."""

    def __init__(
        self,
        generator: Any,
        directory: str | os.PathLike[str],
        reader: Reader,
        classes: Sequence[str] | None = None,
        class_mode: str | None = "categorical",
        follow_links: bool = False,
        subset: str | None = None,
        **kwargs: Any,
    ) -> None:
        check_class_mode(class_mode, _MODES)
        subset_slice(subset, 0, 0)  # checks the name
        self.directory = directory = os.fspath(directory)
        if not classes:
            names = sorted(os.listdir(directory))
            classes = [n for n in names if os.path.isdir(os.path.join(directory, n))]
        self.num_classes: int = len(classes)
        self.class_indices: dict[str, int] = {name: i for i, name in enumerate(classes)}
        self.subset: str | None = subset
        self.filenames, labels = [], []
        for name, label in self.class_indices.items():
            folder = os.path.join(directory, name)
            if not os.path.isdir(folder):
                raise FileNotFoundError(f"There is no folder for the class: {folder}")
            files = image_files(folder, follow_links)
            files = files[subset_slice(subset, len(files), generator.validation_split)]
            self.filenames += [
                os.path.join(name, os.path.relpath(file, folder)) for file in files
            ]
            labels += [label] * len(files)
        self.classes: Any = np.array(labels, "int32")
        print_message(
            f"Found {len(labels)} images belonging to {self.num_classes} classes."
        )
        if not labels:
            condition = "" if subset is None else f" for subset={subset!r}"
            raise ValueError(
                f"No image was found{condition} in the folders of {directory!r}. It "
                f"must have one folder per class, with files of {', '.join(FORMATS)}."
            )
        paths = [os.path.join(directory, name) for name in self.filenames]
        super().__init__(generator, reader, paths, class_mode, **kwargs)
