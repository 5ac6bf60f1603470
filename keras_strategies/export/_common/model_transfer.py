"""Transfer of a Keras model into the worker process through a `.keras` file."""

import importlib
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import keras

from keras_strategies._internal import traversal
from keras_strategies.export._common.error_text import exception_text
from keras_strategies.export._common.export_error import ExportError


def save_for_worker(model: keras.Model, folder: pathlib.Path) -> dict[str, Any]:
    """Saves `model` in `folder`; returns the arguments of `load_in_worker`."""
    path = folder / "model.keras"
    try:
        model.save(path)
    except Exception as error:
        raise ExportError(_save_failed_message(model, error), "trace") from error
    return {"keras_file": str(path), "modules": _foreign_modules(model)}


def load_in_worker(keras_file: str, modules: Sequence[str]) -> keras.Model:
    """Loads the model; `modules` register its custom classes when imported."""
    for module in modules:
        importlib.import_module(module)
    # Safe to run its code: the parent process wrote the file from a model in memory.
    return keras.saving.load_model(keras_file, compile=False, safe_mode=False)


def _foreign_modules(model):
    """Modules outside Keras and this package that define the model's layers."""
    own = ("keras", "keras_strategies", "builtins")
    layers = [*traversal.all_layers(model), model]
    names = {type(layer).__module__ for layer in layers}
    return sorted(
        name
        for name in names
        if name.partition(".")[0] not in own
        and name != "__main__"
        and name in sys.modules
    )


def _save_failed_message(model, error):
    return (
        f"Model '{model.name}' cannot be saved as .keras, which exporting on the "
        f"{keras.backend.backend()} backend needs: {exception_text(error)}"
    )
