"""Named arrays in one `.npz` file, between the process and its worker."""

import numpy as np


def save(path, named):
    """Writes `{name: array}`; any name is allowed, order is kept."""
    names = np.array(list(named), dtype=str)
    values = {f"array_{index}": value for index, value in enumerate(named.values())}
    np.savez(path, names=names, **values)


def load(path):
    """Reads what `save` wrote."""
    with np.load(path) as file:
        names = [str(name) for name in file["names"]]
        return {name: file[f"array_{index}"] for index, name in enumerate(names)}
