"""Folder of a search: checked at the start, read before an oracle exists."""

import os
import tempfile
import warnings
from collections.abc import Mapping
from typing import Any

from keras_strategies._internal import checks
from keras_strategies._internal.storage import checked_json

# What the search is: see `description`.
_DESCRIPTION = "search.json"
# What it must say: without it a search could not be compared with the one before.
_DESCRIBED = ("objectives", "algorithm", "options", "declared")


def check_writable(directory: str | os.PathLike[str] | None, project_name: str) -> str:
    """Returns the folder of the search; raises one clear error if it is read-only.

    Called before the model is built for the first time, which may take long.
    """
    folder = os.path.join(str(directory or "."), project_name)
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        reason = error.strerror or str(error)
        raise PermissionError(
            checks.message(
                f"The folder of the search cannot be written ({reason})",
                {"directory": str(directory), "project_name": project_name},
                "Name another `directory`.",
            )
        ) from error


def has_search(folder: str) -> bool:
    """Whether a search has begun in a folder."""
    names = os.listdir(folder)
    return "oracle.json" in names or any(name.startswith("trial_") for name in names)


def stored_algorithm(folder: str) -> str | None:
    """Name of the algorithm with which the search in `folder` began, or `None`."""
    for name in (_DESCRIPTION, "oracle.json"):
        try:
            content = checked_json.read(os.path.join(folder, name))
        except checked_json.DamagedFileError:
            continue  # missing, or reported when the search is read
        if content.get("algorithm") is not None:
            return content["algorithm"]
    return None


def write_description(folder: str, description: Mapping[str, Any]) -> None:
    """Writes what a search is."""
    path = os.path.join(folder, _DESCRIPTION)
    checked_json.write(path, description)


def read_description(folder: str) -> dict[str, Any] | None:
    """Returns what the search in a folder is; `None` if the folder does not say."""
    path = os.path.join(folder, _DESCRIPTION)
    if not os.path.exists(path):
        return None
    try:
        return checked_json.read(path, _DESCRIBED)
    except checked_json.DamagedFileError as error:
        name = checked_json.set_aside(path).name
        warnings.warn(
            f"A file of the search is damaged: {error}. It is now {name}. Whether the "
            "search is still the same one was not checked.",
            stacklevel=2,
        )
        return None
