"""Opening of a `.tflite` file that may be damaged or not runnable here."""

import hashlib
import os
import pathlib
from typing import Any

from keras_strategies._internal import checks
from keras_strategies.export._common import ExportError, shorten
from keras_strategies.export._worker import sandbox
from keras_strategies.export.artifact import _flatbuffer

# Results of the probe for bytes that could be opened, by their digest.
_probes: dict[bytes, dict[str, Any]] = {}


def read_file(path: str | os.PathLike[str]) -> tuple[str, bytes]:
    """Returns `(path as str, bytes)` of an existing file."""
    checks.instance("path", path, (str, os.PathLike))
    file = pathlib.Path(path)
    if not file.exists():
        rule = "`path` must be an existing .tflite file"
        raise FileNotFoundError(checks.message(rule, {"path": str(path)}))
    if file.is_dir():
        rule = "`path` must be a file, not a folder"
        raise IsADirectoryError(checks.message(rule, {"path": str(path)}))
    return str(path), file.read_bytes()


def parse(content: bytes, path: str) -> Any:
    """Returns the parsed flatbuffer after LiteRT verified its structure.

    Works for artifacts that cannot be run here, such as those with Flex operations.
    The bytes are first opened in a sandbox, once in the life of this process.
    """
    _flatbuffer.check_header(content, path)
    key = _digest(content)
    if key not in _probes:
        probe = sandbox.probe(content, path)
        if not probe["opened"]:
            raise ExportError(
                f"'{path}' cannot be opened: {_one_line(probe['error'])} The file is "
                "damaged or not a .tflite file: export or download it again.",
                "load",
            )
        _probes[key] = probe
    return _flatbuffer.parse(content)


def parse_runnable(content: bytes, path: str) -> Any:
    """Returns `parse`'s result; refuses a file that the interpreter cannot run."""
    model = parse(content, path)
    ops = _flatbuffer.count_ops(model)
    if "READ_VARIABLE" in ops and "ASSIGN_VARIABLE" not in ops:
        # XNNPACK reads uninitialized memory and reports no error.
        raise ExportError(
            f"'{path}' reads variables that nothing in it sets: its converter did not "
            "see the model's weights. Export the model with `export.to_tflite`, or "
            "track it with keras.export.ExportArchive before converting.",
            "load",
        )
    flex = _flatbuffer.flex_ops(ops)
    if flex:
        raise ExportError(
            f"'{path}' needs TensorFlow (Flex) operations, which no Python runtime of "
            f"LiteRT has: {', '.join(flex)}. Export the model without them; "
            "`export.to_tflite` does and says what to change.",
            "flex",
            {"ops": flex},
        )
    probe = _probes[_digest(content)]
    # With free axes, the sizes of the probe may be what does not fit.
    if not probe["ran"] and not _flatbuffer.has_free_axes(model):
        message = f"'{path}' opens but does not run: {_one_line(probe['error'])}"
        raise ExportError(message, "load")
    return model


def _digest(content):
    return hashlib.sha256(content).digest()


def _one_line(text):
    """A message of LiteRT on one line, with a full stop."""
    text = " ".join(shorten(text, 400).split())
    return text if text.endswith(".") else text + "."
