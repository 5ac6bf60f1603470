"""The caller's side of `_standalone`: a process for one untrusted or timed run."""

import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from keras_strategies._internal.signals import signal_name
from keras_strategies.export._common.export_error import ExportError
from keras_strategies.export.artifact import _flatbuffer
from keras_strategies.export.convert import _messages

PROBE_TIMEOUT = 120.0
_SCRIPT = pathlib.Path(__file__).with_name("sandbox_main.py")
# What a probe said of bytes that could be opened, by their digest.
_found = {}


def parse(content, path):
    """Returns the parsed flatbuffer after LiteRT verified its structure.

    Works for artifacts that cannot be run here, such as those with Flex operations.
    LiteRT verifies the structure of a file but not what its operations are told, so
    damaged bytes can still crash or hang it: they first run in a process of their
    own. The same bytes do so once in the life of this process.
    """
    _flatbuffer.check_header(content, path)
    key = _digest(content)
    if key not in _found:
        found = _ask(content, path, "opening", PROBE_TIMEOUT, command="probe")
        if not found["opened"]:
            raise ExportError(
                f"'{path}' cannot be opened: {_line(found['error'])} The file is "
                "damaged or not a .tflite file: export or download it again.",
                "load",
            )
        _found[key] = found
    return _flatbuffer.parse(content)


def check(content, path):
    """Returns `parse`'s result; refuses what the interpreter here cannot run."""
    model = parse(content, path)
    ops = _flatbuffer.ops(model)
    if "READ_VARIABLE" in ops and "ASSIGN_VARIABLE" not in ops:
        # XNNPACK reads whatever is in memory and says nothing.
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
    found = _found[_digest(content)]
    # With free axes the made-up sizes may be what does not fit.
    if not found["ran"] and not _flatbuffer.has_free_axes(model):
        message = f"'{path}' opens but does not run: {_line(found['error'])}"
        raise ExportError(message, "load")
    return model


def _digest(content):
    return hashlib.sha256(content).digest()


def benchmark(content, path, timeout, **arguments):
    """Returns the figures of `_standalone.benchmark`."""
    return _ask(content, path, "timing", timeout, command="benchmark", **arguments)


def _ask(content, path, doing, timeout, **arguments):
    with tempfile.TemporaryDirectory(prefix="keras_strategies_") as folder:
        copy = pathlib.Path(folder, "model.tflite")
        copy.write_bytes(content)
        arguments["path"] = str(copy)
        try:
            done = subprocess.run(
                [sys.executable, "-P", str(_SCRIPT), json.dumps(arguments)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env=_environment(),
                timeout=timeout,
            )
        except subprocess.TimeoutExpired as error:
            raise ExportError(
                f"{doing.capitalize()} '{path}' took longer than {timeout:g} s and was "
                "ended.",
                "load" if doing == "opening" else "timeout",
                {"timeout": timeout},
            ) from error
    if done.returncode == 0:
        return json.loads(done.stdout)
    said = done.stderr.decode(errors="replace").strip()
    details = {"returncode": done.returncode, "stderr": said[-2000:]}
    if done.returncode < 0:
        how = signal_name(done.returncode)
        raise ExportError(
            f"'{path}' crashes the LiteRT interpreter ({how} while {doing} it): the "
            "file is damaged.",
            "load",
            details,
        )
    last = said.splitlines()[-1] if said else f"exit code {done.returncode}"
    raise ExportError(f"{doing.capitalize()} '{path}' failed: {last}", "run", details)


def _environment():
    """This process's import path, without what changes how Python starts."""
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONWARNINGS"}
    return kept | {"PYTHONPATH": path}


def _line(text):
    """A message of LiteRT on one line, with a full stop."""
    text = " ".join(_messages.clip(text, 400).split())
    return text if text.endswith(".") else text + "."
