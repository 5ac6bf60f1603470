"""Executes notebooks with this interpreter as their kernel; see run_notebooks."""

import argparse
import base64
import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# The step limit also cuts `evaluate` and `predict`, so it is wide enough for small
# test sets: a prediction shorter than its labels would break a correct notebook.
SMOKE = {"KERAS_MAX_EPOCHS": "2", "KERAS_MAX_STEPS_PER_EPOCH": "64"}

# A notebook is to stay below 300 kB: its pictures, and the pixels they may be wide.
PICTURE_CHARACTERS = 250_000
PICTURE_WIDTHS = (900, 700, 560, 480, 420, 360, 300)

_LIMITS = """
import sys, keras
epochs = getattr(keras.config, "max_epochs", lambda: None)()
steps = getattr(keras.config, "max_steps_per_epoch", lambda: None)()
sys.exit(0 if [str(epochs), str(steps)] == sys.argv[1:] else 3)
"""


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="run_notebooks",
        description="Runs notebooks in a temporary copy; a failing cell exits 1.",
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--smoke", action="store_true", help="cut every fit short")
    mode.add_argument("--write", action="store_true", help="store the new outputs")
    parser.add_argument(
        "--timeout",
        type=int,
        default=1200,
        help="seconds a cell may take (%(default)s)",
    )
    parser.add_argument("notebooks", nargs="*", metavar="NOTEBOOK", type=Path)
    options = parser.parse_args(arguments)
    if not options.notebooks:
        options.notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
        if not options.notebooks:
            parser.error("there is no notebook in notebooks/")
    for path in options.notebooks:
        if not path.is_file():
            parser.error(f"no such notebook: {path}")
    return options


def check_limits():
    """The installed Keras must obey the two variables, or smoke mode is a lie."""
    done = subprocess.run(
        [sys.executable, "-c", _LIMITS, *(os.environ[k] for k in SMOKE)],
        env=os.environ | {"KERAS_BACKEND": "numpy"},  # starts at once
    )
    if done.returncode:
        sys.exit(
            "run_notebooks: this Keras does not read " + " and ".join(SMOKE) + "; "
            "smoke mode needs them"
        )


def client_for(notebook, folder, timeout):
    """A notebook client whose kernel is this interpreter, whatever is registered."""
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient

    class ThisInterpreter(KernelSpecManager):
        def get_kernel_spec(self, kernel_name):
            command = [sys.executable, "-m", "ipykernel_launcher"]
            return KernelSpec(
                argv=[*command, "-f", "{connection_file}"],
                display_name="Python 3",
                language="python",
            )

    manager = AsyncKernelManager(kernel_spec_manager=ThisInterpreter())
    return NotebookClient(
        notebook,
        km=manager,
        timeout=timeout,
        resources={"metadata": {"path": str(folder)}},
    )


def drop_logs(notebook):
    """Removes what libraries wrote to stderr; a reader wants the results."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
            cell.metadata.pop("execution", None)  # times of one machine


def compress_pictures(notebook):
    """Stores pictures as JPEGs, as large as they fit into `PICTURE_CHARACTERS`."""
    outputs = [
        (output["data"], kind)
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        for kind in ("image/png", "image/jpeg")
        if kind in output.get("data", {})
    ]
    pages = [_on_white(data[kind]) for data, kind in outputs]
    for width in PICTURE_WIDTHS:
        encoded = [_as_jpeg(page, width) for page in pages]
        if sum(map(len, encoded)) <= PICTURE_CHARACTERS:
            break
    for (data, kind), text in zip(outputs, encoded, strict=True):
        if len(text) < len(data[kind]):
            del data[kind]
            data["image/jpeg"] = text


def _on_white(encoded):
    """A picture, where it is transparent on white."""
    from PIL import Image

    image = Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGBA")
    page = Image.new("RGB", image.size, "white")
    page.paste(image, mask=image.getchannel("A"))
    return page


def _as_jpeg(page, width):
    smaller, stored = page.copy(), io.BytesIO()
    smaller.thumbnail((width, 4 * width))
    smaller.save(stored, "JPEG", quality=70, optimize=True)
    return base64.b64encode(stored.getvalue()).decode()


def run(path, folder, options):
    """Executes one notebook in `folder`; returns whether every cell passed."""
    import nbformat
    from nbclient.exceptions import (
        CellExecutionError,
        CellTimeoutError,
        DeadKernelError,
    )

    notebook = nbformat.read(path, as_version=4)
    start = time.monotonic()
    try:
        client = client_for(notebook, folder, options.timeout)
        # The kernel is ours, so the client ends it only when told to.
        client.execute(cwd=str(folder), cleanup_kc=True)
    except CellExecutionError as error:
        # Its text has the source of the cell and the traceback.
        print(f"FAILED {path.name}\n{error}", file=sys.stderr)
        return False
    except (CellTimeoutError, DeadKernelError) as error:
        print(f"FAILED {path.name}: {error}", file=sys.stderr)
        return False
    if options.write:
        drop_logs(notebook)
        compress_pictures(notebook)
        nbformat.write(notebook, path)
    print(f"passed {path.name} ({time.monotonic() - start:.0f} s)", flush=True)
    return True


def main(arguments=None):
    options = parse(arguments)
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if options.smoke:
        for name, value in SMOKE.items():
            os.environ.setdefault(name, value)
        check_limits()
    good = True
    with tempfile.TemporaryDirectory(prefix="notebooks-") as temporary:
        # Neither the settings nor the history of whoever runs this.
        os.environ["JUPYTER_RUNTIME_DIR"] = str(Path(temporary, "runtime"))
        os.environ["IPYTHONDIR"] = str(Path(temporary, "ipython"))
        for number, path in enumerate(options.notebooks):
            path = path.resolve()
            folder = Path(temporary, f"copy{number}")
            shutil.copytree(path.parent, folder)
            good = run(path, folder, options) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
