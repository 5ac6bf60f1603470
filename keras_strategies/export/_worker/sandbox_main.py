"""A script for a process of its own: open or time an artifact, without Keras.

Started by its path, so that it imports NumPy and LiteRT alone and answers within
a second. It prints one JSON line. A file that crashes the interpreter ends this
process and not the caller's.
"""

import json
import sys
import time

FREE_AXIS = 16


def _inputs(interpreter):
    """Returns `[(signature or None, {input name: details})]`."""
    names = list(interpreter.get_signature_list())
    if not names:
        details = interpreter.get_input_details()
        return [(None, {entry["name"]: entry for entry in details})]
    return [
        (name, interpreter.get_signature_runner(name).get_input_details())
        for name in names
    ]


def _made_up(inputs, batch_size):
    """Returns a feed by name; free axes get `batch_size`, then `FREE_AXIS`."""
    import numpy as np

    rng = np.random.default_rng(0)
    feed = {}
    for name, entry in inputs.items():
        signature = entry["shape_signature"]
        wanted = signature if len(signature) else entry["shape"]
        shape = [
            int(size) if size >= 0 else FREE_AXIS if axis else batch_size
            for axis, size in enumerate(wanted)
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


def probe(path):
    """Opens the file and runs each of its signatures once.

    Returns `{"opened", "ran", "error"}`; `opened` says that the structure of the
    file is sound. Signatures with text inputs are left alone: they write files.
    """
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_path=path, num_threads=1)
        signatures = _inputs(interpreter)
    except (ValueError, RuntimeError, KeyError, TypeError) as error:
        return {"opened": False, "ran": False, "error": str(error)}
    try:
        for signature, inputs in signatures:
            kinds = {np.dtype(entry["dtype"]).kind for entry in inputs.values()}
            if kinds <= set("biufc"):
                _run(interpreter, signature, inputs, _made_up(inputs, 1))
    except (ValueError, RuntimeError, TypeError, MemoryError) as error:
        return {"opened": True, "ran": False, "error": str(error)}
    return {"opened": True, "ran": True, "error": ""}


def _peak():
    """Returns the peak resident memory in bytes, or None where Linux is not."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            fields = dict(line.split(":", 1) for line in file)
        return int(fields["VmHWM"].split()[0]) * 1024
    except (OSError, KeyError):
        return None


def benchmark(path, signature, batch_size, runs, warmup, threads, xnnpack):
    """Times `runs` inferences after `warmup` ones; times are in seconds."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    kind = OpResolverType.AUTO
    if not xnnpack:
        kind = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    before, start = _peak(), time.perf_counter()
    interpreter = Interpreter(
        model_path=path, num_threads=threads, experimental_op_resolver_type=kind
    )
    inputs = dict(_inputs(interpreter))[signature]
    feed = _made_up(inputs, batch_size)
    _run(interpreter, signature, inputs, feed)
    first = time.perf_counter() - start
    if len(interpreter.get_signature_list()) > 1:
        call = interpreter.get_signature_runner(signature)

        def infer():
            call(**feed)
    else:
        infer = interpreter.invoke
    for _ in range(warmup):
        infer()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        infer()
        times.append(time.perf_counter() - start)
    after = _peak()
    grown = None if before is None or after is None else after - before
    return {"times": times, "first": first, "peak_memory": grown}


def main():
    arguments = json.loads(sys.argv[1])
    command = {"probe": probe, "benchmark": benchmark}[arguments.pop("command")]
    print(json.dumps(command(**arguments)))  # noqa: T201


if __name__ == "__main__":
    main()
