"""TFMOT's guides, cell by cell, with one import changed.

`tensorflow_model_optimization` becomes `keras_strategies.compat.tfmot`. The notebooks
are those of tensorflow/model-optimization, in the given folder of a checkout,
`tensorflow_model_optimization/g3doc/guide`. Each runs in a process of its own; a cell
that fails is counted and the next one runs. Changed is, beside the import of TFMOT:

- `tf_keras` and `tf.keras` are Keras 3, as is what only Keras 2 has: files of weights
  not called `.weights.h5`, and `keras.backend.clip` (`keras.ops.clip`);
- MNIST and CIFAR-10 are scikit-learn's digits, enlarged, 1,000 to train on;
- lines for a shell or a notebook (`!`, `%`) are left out, and cells of nothing else or
  of comments are not counted.

    scripts/benchmark tfmot_guides FOLDER [NAME ...]
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

_CHANGES = (
    (
        r"^(\s*)(import|from) tensorflow_model_optimization",
        r"\1\2 keras_strategies.compat.tfmot",
    ),
    (r"import tf_keras as keras", "import keras"),
    (r"keras\.backend\.clip", "keras.ops.clip"),
)


def cells(path):
    """`[(number, code)]` of the cells that compute something."""
    found = []
    for number, cell in enumerate(json.loads(path.read_text())["cells"]):
        if cell["cell_type"] != "code":
            continue
        lines, shell = [], False
        for line in "".join(cell["source"]).splitlines():
            is_shell = shell or re.match(r"\s*[!%]\s*[a-z]", line)
            shell = bool(is_shell) and line.rstrip().endswith("\\")
            if not is_shell:
                lines.append(line)
        code = "\n".join(lines)
        for pattern, changed in _CHANGES:
            code = re.sub(pattern, changed, code, flags=re.M)
        if any(line.strip() and not line.lstrip().startswith("#") for line in lines):
            found.append((number, code))
    return found


def _images():
    import numpy as np
    from sklearn.datasets import load_digits

    data = load_digits()
    images = np.kron(data.images, np.ones((1, 3, 3))) * 255 / 16
    images = np.pad(images, ((0, 0), (2, 2), (2, 2))).astype("uint8")
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = images[order], data.target[order]
    return (images[:1000], labels[:1000]), (images[1000:1400], labels[1000:1400])


def _datasets():
    """A stand-in for `tensorflow_datasets`."""
    import types

    import numpy as np
    import tensorflow as tf

    (x, y), (x_test, y_test) = _images()

    def load(name, split, **options):
        def dataset(images, labels):
            colored = np.pad(images, ((0, 0), (2, 2), (2, 2)))[..., None]
            colored = np.repeat(colored, 3, axis=-1)
            return tf.data.Dataset.from_tensor_slices((colored, labels))

        parts = (x[:900], y[:900]), (x[900:], y[900:]), (x_test, y_test)
        count = types.SimpleNamespace(num_examples=900)
        info = types.SimpleNamespace(splits={"train": count})
        return [dataset(*part) for part in parts], info

    module = types.ModuleType("tensorflow_datasets")
    module.load = load
    return module


def _with_any_file_name(method):
    """`save_weights` and `load_weights` for names that Keras 2 took."""

    def call(self, path, *args, **kwargs):
        path = str(path)
        if not path.endswith(".weights.h5"):
            path += ".weights.h5"
        return method(self, path, *args, **kwargs)

    return call


def run_guide(path):
    """Runs one notebook in this process; prints one line of JSON."""
    import contextlib
    import io
    import tempfile
    import traceback

    import keras

    sys.modules["tensorflow_datasets"] = _datasets()
    keras.datasets.mnist.load_data = _images
    for name in ("save_weights", "load_weights"):
        setattr(keras.Model, name, _with_any_file_name(getattr(keras.Model, name)))
    os.chdir(tempfile.mkdtemp())
    scope, failures, count = {"__name__": "__main__"}, [], 0
    for number, code in cells(path):
        count += 1
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(code, f"cell {number}", "exec"), scope)
        except Exception as error:
            line = traceback.extract_tb(error.__traceback__)[1].lineno
            text = f"{type(error).__name__}: {error}"
            failures.append(f"cell {number}, line {line}: {text[:200]}")
    print("RESULT " + json.dumps({"cells": count, "failures": failures}))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--one", action="store_true")
    args = parser.parse_args()
    if args.one:
        run_guide(args.folder)
        return
    total = passed = 0
    print("| Guide | Cells | Passed | Seconds |\n|---|---|---|---|")
    notes = []
    for path in sorted(args.folder.rglob("*.ipynb")):
        if args.names and not any(name in path.stem for name in args.names):
            continue
        started = time.monotonic()
        command = [sys.executable, __file__, str(path), "--one"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = [x for x in done.stdout.splitlines() if x.startswith("RESULT ")]
        count = len(cells(path))
        result = {"failures": [f"the process ended: {done.stderr[-300:]}"] * count}
        if lines:
            result = json.loads(lines[0][7:])
        failed = len(result["failures"])
        total, passed = total + count, passed + count - failed
        notes += [f"{path.stem}: {text}" for text in result["failures"]]
        seconds = time.monotonic() - started
        print(
            f"| {path.stem} | {count} | {count - failed} | {seconds:.0f} |", flush=True
        )
    print(f"| all | {total} | {passed} | |")
    for note in notes:
        print(note)


if __name__ == "__main__":
    main()
