"""The rows that Keras's `CSVLogger` has written, as its state."""

import pathlib
from typing import Any

import keras

KEYS = ("keys", "text")


def get_state(logger: keras.callbacks.CSVLogger) -> dict[str, Any]:
    """Returns the content of the file and the names of its columns.

    The rows themselves, as a fit that is started again empties the file before anything
    can look at it, and a row that was written after a checkpoint must go.
    """
    if logger.csv_file is not None and not logger.csv_file.closed:
        logger.csv_file.flush()
    path = pathlib.Path(logger.filename)
    if not path.exists():
        return {"keys": None, "text": ""}
    with path.open(newline="") as file:
        return {"keys": logger.keys and list(logger.keys), "text": file.read()}


def set_state(logger: keras.callbacks.CSVLogger, state: dict[str, Any]) -> None:
    """Writes the rows into the open file, for the next row to follow them."""
    if logger.csv_file is None or logger.csv_file.closed:
        return  # before a fit: it opens the file, and this is called again
    logger.csv_file.seek(0)
    logger.csv_file.truncate()
    logger.csv_file.write(state["text"])
    logger.csv_file.flush()
    logger.keys = state["keys"] and list(state["keys"])
    logger.writer, logger.append_header = None, not state["text"]
