"""Batches from a table of file names, for `flow_from_dataframe`."""

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

_UNCLASSED = ("input", "multi_output", "raw", None)
_MODES = ("binary", "categorical", "sparse", *_UNCLASSED)


class _Table:
    """Columns of a data frame, or of a dict of sequences, as lists."""

    def __init__(self, dataframe: Any, names: Sequence[str]) -> None:
        missing = [name for name in names if name not in dataframe]
        if missing:
            raise KeyError(f"The dataframe lacks the columns {missing}.")
        self._columns = {name: list(dataframe[name]) for name in names}

    def __getitem__(self, name: str) -> Any:
        return self._columns[name]

    def select(self, rows: Any) -> None:
        """Drops all but some rows, a slice or a list of their indices."""
        for name, column in self._columns.items():
            self._columns[name] = (
                column[rows] if isinstance(rows, slice) else [column[i] for i in rows]
            )


def _check_types(
    table: _Table,
    class_mode: str | None,
    x_col: str,
    y_col: str | list[str],
    weight_col: str | None,
) -> None:
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


def _check_classes(
    table: _Table,
    class_mode: str | None,
    y_col: str | list[str],
    classes: Sequence[str] | None,
) -> None:
    if class_mode in _UNCLASSED and classes:
        warnings.warn(
            f'`classes` will be ignored given the class_mode="{class_mode}"',
            stacklevel=4,
        )
    if class_mode != "binary":
        return
    count = len(set(classes)) if classes else len(set(table[y_col]))
    if count != 2:
        received = (
            f"{count} class/es were given" if classes else f"Found {count} classes"
        )
        raise ValueError(f'If class_mode="binary" there must be 2 classes. {received}.')


def _drop_missing_files(
    table: _Table, directory: str | os.PathLike[str], x_col: str
) -> None:
    forms = tuple("." + form for form in FORMATS)

    def exists(name: str) -> bool:
        path = os.path.join(directory, name)
        return path.lower().endswith(forms) and os.path.isfile(path)

    names = table[x_col]
    existing = [i for i, name in enumerate(names) if exists(name)]
    if len(existing) < len(names):
        warnings.warn(
            f"Found {len(names) - len(existing)} invalid image filename(s) in "
            f'x_col="{x_col}". These filename(s) will be ignored.',
            stacklevel=4,
        )
        table.select(existing)


def _drop_other_classes(
    table: _Table, y_col: str | list[str], classes: Sequence[str] | None
) -> list[str]:
    """Returns the classes in order; drops rows of other classes from the table."""

    def as_list(label: Any) -> list[str]:
        return [label] if isinstance(label, str) else list(label)

    labels = [as_list(label) for label in table[y_col]]
    if not classes:
        return sorted({name for label in labels for name in label})
    classes = list(dict.fromkeys(classes))
    labels = [[name for name in label if name in classes] for label in labels]
    for i, label in enumerate(labels):
        if label and not isinstance(table[y_col][i], str):
            table[y_col][i] = label
    table.select([i for i, label in enumerate(labels) if label])
    return classes


class DataFrameIterator(FileIterator):
    """The iterator of `ImageDataGenerator.flow_from_dataframe`."""

    def __init__(
        self,
        generator: Any,
        dataframe: Any,
        directory: str | os.PathLike[str] | None,
        reader: Reader,
        x_col: str,
        y_col: str | list[str],
        weight_col: str | None = None,
        classes: Sequence[str] | None = None,
        class_mode: str | None = "categorical",
        subset: str | None = None,
        validate_filenames: bool = True,
        **kwargs: Any,
    ) -> None:
        check_class_mode(class_mode, _MODES)
        if class_mode == "multi_output" and not isinstance(y_col, list):
            raise TypeError(
                f'If class_mode="{class_mode}", y_col must be a list. Received '
                f"{type(y_col).__name__}."
            )
        self.directory: str = "" if directory is None else os.fspath(directory)
        columns = y_col if isinstance(y_col, list) else [y_col]
        names = [x_col, *(columns if class_mode not in (None, "input") else [])]
        names += [] if weight_col is None else [weight_col]
        table = _Table(dataframe, names)
        _check_types(table, class_mode, x_col, y_col, weight_col)
        _check_classes(table, class_mode, y_col, classes)
        if validate_filenames:
            _drop_missing_files(table, self.directory, x_col)
        if class_mode not in _UNCLASSED:
            classes = _drop_other_classes(table, y_col, classes)
            self.class_indices: dict[str, int] = {
                name: i for i, name in enumerate(classes)
            }
        count = len(table[x_col])
        table.select(subset_slice(subset, count, generator.validation_split))
        self.subset: str | None = subset
        self._set_targets(table, class_mode, y_col)
        self.filenames: list[str] = table[x_col]
        if weight_col is not None:
            self.sample_weight: Any = np.asarray(table[weight_col])
        self._report_files(class_mode, validate_filenames)
        paths = [os.path.join(self.directory, name) for name in self.filenames]
        super().__init__(generator, reader, paths, class_mode, **kwargs)

    def _set_targets(self, table: _Table, class_mode: str | None, y_col: Any) -> None:
        if class_mode == "multi_output":
            self._targets = [np.array(table[name]) for name in y_col]
        elif class_mode == "raw":
            if isinstance(y_col, list):
                self._targets = np.stack([table[name] for name in y_col], axis=1)
            else:
                self._targets = np.asarray(table[y_col])
        elif class_mode not in _UNCLASSED:
            index_of = self.class_indices
            self.classes = [
                index_of[label]
                if isinstance(label, str)
                else [index_of[name] for name in label]
                for label in table[y_col]
            ]

    def _report_files(self, class_mode: str | None, validated: bool) -> None:
        text = "validated" if validated else "non-validated"
        count, end = len(self.filenames), "."
        if class_mode not in _UNCLASSED:
            end = f" belonging to {len(self.class_indices)} classes."
        print_message(f"Found {count} {text} image filenames{end}")
        if not count:
            # As in Keras, a table without a row makes an iterator without a batch.
            self.empty_reason = (
                "No row of the dataframe is left: its files are missing, have no "
                "suffix of an image, or are of none of the classes. Searched in "
                f"{self.directory or os.getcwd()!r}."
            )
            warnings.warn(self.empty_reason, stacklevel=5)
