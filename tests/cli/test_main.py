"""The command line: help, bad use, exit codes, folders."""

import json
import os
import stat
import subprocess
import sys

import pytest

from keras_strategies.cli import main as cli
from keras_strategies.cli.errors import UsageError
from keras_strategies.cli.output_folder import check_folder, written_aside
from tests.policy.sources import ROOT


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


def test_all_missing_extras_are_named_at_once(tmp_path, capsys, monkeypatch):
    for module in ("sklearn", "matplotlib"):
        monkeypatch.setitem(sys.modules, module, None)
    code, printed = _exit(["quickstart", "--output", str(tmp_path / "o")], capsys)
    assert code == 2
    assert "pip install 'keras-strategies[plots,tuning]'" in printed.err
    arguments = ["tune", "--model", "m:f", "--data", "x.npz", "-o", str(tmp_path)]
    code, printed = _exit(arguments, capsys)
    assert code == 2
    assert "--no-report" in printed.err and "[plots]" in printed.err


ANSWERED_AT_ONCE = """
import sys
import keras_strategies_cli
for arguments in (["--version"], ["--help"], ["tune", "--help"], ["quickstrat"]):
    try:
        keras_strategies_cli.main(arguments)
    except SystemExit:
        pass
heavy = {"keras", "numpy", "tensorflow", "rich", "jax", "torch"} & set(sys.modules)
print("loaded:", sorted(heavy))
sys.exit(keras_strategies_cli.main(["quickstart", "-o", "/dev/null/x"]))
"""


def test_help_and_bad_use_load_neither_keras_nor_numpy():
    done = subprocess.run(
        [sys.executable, "-c", ANSWERED_AT_ONCE],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "loaded: []" in done.stdout
    assert "must be writable" in done.stderr


CHATTER = """
import os, subprocess, sys
from keras_strategies.cli._stderr import without_chatter
LINES = (
    "WARNING: All log messages before absl::InitializeLog() is called are written",
    "I0000 00:00:1796039486.813445    7372 port.cc:153] oneDNN custom operations",
    "E0000 00:00:1796039493.642681    7372 cuda_platform.cc:52] failed call to cuInit",
    "INFO: Created TensorFlow Lite XNNPACK delegate for CPU.",
    "E0000 00:00:1796039493.642681    7372 other.cc:52] an error",
    "F0000 00:00:1796039493.642681    7372 last.cc:52] the last words",
)
with without_chatter():
    print("of Python", file=sys.stderr)
    for line in LINES:
        os.write(2, line.encode() + bytes([10]))
    subprocess.run([sys.executable, "-c", "import sys; sys.stderr.write('a child')"])
print("after", file=sys.stderr)
with without_chatter():
    os.write(2, b"before the crash")
    os.abort()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="abort opens a dialogue there")
@pytest.mark.parametrize("level", [None, "3", "0"])
def test_chatter_is_left_out_and_errors_are_not(level, monkeypatch):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    if level is not None:
        monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", level)
    code = "import keras_strategies_cli as c; c._deferred('keras_strategies')\n"
    done = subprocess.run(
        [sys.executable, "-c", code + CHATTER],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    for line in ("of Python", "an error", "the last words", "a child", "after"):
        assert line in done.stderr
    assert "before the crash" in done.stderr
    for line in ("InitializeLog", "oneDNN", "cuInit", "XNNPACK"):
        assert (line in done.stderr) == (level == "0")


def test_a_closed_pipe_is_no_error():
    code = (
        "import sys, time\n"
        "from keras_strategies_cli import main, _deferred\n"
        "_deferred('keras_strategies')\n"
        "from keras_strategies.cli import common, main as cli\n"
        "from keras_strategies.cli import completion\n"
        "sys.stdin.read()\n"  # until the reader is gone
        "rows = [('x' * 60, str(i)) for i in range(5000)]\n"
        "def run(arguments):\n"
        "    common.print_table('Rows', ('a', 'b'), rows)\n"
        "    common.print_json(rows)\n"
        "    return 1\n"
        "completion.run, completion.check = run, None\n"
        "sys.exit(cli.main(['completion', 'bash']))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.close()
        process.stdin.close()
        error = process.stderr.read()
        # The command's own exit code, and nothing said.
        assert (process.wait(60), error) == (1, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full there")
@pytest.mark.parametrize(
    ("stdout", "code"), [(">&-", 0), (">/dev/full", 2), (">&- 2>&-", 0)]
)
def test_standard_output_that_takes_nothing(stdout, code):
    pytest.importorskip("shtab")
    command = f"{sys.executable} -m keras_strategies_cli completion bash --json"
    done = subprocess.run(
        f"{command} {stdout}", shell=True, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == code
    assert "Traceback" not in done.stderr and "ignored" not in done.stderr
    assert ("No space left" in done.stderr) == (code == 2)


def test_every_command_has_one_style_of_help():
    parser = cli.build_parser()
    (commands,) = (a for a in parser._actions if hasattr(a, "add_parser"))
    assert {"doctor", "lr-find", "completion"} <= set(commands.choices)
    for name, command in commands.choices.items():
        text = command.format_help()
        assert "\nexit codes:\n" in text, name
        assert "\nexamples:\n  " in text, name
        assert all(len(line) <= 88 for line in text.splitlines()), name
        (actions,) = [
            list(action.choices.values())
            for action in command._actions
            if hasattr(action, "add_parser")
        ] or [[command]]
        assert all("--json" in action.format_help() for action in actions), name
        assert command.description[0].isupper() and command.description[-1] == "."


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_commands_options_and_files(shell, capsys):
    pytest.importorskip("shtab")
    code, printed = _exit(["completion", shell], capsys)
    assert code == 0
    for word in ("lr-find", "doctor", "min-agreement", "representative"):
        assert word in printed.out
    if shell == "bash":
        assert (
            subprocess.run(["bash", "-n"], input=printed.out, text=True).returncode == 0
        )
        assert "compgen_files" in printed.out
    code, record = _exit(["completion", shell, "--json"], capsys)
    assert json.loads(record.out) == {"shell": shell, "script": printed.out[:-1]}


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
