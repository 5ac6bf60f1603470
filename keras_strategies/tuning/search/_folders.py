"""Folder of a search: checked at the start, read before an oracle exists."""

import json
import os
import tempfile

from keras_strategies._internal import checks


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


def stored_algorithm(folder: str) -> str | None:
    """Name of the algorithm with which the search in `folder` began, or `None`."""
    path = os.path.join(folder, "oracle.json")
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as file:
        return json.load(file).get("algorithm")
