"""Batches from a table of file names and labels."""

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

_UNCLASSED = ("input", "multi_output", "raw", None)
_MODES = ("binary", "categorical", "sparse", *_UNCLASSED)


class _Table:
    """Some columns of a data frame, or of a dict of sequences, as lists."""

    def __init__(self, dataframe, names):
        missing = [name for name in names if name not in dataframe]
        if missing:
            raise KeyError(f"The dataframe lacks the columns {missing}.")
        self._columns = {name: list(dataframe[name]) for name in names}

    def __getitem__(self, name):
        return self._columns[name]

    def keep(self, rows):
        """Keeps some rows, by a slice or by their numbers."""
        for name, column in self._columns.items():
            part = (
                column[rows] if isinstance(rows, slice) else [column[i] for i in rows]
            )
            self._columns[name] = part


def _check_types(table, class_mode, x_col, y_col, weight_col):
    if not all(isinstance(value, str) for value in table[x_col]):
        raise TypeError(f"All values in column x_col={x_col} must be strings.")
    if class_mode in ("binary", "sparse", "categorical"):
        types, words = str, "strings"
        if class_mode == "categorical":
            types, words = (str, list, tuple), "type string, list or tuple"
        if not all(isinstance(value, types) for value in table[y_col]):
            raise TypeError(
                f'If class_mode="{class_mode}", y_col="{y_col}" column values must be '
                f"{words}."
            )
    if weight_col is not None:
        kind = np.asarray(table[weight_col]).dtype
        if not np.issubdtype(kind, np.number):
            raise TypeError(f"Column weight_col={weight_col} must be numeric.")


def _check_classes(table, class_mode, y_col, classes):
    if class_mode in _UNCLASSED and classes:
        warnings.warn(
            f'`classes` will be ignored given the class_mode="{class_mode}"',
            stacklevel=4,
        )
    if class_mode != "binary":
        return
    count = len(set(classes)) if classes else len(set(table[y_col]))
    if count != 2:
        found = f"{count} class/es were given" if classes else f"Found {count} classes"
        raise ValueError(f'If class_mode="binary" there must be 2 classes. {found}.')


def _keep_files(table, directory, x_col):
    forms = tuple("." + form for form in FORMATS)

    def exists(name):
        path = os.path.join(directory, name)
        return path.lower().endswith(forms) and os.path.isfile(path)

    names = table[x_col]
    good = [i for i, name in enumerate(names) if exists(name)]
    if len(good) < len(names):
        warnings.warn(
            f"Found {len(names) - len(good)} invalid image filename(s) in "
            f'x_col="{x_col}". These filename(s) will be ignored.',
            stacklevel=4,
        )
        table.keep(good)


def _keep_classes(table, y_col, classes):
    """The classes in their order; rows of other classes go."""

    def as_list(label):
        return [label] if isinstance(label, str) else list(label)

    labels = [as_list(label) for label in table[y_col]]
    if not classes:
        return sorted({name for label in labels for name in label})
    classes = list(dict.fromkeys(classes))
    labels = [[name for name in label if name in classes] for label in labels]
    for i, label in enumerate(labels):
        if label and not isinstance(table[y_col][i], str):
            table[y_col][i] = label
    table.keep([i for i, label in enumerate(labels) if label])
    return classes


class DataFrameIterator(FileIterator):
    """The iterator of `ImageDataGenerator.flow_from_dataframe`."""

    def __init__(
        self,
        generator,
        dataframe,
        directory,
        reader,
        x_col,
        y_col,
        weight_col=None,
        classes=None,
        class_mode="categorical",
        subset=None,
        validate_filenames=True,
        **kwargs,
    ):
        check_class_mode(class_mode, _MODES)
        if class_mode == "multi_output" and not isinstance(y_col, list):
            raise TypeError(
                f'If class_mode="{class_mode}", y_col must be a list. Received '
                f"{type(y_col).__name__}."
            )
        self.directory = "" if directory is None else os.fspath(directory)
        columns = y_col if isinstance(y_col, list) else [y_col]
        names = [x_col, *(columns if class_mode not in (None, "input") else [])]
        names += [] if weight_col is None else [weight_col]
        table = _Table(dataframe, names)
        _check_types(table, class_mode, x_col, y_col, weight_col)
        _check_classes(table, class_mode, y_col, classes)
        if validate_filenames:
            _keep_files(table, self.directory, x_col)
        if class_mode not in _UNCLASSED:
            classes = _keep_classes(table, y_col, classes)
            self.class_indices = {name: i for i, name in enumerate(classes)}
        count = len(table[x_col])
        table.keep(part_of(subset, count, generator.validation_split))
        self.subset = subset
        self._take_targets(table, class_mode, y_col)
        self.filenames = table[x_col]
        if weight_col is not None:
            self.sample_weight = np.asarray(table[weight_col])
        self._tell(class_mode, validate_filenames)
        paths = [os.path.join(self.directory, name) for name in self.filenames]
        super().__init__(generator, reader, paths, class_mode, **kwargs)

    def _take_targets(self, table, class_mode, y_col):
        if class_mode == "multi_output":
            self._targets = [np.array(table[name]) for name in y_col]
        elif class_mode == "raw":
            if isinstance(y_col, list):
                self._targets = np.stack([table[name] for name in y_col], axis=1)
            else:
                self._targets = np.asarray(table[y_col])
        elif class_mode not in _UNCLASSED:
            of = self.class_indices
            self.classes = [
                of[label] if isinstance(label, str) else [of[name] for name in label]
                for label in table[y_col]
            ]

    def _tell(self, class_mode, validated):
        text = "validated" if validated else "non-validated"
        count, end = len(self.filenames), "."
        if class_mode not in _UNCLASSED:
            end = f" belonging to {len(self.class_indices)} classes."
        say(f"Found {count} {text} image filenames{end}")
        if not count:
            raise ValueError(
                "No row of the dataframe is left: its files are missing, no images "
                "by their ending, or of none of the classes. Looked in "
                f"{self.directory or os.getcwd()!r}."
            )
