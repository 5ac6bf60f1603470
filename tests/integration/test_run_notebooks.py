"""scripts/run_notebooks on notebooks made here: one that passes, one that fails."""

import os
import shutil
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tests.policy.sources import ROOT

SCRIPT = ROOT / "scripts" / "_run_notebooks.py"


def write(path, *sources):
    cells = [new_markdown_cell("# A notebook"), *map(new_code_cell, sources)]
    # A kernel name that is registered nowhere.
    metadata = {"kernelspec": {"name": "nowhere", "display_name": "Nowhere"}}
    nbformat.write(new_notebook(cells=cells, metadata=metadata), path)
    return path


def outputs(path):
    cells = nbformat.read(path, as_version=4).cells
    return [c.outputs for c in cells if c.cell_type == "code"]


def run(*arguments, script=SCRIPT, **environment):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("KERAS_MAX_")}
    return subprocess.run(
        [sys.executable, str(script), *map(str, arguments)],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=900,
    )


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "a folder"
    path.mkdir()
    return path


def test_runs_in_a_copy_with_this_interpreter(folder):
    (folder / "data.txt").write_text("17")
    path = write(
        folder / "good.ipynb",
        "import os, sys\nfrom pathlib import Path",
        f"assert sys.executable == {sys.executable!r}",
        "assert Path('data.txt').read_text() == '17'\nPath('made.txt').touch()",
        f"assert Path.cwd() != Path({str(folder)!r})",
        "assert 'KERAS_MAX_EPOCHS' not in os.environ",
    )
    before = path.read_bytes()
    done = run(path)
    assert done.returncode == 0, done.stderr
    assert "passed good.ipynb" in done.stdout
    assert path.read_bytes() == before
    assert not (folder / "made.txt").exists()


def test_failing_cell_is_shown_and_the_rest_still_runs(folder):
    bad = write(folder / "bad.ipynb", "x = 3", "raise ValueError(f'no good: {x}')")
    good = write(folder / "good.ipynb", "print('fine')")
    done = run(bad, good)
    assert done.returncode == 1
    assert "FAILED bad.ipynb" in done.stderr
    assert "raise ValueError(f'no good: {x}')" in done.stderr
    assert "no good: 3" in done.stderr
    assert "passed good.ipynb" in done.stdout


def test_write_stores_the_outputs_of_good_notebooks_only(folder):
    good = write(folder / "good.ipynb", "print('fine')")
    bad = write(folder / "bad.ipynb", "print('shown')\nraise RuntimeError")
    done = run("--write", good, bad)
    assert done.returncode == 1
    assert outputs(good)[0][0].text == "fine\n"
    assert outputs(bad) == [[]]


def test_a_kernel_ends_with_its_notebook(folder):
    pid = folder.parent / "pid"
    code = f"import os\nfrom pathlib import Path\npid = Path({str(pid)!r})\n"
    first = write(folder / "1.ipynb", code + "pid.write_text(str(os.getpid()))")
    second = write(
        folder / "2.ipynb",
        code + "try:\n"
        "    os.kill(int(pid.read_text()), 0)\n"
        "except ProcessLookupError:\n"
        "    pid.unlink()",
    )
    done = run(first, second)
    assert done.returncode == 0, done.stderr
    assert not pid.exists(), "the kernel of the first notebook still runs"


def test_hanging_cell_fails(folder):
    path = write(folder / "slow.ipynb", "import time\ntime.sleep(60)")
    done = run("--timeout", "2", path)
    assert done.returncode == 1
    assert "FAILED slow.ipynb" in done.stderr


@pytest.mark.slow  # scripts/check runs all notebooks in this mode
def test_smoke_mode_cuts_fits_short(folder):
    path = write(
        folder / "fit.ipynb",
        "import keras, numpy as np\n"
        "model = keras.Sequential([keras.layers.Dense(1)])\n"
        "model.compile('sgd', 'mse')\n"
        "x, y = np.zeros((400, 1)), np.zeros((400, 1))\n"
        "history = model.fit(x, y, batch_size=2, epochs=1000, verbose=0)",
        "assert len(history.epoch) == 2\nassert int(model.optimizer.iterations) == 128",
    )
    done = run("--smoke", path, KERAS_BACKEND="tensorflow")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.ipynb"], "no such notebook: missing.ipynb"),
        (["--smoke", "--write"], "not allowed with argument"),
    ],
)
def test_bad_arguments_are_one_line_and_exit_code_2(arguments, message):
    done = run(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_no_notebooks_is_an_error(tmp_path):
    (tmp_path / "scripts").mkdir()
    (tmp_path / "notebooks").mkdir()
    done = run(script=shutil.copy(SCRIPT, tmp_path / "scripts"))
    assert done.returncode == 2
    assert "there is no notebook in notebooks/" in done.stderr
