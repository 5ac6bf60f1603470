"""`scripts/benchmark`: reading tables, judging ratios, recording and checking."""

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

TABLES = """\
8,192 samples, medians

                                  ms a fit   ratio
no callbacks                         11.20   1.000
eight callbacks, every 10th step     12.21   1.090

Sizes
model        bytes   ratio  processor
mlp 784-128  1,024   12.50        3.1
cnn          2,048    2.50        1.1
the ratio of 3 runs says little
"""


@pytest.fixture
def script(tmp_path, monkeypatch):
    path = ROOT / "scripts" / "_benchmark.py"
    spec = importlib.util.spec_from_file_location("_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    monkeypatch.setattr(module, "RESULTS", tmp_path / "results")
    return module


def test_ratios_of_tables(script):
    assert script.ratios(TABLES) == {
        "1: no callbacks": 1.0,
        "1: eight callbacks, every 10th step": 1.09,
        "2: mlp 784-128": 12.5,
        "2: cnn": 2.5,
    }


def test_rows_of_one_name_are_told_apart(script):
    text = "way  ratio\na      1.5\na      2.5\n"
    assert script.ratios(text) == {"1: a": 1.5, "1: a'": 2.5}


@pytest.mark.parametrize(
    ("name", "measured", "said"),
    [
        ("training", {"a": 2.0}, []),
        ("training", {"a": 1.31}, []),
        ("training", {"a": 1.29}, ["a: 1.29, limit 1.3"]),
        ("training", {"b": 2.0}, ["a: has gone"]),
        ("callbacks", {"a": 4.0}, []),
        ("callbacks", {"a": 4.1}, ["a: 4.1, limit 4.05"]),
    ],
)
def test_worse_is_more_than_a_third(script, name, measured, said):
    assert script.worse(name, {"a": [2.0, 2.5, 3.0]}, measured) == said


def benchmark(folder, *rounds):
    """A benchmark whose n-th run prints the n-th ratio, the last one for ever."""
    (folder / "toy.py").write_text(
        "import pathlib\n"
        f"count = pathlib.Path({str(folder / 'count')!r})\n"
        "n = len(count.read_text()) if count.exists() else 0\n"
        "count.write_text('x' * (n + 1))\n"
        f"rounds = {rounds}\n"
        "print('way   ratio')\n"
        "print(f'ours  {rounds[min(n, len(rounds) - 1)]:5.2f}')\n"
    )
    (folder / "count").unlink(missing_ok=True)


def test_record_and_check(script, tmp_path, capsys):
    benchmark(tmp_path, 4.0, 5.0, 6.0, 5.0, 5.0, 5.0)
    assert script.main(["toy", "--record"]) == 0
    content = json.loads((tmp_path / "results" / "toy.json").read_text())
    assert content["ratios"] == {"1: ours": [4.0, 5.0, 6.0, 5.0, 5.0, 5.0]}
    assert content["machine"]["processors"] >= 1
    assert "| 1: ours | 4 | 5 | 6 |" in (tmp_path / "results" / "toy.md").read_text()
    # Once below is a busy moment, twice in a row is a loss.
    benchmark(tmp_path, 2.0, 4.0)
    assert script.main(["all", "--check"]) == 0
    benchmark(tmp_path, 2.0)
    assert script.main(["toy", "--check"]) == 1
    assert "toy, 1: ours: 2, limit 2.6" in capsys.readouterr().err


def test_what_cannot_be_checked_or_recorded(script, tmp_path, capsys):
    benchmark(tmp_path, 1.0)
    with pytest.raises(SystemExit):
        script.main(["toy", "--check"])
    assert "nothing is recorded" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        script.main(["none"])
    (tmp_path / "toy.py").write_text("raise SystemExit(3)")
    with pytest.raises(SystemExit, match="exit code 3"):
        script.main(["toy"])
