"""The shell scripts: what they install, when they do nothing, what they refuse."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Stands for python3: makes a venv that is a copy of itself and logs every pip call.
FAKE_PYTHON = """#!/bin/sh
case "$1 $2" in
    "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    "-m pip")
        [ "$3" = install ] && echo "$*" >>"$FAKE_LOG" && exit "${FAKE_STATUS:-0}"
        exit 0 ;;
    "-c "*) exit 0 ;;
    *) echo "unexpected: $*" >&2; exit 9 ;;
esac
"""


@pytest.fixture
def checkout(tmp_path):
    """A copy of what the scripts read, in a folder with a space in its name."""
    root = tmp_path / "a folder"
    shutil.copytree(
        ROOT / "scripts", root / "scripts", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(ROOT / "pyproject.toml", root)
    fake = tmp_path / "fake_python"
    fake.write_text(FAKE_PYTHON)
    fake.chmod(0o755)
    return root


def _run(root, *command, **variables):
    log = root.parent / "pip.log"
    keep = {"HOME": os.environ.get("HOME", "/"), "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        ["sh", *command],
        cwd=root.parent,
        capture_output=True,
        text=True,
        env=keep
        | {"PYTHON": str(root.parent / "fake_python"), "FAKE_LOG": str(log)}
        | variables,
        timeout=300,
    )


def _installs(root):
    log = root.parent / "pip.log"
    return log.read_text().splitlines() if log.exists() else []


def test_bootstrap_installs_once(checkout):
    script = str(checkout / "scripts" / "bootstrap")
    for _ in range(2):
        done = _run(checkout, script, "tuning", "plots")
        assert done.returncode == 0, done.stderr
    (installed,) = _installs(checkout)
    assert installed.endswith("--editable .[tuning,plots]")
    assert (checkout / ".venv" / "bin" / "python").exists()


def test_bootstrap_adds_a_new_extra_alone(checkout):
    script = str(checkout / "scripts" / "bootstrap")
    _run(checkout, script, "tuning")
    _run(checkout, script, "tuning", "jax")
    assert [line.rpartition(" ")[2] for line in _installs(checkout)] == [
        ".[tuning]",
        ".[jax]",
    ]


def test_bootstrap_notices_changed_dependencies(checkout):
    script = str(checkout / "scripts" / "bootstrap")
    _run(checkout, script, "dev")
    with open(checkout / "pyproject.toml", "a") as file:
        file.write("# changed\n")
    _run(checkout, script, "dev")
    assert len(_installs(checkout)) == 2


def test_bootstrap_that_failed_installs_again(checkout):
    script = str(checkout / "scripts" / "bootstrap")
    assert _run(checkout, script, "dev", FAKE_STATUS="1").returncode == 1
    assert _run(checkout, script, "dev").returncode == 0
    assert len(_installs(checkout)) == 2


def test_bootstrap_refuses_unknown_extras_before_anything(checkout):
    done = _run(checkout, str(checkout / "scripts" / "bootstrap"), "dev", "cuda")
    assert done.returncode == 2
    assert "unknown extra 'cuda'" in done.stderr
    assert not (checkout / ".venv").exists()


def test_bootstrap_refuses_an_old_python(checkout):
    old = checkout.parent / "old"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.1\nexit 1\n')
    old.chmod(0o755)
    script = str(checkout / "scripts" / "bootstrap")
    done = _run(checkout, script, PYTHON=str(old))
    assert done.returncode == 2
    assert "3.11 or newer is needed" in done.stderr
    assert "Python 3.9.1" in done.stderr


@pytest.mark.parametrize(
    ("script", "arguments", "said"),
    [
        ("test", ["--backend", "mxnet"], "unknown backend 'mxnet'"),
        ("test", ["--backend"], "--backend needs"),
        ("check", ["--quick"], "unknown argument '--quick'"),
        ("benchmark", [], "name one of: augmentation"),
        ("benchmark", ["nothing"], "name one of"),
    ],
)
def test_bad_use_is_told_before_installing(checkout, script, arguments, said):
    done = _run(checkout, str(checkout / "scripts" / script), *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert _installs(checkout) == []


def test_every_shell_script_is_valid_posix_sh():
    scripts = [
        path
        for path in (ROOT / "scripts").iterdir()
        if path.is_file() and path.read_bytes().startswith(b"#!/bin/sh")
    ]
    assert {path.name for path in scripts} >= {
        "bootstrap",
        "quickstart",
        "test",
        "check",
    }
    for path in scripts:
        assert os.access(path, os.X_OK), f"{path.name} is not executable"
        subprocess.run(["sh", "-n", str(path)], check=True)


def test_continuous_integration_calls_the_projects_own_check():
    assert "scripts/check" in (ROOT / ".ci" / "run").read_text()
    assert "scripts/test" in (ROOT / "scripts" / "check").read_text()
