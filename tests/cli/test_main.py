"""The command line: help, bad use, exit codes, folders."""

import os
import stat
import sys

import pytest

from keras_strategies.cli import main as cli
from keras_strategies.cli.errors import UsageError
from keras_strategies.cli.output_folder import check_folder, written_aside


def _exit(arguments, capsys):
    try:
        code = cli.main(arguments)
    except SystemExit as stop:  # argparse
        code = stop.code
    return code, capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "COMMAND"),
        (["quickstrat"], "quickstrat"),
        (["quickstart", "--epochs", "0"], "from 1 to 10000. Received: 0"),
        (["quickstart", "--epochs", "many"], "Received: many"),
        (["quickstart", "--seeds", "2"], "from 3 to 100. Received: 2"),
        (["quickstart", "--seed", "-1"], "--seed"),
        (["quickstart", "--size", "3"], "--size"),
    ],
)
def test_bad_arguments_are_one_clear_error(arguments, said, capsys):
    code, printed = _exit(arguments, capsys)
    assert code == 2
    assert said in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""


def test_output_that_is_a_file(tmp_path, capsys):
    path = tmp_path / "file"
    path.write_text("mine")
    code, printed = _exit(["quickstart", "--output", str(path)], capsys)
    assert code == 2
    assert printed.err.count("\n") == 1
    assert "which is a file" in printed.err
    assert path.read_text() == "mine"


def test_output_below_a_file(tmp_path, capsys):
    path = tmp_path / "file"
    path.write_text("mine")
    code, printed = _exit(["quickstart", "--output", str(path / "below")], capsys)
    assert code == 2
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize("module", ["sklearn", "matplotlib"])
def test_missing_extra_names_the_pip_command(module, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    code, printed = _exit(["quickstart", "--output", str(tmp_path / "o")], capsys)
    assert code == 2
    assert printed.err.count("\n") == 1
    extra = {"sklearn": "tuning", "matplotlib": "plots"}[module]
    assert f"pip install 'keras-strategies[{extra}]'" in printed.err
    assert not (tmp_path / "o").exists()


def test_version(capsys):
    code, printed = _exit(["--version"], capsys)
    assert code == 0
    assert printed.out.startswith("keras-strategies 0.")


def test_help_names_the_files_and_defaults(capsys):
    code, printed = _exit(["quickstart", "--help"], capsys)
    assert code == 0
    for word in ("report.html", "model.tflite", "--output", "--epochs", "--seed"):
        assert word in printed.out


def test_written_aside_moves_everything_on_success(tmp_path):
    folder = tmp_path / "new" / "out"
    with written_aside(folder) as aside:
        (aside / "a.txt").write_text("a")
        assert list(folder.iterdir()) == [aside]
    assert [path.name for path in folder.iterdir()] == ["a.txt"]


def test_written_aside_leaves_the_folder_as_it_was_on_failure(tmp_path):
    (tmp_path / "a.txt").write_text("old")

    def fails():
        with written_aside(tmp_path) as aside:
            (aside / "a.txt").write_text("new")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fails()
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_folder_that_cannot_be_written(tmp_path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(UsageError, match="writable"):
        check_folder(tmp_path / "out")
