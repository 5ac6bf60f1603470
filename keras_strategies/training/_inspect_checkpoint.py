"""Looking at checkpoints without the script that wrote them."""

import os
from collections.abc import Mapping
from typing import Any

import keras

from keras_strategies._internal import checks
from keras_strategies.training._resume import checkpoints, variables
from keras_strategies.training._resume.checkpoint_report import CheckpointReport
from keras_strategies.training._resume.checkpoints import Checkpoint, DamagedCheckpoint
from keras_strategies.training._resume.encoding import array, decode
from keras_strategies.training._resume.storage import (
    PREFIX,
    LocalStorage,
    RemoteStorage,
    storage_of,
)


def inspect_checkpoint(
    path: str | os.PathLike[str],
    verify: bool = True,
    storage_options: Mapping[str, Any] | None = None,
) -> CheckpointReport:
    """Returns what the checkpoints of `ResumableTraining` hold.

    Neither the script nor the model is needed, and no code of the checkpoint is run.

    Args:
        path: The folder of a training, or one checkpoint in it.
        verify: Whether every byte is read and compared with its checksum; without,
            only the manifests are. Defaults to `True`.
        storage_options: Arguments of the file system of fsspec. Defaults to none.

    Returns:
        A table of the checkpoints, with what the newest good one, or the one of `path`,
        holds.

    Raises:
        FileNotFoundError: If there is no checkpoint.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import training

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    data = training.IndexedDataset((np.ones((4, 3)), np.ones((4, 1))), batch_size=4)
    resumable = training.ResumableTraining("run", verbose=0)
    model.fit(data, epochs=2, callbacks=[resumable], verbose=0)
    report = training.inspect_checkpoint("run")
    print(report)
    print([entry["path"] for entry in report.variables])
    ```
    """
    storage, names = locate(path, storage_options)
    rows = [_row(storage, name, verify) for name in names]
    good = [row["name"] for row in rows if row["problem"] is None]
    content = None
    if good:
        content = checkpoints.read(storage, good[-1])
    return CheckpointReport(
        rows=rows,
        name=content and content.name,
        variables=_variables(content) if content else [],
        callbacks=_callbacks(content) if content else [],
        training=content.state["fingerprint"] if content else {},
        logs=content.info["logs"] if content else {},
    )


def locate(
    path: str | os.PathLike[str], options: Mapping[str, Any] | None = None
) -> tuple[LocalStorage | RemoteStorage, list[str]]:
    """Returns the storage of a training and the names of its checkpoints, or the one.

    Raises:
        FileNotFoundError: If there is none.
    """
    text = os.fspath(path).rstrip("/")
    head, _, tail = text.rpartition("/")
    is_one = checkpoints.sequence_of(tail) >= 0 and tail.startswith(PREFIX)
    storage = storage_of((head or ".") if is_one else text, options)
    names = [name for name in storage.names() if not is_one or name == tail]
    if not names:
        message = "There must be a checkpoint of ResumableTraining"
        raise FileNotFoundError(checks.message(message, {"path": text}))
    return storage, names


def _row(storage, name, verify):
    row = {"name": name, "problem": None}
    try:
        manifest = checkpoints.read_info(storage, name)
        if verify:
            checkpoints.verify(storage, name)
    except (DamagedCheckpoint, OSError) as error:
        return {**row, "problem": str(error)}
    about = ("epoch", "step", "iterations", "finished", "created")
    size = sum(entry["bytes"] for entry in manifest["files"].values())
    more = {key: manifest.get(key) for key in about}
    return {**row, **more, "bytes": size, "loss": manifest["logs"].get("loss")}


def _variables(content: Checkpoint):
    return [
        {
            "group": group,
            "path": reference["path"],
            "shape": list(content.arrays[reference["key"]].shape),
            "dtype": reference["dtype"],
        }
        for group in variables.GROUPS
        for reference in content.state["variables"][group]
    ]


def _callbacks(content: Checkpoint):
    return [
        {"class": entry["class"], "state": decode(entry["state"], content.arrays)}
        for entry in content.state["callbacks"]
    ]


def model_of(content: Checkpoint, custom_objects: Any = None) -> keras.Model:
    """Returns the model of a checkpoint, with its weights, made from its files.

    Raises:
        ValueError: If its architecture was not written, or has code in it.
    """
    if content.model is None:
        checks.fail(
            "The checkpoint must have the architecture of its model",
            fix="A subclassed model needs `get_config`; else resume by its own script, "
            "and save the model there.",
            checkpoint=content.name,
        )
    model = keras.saving.deserialize_keras_object(
        content.model, custom_objects=custom_objects, safe_mode=True
    )
    references = content.state["variables"]["model"]
    groups = {"model": variables.variables_of(model)["model"]}
    variables.fitting({"model": references}, content.arrays, groups)
    for variable, reference in zip(groups["model"], references, strict=True):
        variable.assign(array(reference, content.arrays))
    return model
