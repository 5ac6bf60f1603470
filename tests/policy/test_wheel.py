"""The wheel has the package, its marker and its command, and nothing else."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile

import pytest

from tests.policy.sources import PACKAGE, ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    shutil.copytree(PACKAGE, source / "keras_strategies")
    names = ("pyproject.toml", "setup.cfg", "README.md", "LICENSE")
    for name in (*names, "keras_strategies_cli.py"):
        shutil.copy(ROOT / name, source / name)
    shutil.copytree(ROOT / "tests", source / "tests")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", "dist", "."],
        cwd=source,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (path,) = (source / "dist").glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_contents(wheel):
    tops = {name.partition("/")[0] for name in wheel}
    (metadata_folder,) = (top for top in tops if top.endswith(".dist-info"))
    assert tops == {"keras_strategies", "keras_strategies_cli.py", metadata_folder}
    assert "keras_strategies/py.typed" in wheel
    sources = {
        f"keras_strategies/{p.relative_to(PACKAGE)}" for p in PACKAGE.rglob("*.py")
    }
    assert sources <= set(wheel)
    assert any(name.endswith("licenses/LICENSE") for name in wheel)


def test_metadata(wheel):
    (name,) = (name for name in wheel if name.endswith(".dist-info/METADATA"))
    text = wheel[name].decode()
    assert re.search(r"^Name: keras-strategies$", text, re.M)
    assert re.search(r"^Requires-Python: >=3.11$", text, re.M)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extra in project["optional-dependencies"]:
        assert re.search(rf"^Provides-Extra: {extra}$", text, re.M)


def test_command(wheel):
    (name,) = (name for name in wheel if name.endswith("entry_points.txt"))
    assert "keras-strategies = keras_strategies_cli:main" in wheel[name].decode()
