"""Runs the type checkers over the public interface and over two scripts of a user."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RIGHT, WRONG = (ROOT / "tests" / "types" / f"{n}.py" for n in ("right", "wrong"))
# Share of the public interface whose types are known, Keras's own left out.
LEAST = 0.95


def run(module, *arguments):
    """The finished process of a type checker."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)


def completeness():
    """The share of typed public symbols, and the first that are not."""
    arguments = ("--verifytypes", "keras_strategies", "--ignoreexternal")
    done = run(
        "basedpyright", *arguments, "--outputjson", "--pythonpath", sys.executable
    )
    report = json.loads(done.stdout)["typeCompleteness"]
    unknown = [
        symbol["name"]
        for symbol in report["symbols"]
        if symbol["isExported"] and not symbol["isTypeKnown"]
    ]
    return report["completenessScore"], unknown


def lines_of_pyright(path):
    """The lines that pyright reports an error in."""
    configuration = ROOT / "scripts" / "pyrightconfig.json"
    done = run(
        "basedpyright",
        "--outputjson",
        "--pythonpath",
        sys.executable,
        "--project",
        str(configuration),
        str(path),
    )
    found = json.loads(done.stdout)["generalDiagnostics"]
    errors = [entry for entry in found if entry["severity"] == "error"]
    return {entry["range"]["start"]["line"] + 1: entry["message"] for entry in errors}


def lines_of_mypy(path):
    """The lines that mypy --strict reports an error in."""
    done = run(
        "mypy",
        "--strict",
        "--no-error-summary",
        "--follow-imports=silent",
        "--config-file",
        str(ROOT / "scripts" / "mypy.ini"),
        str(path),
    )
    pattern = re.compile(rf"{re.escape(path.name)}:(\d+): error: (.*)")
    return {int(m[1]): m[2] for m in pattern.finditer(done.stdout)}


def main():
    failures = []
    share, unknown = completeness()
    print(f"typed share of the public interface: {share:.1%} (at least {LEAST:.0%})")
    if share < LEAST:
        failures += [f"not typed: {name}" for name in unknown[:40]]
    marked = {
        number
        for number, line in enumerate(WRONG.read_text().splitlines(), start=1)
        if line.endswith("# wrong")
    }
    for name, lines_of in (("pyright", lines_of_pyright), ("mypy", lines_of_mypy)):
        refused, missed = lines_of(RIGHT), marked - set(lines_of(WRONG))
        print(
            f"{name}: {len(refused)} errors in right.py, {len(missed)} mistakes missed"
        )
        failures += [f"{name}, right.py:{n}: {text}" for n, text in refused.items()]
        failures += [f"{name}, wrong.py:{n}: not refused" for n in sorted(missed)]
    for failure in failures:
        print(failure, file=sys.stderr)
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
