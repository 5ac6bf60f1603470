"""Memory that a `.tflite` file takes on a microcontroller."""

import importlib.util
import os

from keras_strategies.export._common import ExportError
from keras_strategies.export._worker import sandbox
from keras_strategies.export.artifact import _flatbuffer, _opening
from keras_strategies.export.artifact._micro import arena_plan, micro_ops
from keras_strategies.export.artifact.arena_report import ArenaReport

# Bytes that are certainly enough for a small file, and how the trials grow.
_AMPLE = 1 << 20
_TRIALS, _GROWTH = 8, 1.02


def measure_arena(path: str | os.PathLike[str]) -> ArenaReport:
    """Returns the memory and the operations of a file on a microcontroller.

    LiteRT for Microcontrollers has no heap: the firmware reserves a *tensor arena*
    for all that is no constant, and links the operations that it names. Too small an
    arena fails on the device; a too large one wastes what there is little of.

    With the package `tflite-micro` the file runs in that very interpreter, in a process
    of its own, and the arena is what it took, tried. Its tables hold pointers,
    of 8 bytes here and of 4 on a device, so a device needs somewhat less; kernels of a
    vendor, such as CMSIS-NN, may ask for buffers of their own. Without it, or where
    the file does not run there, the tensors are planned by the same rule, and the
    interpreter's tables are estimated: `is_estimate` says so, and a fifth of reserve
    is in place.

    Reference: [David et al., 2021](https://arxiv.org/abs/2010.08678).

    Args:
        path: The `.tflite` file; free axes, such as the batch, count 1.

    Returns:
        An `ArenaReport`.

    Raises:
        FileNotFoundError: There is no such file.
        ExportError: reason `"load"`: it is damaged.

    Example:

    ```python
    import keras
    from keras_strategies import export

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    export.to_tflite(model, "arena_example.tflite")
    print(export.measure_arena("arena_example.tflite"))
    ```
    """
    path, content = _opening.read_file(path)
    model = _opening.parse(content, path)
    ops = _flatbuffer.count_ops(model)
    estimate = arena_plan.estimate(model)
    measured = _measure(content, path, estimate)
    size = measured.get("arena")
    return ArenaReport(
        path=path,
        arena_bytes=estimate if size is None else size,
        is_estimate=size is None,
        model_bytes=len(content),
        ops=ops,
        unsupported=micro_ops.unsupported(ops),
        runs=measured["ran"],
        error=measured["error"],
    )


def _measure(content, path, estimate):
    """Runs the file in the interpreter for microcontrollers, if that is installed."""
    if importlib.util.find_spec("tflite_micro") is None:
        return {"ran": None, "error": "the package tflite-micro is not installed"}
    result = _run(content, path, max(4 * estimate, _AMPLE))
    size = result["used"]
    # What it took leaves out what it needs for a moment while it prepares: by trial.
    for _ in range(_TRIALS):
        if size is None or _run(content, path, size)["ran"]:
            break
        size = arena_plan.aligned(int(size * _GROWTH))
    return {"arena": size, "ran": result["ran"], "error": result["error"]}


def _run(content, path, size):
    try:
        return sandbox.run_in_arena(content, path, size)
    except ExportError as error:  # a kernel that crashed ended its own process only
        return {"used": None, "ran": False, "error": str(error)}
