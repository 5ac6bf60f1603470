"""Named arrays in one `.npz` file, between this process and its worker."""

import os
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

NamedArrays: TypeAlias = dict[str, np.ndarray]


def save(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray]) -> None:
    """Writes `{name: array}`; any name is allowed and the order is kept."""
    # `np.savez` takes names as keyword arguments and files in the archive, where
    # "file" and names with slashes would clash: they are stored as an array instead.
    names = np.array(list(arrays), dtype=str)
    values = {f"array_{index}": value for index, value in enumerate(arrays.values())}
    np.savez(path, names=names, **values)


def load(path: str | os.PathLike[str]) -> NamedArrays:
    """Reads the arrays that `save` wrote."""
    with np.load(path) as file:
        names = [str(name) for name in file["names"]]
        return {name: file[f"array_{index}"] for index, name in enumerate(names)}
