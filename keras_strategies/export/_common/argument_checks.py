"""Checks of the arguments that several functions of `export` take."""

import os
import pathlib
import tempfile
import warnings
import zipfile
from typing import Any

import keras

from keras_strategies._internal import checks


def validate_path(path: str | os.PathLike[str]) -> pathlib.Path:
    """Returns the path of a `.tflite` file that can be written, or raises."""
    checks.instance("path", path, (str, os.PathLike))
    target = pathlib.Path(path)
    if target.suffix != ".tflite":
        fix = "Name the file model.tflite, for example."
        checks.fail("`path` must end in .tflite", fix=fix, path=str(target))
    if target.is_dir():
        raise IsADirectoryError(
            checks.message("`path` must be a file, not a folder", {"path": str(target)})
        )
    if not target.parent.is_dir():
        rule = "The folder of `path` must exist"
        fix = "Make it with pathlib.Path(...).mkdir(parents=True)."
        raise FileNotFoundError(checks.message(rule, {"path": str(target)}, fix))
    try:
        # Permission bits do not tell for read-only file systems: try it.
        with tempfile.TemporaryFile(dir=target.parent):
            return target
    except OSError as error:
        rule = f"The folder of `path` must be writable ({error.strerror})"
        raise PermissionError(checks.message(rule, {"path": str(target)})) from error


def validate_time_limit(time_limit: float) -> float:
    """Returns a number of seconds in (0, 1e6], or raises."""
    return checks.real("time_limit", time_limit, low=0, high=1e6, low_open=True)


def validate_model(
    model: Any,
    safe_mode: bool = True,
    *,
    name: str = "model",
    compiled: bool = False,
) -> keras.Model:
    """Returns a built Keras model, loaded if `model` is a path.

    Args:
        model: A `keras.Model`, or the path of a `.keras` file.
        safe_mode: Refuse a file that holds code.
        name: The argument's name, for messages.
        compiled: Load the loss and the optimizer's settings too.
    """
    checks.boolean("safe_mode", safe_mode)
    if isinstance(model, str | os.PathLike):
        file = pathlib.Path(model)
        if not file.is_file():
            rule = f"`{name}` must be an existing .keras file"
            raise FileNotFoundError(checks.message(rule, {name: str(model)}))
        model = _load_model(file, safe_mode, name, compiled)
    checks.instance(name, model, keras.Model)
    if not model.built:
        checks.fail(
            f"`{name}` must be built",
            fix="Call it once on an input, or give it a keras.Input.",
            **{name: model.name},
        )
    return model


def _load_model(file, safe_mode, name, compiled):
    if file.suffix == ".keras" and not zipfile.is_zipfile(file):
        # Keras says "File not found" of a file that it cannot unpack.
        checks.fail(
            f"`{name}` must be a .keras file that can be loaded; this is no archive",
            fix="It is damaged or cut off: save or copy it again.",
            bytes=file.stat().st_size,
            **{name: str(file)},
        )
    try:
        with warnings.catch_warnings():
            # Only the settings of the optimizer are used, not its state.
            warnings.filterwarnings("ignore", "Skipping variable loading for optim")
            return keras.saving.load_model(file, compile=compiled, safe_mode=safe_mode)
    except Exception as error:  # Keras raises whatever its parsers raise
        rule = f"`{name}` must be a .keras file that can be loaded ({error})"
        fix = ""
        if "safe_mode" in str(error) or "lambda" in str(error).lower():
            fix = (
                "The file holds code. Only if you trust where it comes from, pass "
                "safe_mode=False."
            )
        raise ValueError(checks.message(rule, {name: str(file)}, fix)) from error
