"""Batches from a directory with one folder a class."""

import os
import warnings

import numpy as np

from keras_strategies.augmentation._generator.array_iterator import part_of
from keras_strategies.augmentation._generator.file_iterator import (
    FileIterator,
    check_class_mode,
    say,
)
from keras_strategies.augmentation._generator.reading import FORMATS

_MODES = ("categorical", "binary", "sparse", "input", None)


def image_files(folder, follow_links):
    """The paths of the image files below a folder, in the order of their names."""
    found = []
    for root, _, names in sorted(os.walk(folder, followlinks=follow_links)):
        for name in sorted(names):
            if name.lower().endswith(".tiff"):
                warnings.warn(
                    'Using ".tiff" files with multiple bands will cause distortion. '
                    "Please verify your output.",
                    stacklevel=4,
                )
            if name.lower().endswith(tuple("." + form for form in FORMATS)):
                found.append(os.path.join(root, name))
    return found


class DirectoryIterator(FileIterator):
    """The iterator of `ImageDataGenerator.flow_from_directory`."""

    def __init__(
        self,
        generator,
        directory,
        reader,
        classes=None,
        class_mode="categorical",
        follow_links=False,
        subset=None,
        **kwargs,
    ):
        check_class_mode(class_mode, _MODES)
        part_of(subset, 0, 0)
        self.directory = directory = os.fspath(directory)
        if not classes:
            names = sorted(os.listdir(directory))
            classes = [n for n in names if os.path.isdir(os.path.join(directory, n))]
        self.num_classes = len(classes)
        self.class_indices = {name: i for i, name in enumerate(classes)}
        self.subset = subset
        self.filenames, labels = [], []
        for name, label in self.class_indices.items():
            folder = os.path.join(directory, name)
            if not os.path.isdir(folder):
                raise FileNotFoundError(f"There is no folder for the class: {folder}")
            files = image_files(folder, follow_links)
            files = files[part_of(subset, len(files), generator.validation_split)]
            self.filenames += [
                os.path.join(name, os.path.relpath(file, folder)) for file in files
            ]
            labels += [label] * len(files)
        self.classes = np.array(labels, "int32")
        say(f"Found {len(labels)} images belonging to {self.num_classes} classes.")
        if not labels:
            part = "" if subset is None else f" for subset={subset!r}"
            raise ValueError(
                f"No image was found{part} in the folders of {directory!r}. It must "
                f"have one folder a class, with files of {', '.join(FORMATS)}."
            )
        paths = [os.path.join(directory, name) for name in self.filenames]
        super().__init__(generator, reader, paths, class_mode, **kwargs)
