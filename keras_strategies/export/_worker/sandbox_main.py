"""Subprocess entry point: open, time or measure a file without importing Keras.

Started by its path, so that it imports NumPy and LiteRT alone and answers within
a second. It prints one JSON line. A file that crashes the interpreter ends this
process and not the caller's.
"""

import json
import os
import re
import sys
import tempfile
import time
from typing import Any

# Size of free axes other than the batch.
FREE_AXIS_SIZE = 16


def _signature_inputs(interpreter):
    """Returns `[(signature or None, {input name: details})]`."""
    names = list(interpreter.get_signature_list())
    if not names:
        details = interpreter.get_input_details()
        return [(None, {entry["name"]: entry for entry in details})]
    return [
        (name, interpreter.get_signature_runner(name).get_input_details())
        for name in names
    ]


def _random_feed(inputs, batch_size):
    """Returns a feed by name; free axes get `batch_size`, then `FREE_AXIS_SIZE`."""
    import numpy as np

    rng = np.random.default_rng(0)
    feed = {}
    for name, entry in inputs.items():
        # The signature of the shape has -1 for a free axis, the shape itself has 1.
        signature = entry["shape_signature"]
        sizes = signature if len(signature) else entry["shape"]
        shape = [
            int(size) if size >= 0 else FREE_AXIS_SIZE if axis else batch_size
            for axis, size in enumerate(sizes)
        ]
        kind, (scale, _) = np.dtype(entry["dtype"]).kind, entry["quantization"]
        if kind == "f":
            values = rng.normal(size=shape)
        elif scale and kind in "iu":
            limits = np.iinfo(entry["dtype"])
            values = rng.integers(limits.min, limits.max, shape, endpoint=True)
        else:
            values = np.zeros(shape)  # indices, flags
        feed[name] = values.astype(entry["dtype"])
    return feed


def _run(interpreter, signature, inputs, feed):
    """Runs once; the primary graph is then ready for `interpreter.invoke()`."""
    if signature is not None:
        interpreter.get_signature_runner(signature)(**feed)
        return
    for name, entry in inputs.items():
        if tuple(entry["shape"]) != feed[name].shape:
            interpreter.resize_tensor_input(entry["index"], feed[name].shape)
    interpreter.allocate_tensors()
    for name, entry in inputs.items():
        interpreter.set_tensor(entry["index"], feed[name])
    interpreter.invoke()


def probe(path: str) -> dict[str, Any]:
    """Opens the file and runs each of its signatures once.

    Returns `{"opened", "ran", "error"}`; `opened` says that the structure of the
    file is sound. Signatures with text inputs are skipped: they write files.
    """
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_path=path, num_threads=1)
        signatures = _signature_inputs(interpreter)
    except (ValueError, RuntimeError, KeyError, TypeError) as error:
        return {"opened": False, "ran": False, "error": str(error)}
    try:
        for signature, inputs in signatures:
            kinds = {np.dtype(entry["dtype"]).kind for entry in inputs.values()}
            if kinds <= set("biufc"):
                _run(interpreter, signature, inputs, _random_feed(inputs, 1))
    except (ValueError, RuntimeError, TypeError, MemoryError) as error:
        return {"opened": True, "ran": False, "error": str(error)}
    return {"opened": True, "ran": True, "error": ""}


def _peak_memory():
    """Returns the peak resident memory in bytes; None if not on Linux."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            fields = dict(line.split(":", 1) for line in file)
        return int(fields["VmHWM"].split()[0]) * 1024
    except (OSError, KeyError):
        return None


def _load(path):
    """Reads the arrays that `named_arrays.save` wrote, without importing Keras."""
    import numpy as np

    with np.load(path) as file:
        names = [str(name) for name in file["names"]]
        return {name: file[f"array_{index}"] for index, name in enumerate(names)}


def benchmark(
    path: str,
    signature: str | None,
    batch_size: int,
    runs: int,
    warmup: int,
    threads: int,
    xnnpack: bool,
    seconds: float = 0.0,
    feed: str | None = None,
) -> dict[str, Any]:
    """Times inferences after `warmup` ones; times are in seconds.

    At least `runs` of them, and more until `seconds` are over, on the arrays of the
    file `feed` or on random ones.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    resolver = OpResolverType.AUTO
    if not xnnpack:
        resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    before, start = _peak_memory(), time.perf_counter()
    interpreter = Interpreter(
        model_path=path, num_threads=threads, experimental_op_resolver_type=resolver
    )
    inputs = dict(_signature_inputs(interpreter))[signature]
    arrays = _random_feed(inputs, batch_size) if feed is None else _load(feed)
    _run(interpreter, signature, inputs, arrays)
    first = time.perf_counter() - start
    if len(interpreter.get_signature_list()) > 1:
        call = interpreter.get_signature_runner(signature)

        def infer():
            call(**arrays)
    else:
        infer = interpreter.invoke
    for _ in range(warmup):
        infer()
    times = []
    end = time.perf_counter() + seconds
    while len(times) < runs or time.perf_counter() < end:
        start = time.perf_counter()
        infer()
        times.append(time.perf_counter() - start)
    after = _peak_memory()
    growth = None if before is None or after is None else after - before
    return {"times": times, "first": first, "peak_memory": growth}


def run_in_arena(path: str, size: int) -> dict[str, Any]:
    """Runs the file in LiteRT for Microcontrollers, in an arena of `size` bytes.

    Returns `{"used", "ran", "error"}`: the bytes that the interpreter took.
    """
    import numpy as np
    from tflite_micro import runtime

    with open(path, "rb") as file:
        content = file.read()
    try:
        interpreter = runtime.Interpreter.from_bytes(content, arena_size=size)
        index = 0
        while True:
            try:
                details = interpreter.get_input_details(index)
            except (IndexError, RuntimeError, ValueError):
                break  # there are no more
            shape, dtype = tuple(details["shape"]), details["dtype"]
            interpreter.set_input(np.zeros(shape, dtype), index)
            index += 1
        interpreter.invoke()
        text = _stderr_of(interpreter.print_allocations)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        return {"used": None, "ran": False, "error": str(error)}
    used = re.search(r"Arena allocation total (\d+) bytes", text)
    return {"used": used and int(used[1]), "ran": True, "error": ""}


def _stderr_of(function):
    """What the C++ code behind `function` prints, which has no other report."""
    with tempfile.TemporaryFile() as file:
        original = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            function()
        finally:
            os.dup2(original, 2)
            os.close(original)
        file.seek(0)
        return file.read().decode(errors="replace")


def main() -> None:
    """Runs the command whose arguments are a JSON object on the command line."""
    arguments = json.loads(sys.argv[1])
    commands = {
        "probe": probe,
        "benchmark": benchmark,
        "run_in_arena": run_in_arena,
    }
    command = commands[arguments.pop("command")]
    print(json.dumps(command(**arguments)))  # noqa: T201


if __name__ == "__main__":
    main()
