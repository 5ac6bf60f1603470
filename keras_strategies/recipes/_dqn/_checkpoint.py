"""Agents in one file: settings, networks, stored transitions, random states."""

import json
import os
import pathlib
import tempfile
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.storage import files

_FORMAT = 1


def write(
    path: str | os.PathLike[str],
    about: dict[str, Any],
    network: Any,
    target: Any,
    state: dict[str, Any],
) -> None:
    """Writes an agent, aside first, so that an interruption leaves the old file.

    `about` is what JSON can hold and `state` that of the runner. The network brings
    the state of its optimizer.
    """
    arrays = {f"runner/{name}": value for name, value in state.items()}
    arrays["network"] = np.frombuffer(_network_bytes(network), "uint8")
    arrays |= {f"target/{i}": value for i, value in enumerate(target.get_weights())}
    about = {"format": _FORMAT, **about}
    arrays["about"] = np.array(json.dumps(about, default=files.python_scalar))
    with files.replacing(pathlib.Path(path)) as file:
        np.savez(file, **arrays)


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """`(about, arrays)` of a file of `save`; runs no code from it."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        about = json.loads(str(arrays.pop("about")))
    except (ValueError, KeyError) as error:
        raise ValueError(
            f"{os.fspath(path)!r} is no file of `DQNAgent.save` ({error})."
        ) from error
    if about["format"] != _FORMAT:
        checks.fail(
            f"The file must have format {_FORMAT}",
            fix="It was written by another version of this package.",
            format=about["format"],
        )
    return about, arrays


def network_of(arrays: dict[str, Any]) -> Any:
    """The compiled network in a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "network.keras"
        path.write_bytes(arrays["network"].tobytes())
        return keras.models.load_model(path)


def target_weights(arrays: dict[str, Any]) -> list[Any]:
    """The weights of the target network in a file."""
    count = sum(name.startswith("target/") for name in arrays)
    return [arrays[f"target/{index}"] for index in range(count)]


def runner_state(arrays: dict[str, Any]) -> dict[str, Any]:
    """The state of the runner in a file."""
    prefix = "runner/"
    names = [name for name in arrays if name.startswith(prefix)]
    return {name.removeprefix(prefix): arrays[name] for name in names}


def _network_bytes(network: Any) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "network.keras"
        network.save(path)
        return path.read_bytes()
