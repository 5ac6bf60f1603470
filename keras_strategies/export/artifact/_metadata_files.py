"""Reading and writing of the metadata of a `.tflite` file."""

import os
import pathlib
from typing import Any

from keras_strategies._internal import checks
from keras_strategies._internal.storage import files
from keras_strategies.export.artifact import _metadata


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Returns the metadata that a `.tflite` file carries, or `None`.

    Reads what `export.write_metadata` wrote, so that an application finds labels,
    input normalization, version and licence in the file it ships. Loads no
    interpreter and no TensorFlow.

    Args:
        path: The `.tflite` file.

    Returns:
        A dict as given to `export.write_metadata`, or `None` if there is none.

    Raises:
        FileNotFoundError: There is no such file.
        ExportError: reason `"load"`: it is no intact `.tflite` file.

    Example:

    ```python
    import keras
    from keras_strategies import export

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    export.to_tflite(model, "model.tflite")
    print(export.read_metadata("model.tflite"))  # None
    ```
    """
    return _metadata.read(_read_bytes(path))


def write_metadata(
    path: str | os.PathLike[str], metadata: dict[str, Any]
) -> dict[str, Any]:
    """Writes metadata into a `.tflite` file, in place of what it carried before.

    Labels and normalization kept in a second file get lost or go out of step; here
    they travel inside. The graph, its weights, signatures and other metadata
    entries stay byte for byte, so the results stay equal; the file is written
    aside and then renamed. `{}` takes the metadata out again.

    They are stored twice: as JSON in a metadata entry named `keras_strategies`, from
    which `export.read_metadata` gives back what was written, and as the [standard
    metadata](https://ai.google.dev/edge/litert/models/metadata) `TFLITE_METADATA`,
    with the label files packed behind the model, as MediaPipe Tasks reads them on
    Android, iOS, in the browser and in Python. Standard metadata of another tool are
    kept, with a warning.

    Args:
        path: The `.tflite` file.
        metadata: Dict with any of

            - `"name"`, `"description"`, `"version"`, `"author"`, `"license"`: str;
            - `"labels"`: list of str, one for each entry of the output's last axis
              (two for a single sigmoid unit), or a dict from output name to such a
              list if there are several outputs;
            - `"normalization"`: the transformation of an input before it is fed,
              `y = (x * scale + offset - mean) / std`: dict with `"mean"` and
              `"std"`, `"scale"` and `"offset"`, or all four; numbers, or lists with
              one number for each channel. A model that scales its pixels itself
              needs none: `to_tflite` tells readers so (MediaPipe Tasks would refuse
              the file), and here `{"mean": 0, "std": 1}` says it. MediaPipe Tasks
              takes one number for all channels only;
            - `"score_calibration"`: dict with `"parameters"`, one `(scale, slope,
              offset)` for all classes, or a list with one for each class, `None` for a
              class without, and a smallest score as a fourth number; the score
              becomes `scale / (1 + exp(-(slope * g(x) + offset)))`, or
              `"default_score"` (0 unless given) below the smallest one. `g` is
              `"transformation"`: `"identity"`, the default, `"log"` or
              `"inverse_logistic"`. For several outputs a dict by output name;
            - `"score_threshold"`: the score below which a class is not reported;
            - `"activation"`: of the masks of a segmentation, `"none"`, `"sigmoid"` or
              `"softmax"`, which MediaPipe Tasks then applies;
            - `"extra"`: dict of anything that is ready for JSON.

    Returns:
        The metadata as stored.

    Raises:
        ValueError, TypeError: `metadata` is wrong; the file is as it was.
        FileNotFoundError: There is no such file.
        ExportError: reason `"load"` (no intact `.tflite` file) or `"metadata"`
            (a file beyond 2 GB, which keeps its tensors outside the flatbuffer).

    Example:

    ```python
    import keras
    from keras_strategies import export

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    export.to_tflite(model, "model.tflite")
    export.write_metadata(
        "model.tflite",
        {
            "labels": ["cat", "dog"],
            "normalization": {"mean": 127.5, "std": 127.5},
            "license": "Apache-2.0",
        },
    )
    print(export.read_metadata("model.tflite")["labels"])  # ['cat', 'dog']
    ```
    """
    validated = _metadata.validate(metadata)
    content = _metadata.write(_read_bytes(path), validated)
    files.replace(pathlib.Path(path), content)
    return validated


def _read_bytes(path):
    checks.instance("path", path, (str, os.PathLike))
    path = pathlib.Path(path)
    if not path.is_file():
        rule = "`path` must be an existing .tflite file"
        raise FileNotFoundError(checks.message(rule, {"path": str(path)}))
    return path.read_bytes()
