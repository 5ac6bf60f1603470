"""Runs, records and checks the benchmarks; see scripts/benchmark."""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "scripts" / "benchmarks"
RESULTS = FOLDER / "results"
ROUNDS = 6
TOLERANCE = 0.35
# Here the ratio is a cost: less is better.
COSTS = {"callbacks", "layers", "resume"}
_HEADING = re.compile(r"\bratio\b", re.I)
_NUMBER = re.compile(r"\d[\d,]*\.?\d*")


def names():
    """The benchmarks, in the order of their names."""
    return sorted(p.stem for p in FOLDER.glob("*.py") if not p.stem.startswith("_"))


def ratios(text):
    """Ratios in a benchmark's tables, by table and row.

    A table has a heading with the word `ratio` over a column of numbers that stand on
    the right; its rows end at an empty line. The key of a row is the number of the
    table and the text of the row's first column.
    """
    found, table, edge = {}, 0, None
    for line in text.splitlines():
        if not line.strip():
            edge = None
        elif (heading := _HEADING.search(line)) and not _NUMBER.search(
            line[heading.end() :]
        ):
            table, edge = table + 1, heading.end()
        elif edge is not None:
            numbers = list(_NUMBER.finditer(line))
            # Headings and numbers may differ by a space of padding.
            cell = [n for n in numbers if abs(n.end() - edge) <= 1]
            if cell:
                label = re.split(r"\s{2,}", line.strip())[0]
                key = f"{table}: {label}"
                while key in found:
                    key += "'"
                found[key] = float(cell[0][0].replace(",", ""))
    return found


def worse(name, recorded, measured):
    """Rows whose ratio is more than 35 % worse than the worst recorded one."""
    rows = []
    for key, values in recorded.items():
        if key not in measured:
            rows.append(f"{key}: has gone")
            continue
        if name in COSTS:
            limit = max(values) * (1 + TOLERANCE)
            is_worse = measured[key] > limit
        else:
            limit = min(values) * (1 - TOLERANCE)
            is_worse = measured[key] < limit
        if is_worse:
            rows.append(f"{key}: {measured[key]:g}, limit {limit:.3g}")
    return rows


def machine():
    """Hardware and versions, for the record."""
    packages = ("keras-strategies", "keras", "tensorflow", "jax", "torch", "numpy")
    versions = {}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    model = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    return {
        "processor": model,
        "processors": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "backend": os.environ.get("KERAS_BACKEND", "tensorflow"),
        "versions": versions,
    }


def measure(name, arguments):
    """Runs a benchmark once, showing what it prints; returns that text."""
    command = [sys.executable, "-u", FOLDER / f"{name}.py", *arguments]
    lines = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode:
        sys.exit(f"benchmark: {name} ended with exit code {process.returncode}")
    return "".join(lines)


def record(name, arguments):
    """Measures six rounds and stores them."""
    texts = [measure(name, arguments) for _ in range(ROUNDS)]
    rounds = [ratios(text) for text in texts]
    if not rounds[0]:
        sys.exit(f"benchmark: {name} prints no column called ratio")
    values = {key: [r[key] for r in rounds if key in r] for key in rounds[0]}
    content = {
        "benchmark": name,
        "arguments": arguments,
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "ratios": values,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
    (RESULTS / f"{name}.md").write_text(markdown(content))
    print(f"benchmark: {ROUNDS} rounds of {name} are stored")


def markdown(content):
    """The record as a page: machine, versions, range of each ratio."""
    facts = content["machine"]
    versions = ", ".join(f"{k} {v}" for k, v in facts["versions"].items())
    lines = [
        f"# {content['benchmark']}",
        "",
        f"{facts['processor']}, {facts['processors']} processors, {facts['system']}, "
        f"Python {facts['python']}, {facts['backend']} backend, {content['date']}.",
        f"{versions}.",
        "",
        "| Row | Lowest | Median | Highest |",
        "|---|---|---|---|",
    ]
    for key, values in content["ratios"].items():
        ordered = sorted(values)
        middle = ordered[len(ordered) // 2]
        lines.append(f"| {key} | {ordered[0]:g} | {middle:g} | {ordered[-1]:g} |")
    return "\n".join(lines) + "\n"


def check(name):
    """Returns the rows that are twice in a row worse than recorded."""
    content = json.loads((RESULTS / f"{name}.json").read_text())
    recorded, arguments = content["ratios"], content["arguments"]
    rows = worse(name, recorded, ratios(measure(name, arguments)))
    if rows:  # perhaps a busy moment of the machine
        rows = worse(name, recorded, ratios(measure(name, arguments)))
    return rows


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="benchmark")
    parser.add_argument("name", metavar="NAME|all")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true")
    mode.add_argument("--record", action="store_true")
    options, rest = parser.parse_known_args(arguments)
    if options.name not in (*names(), "all"):
        parser.error(f"name one of: all {' '.join(names())}")
    chosen = names() if options.name == "all" else [options.name]
    if options.check:
        chosen = [n for n in chosen if (RESULTS / f"{n}.json").is_file()]
        if not chosen:
            parser.error(f"nothing is recorded for {options.name}; see --record")
    failures = []
    for name in chosen:
        if len(chosen) > 1:
            print(f"== {name}", flush=True)
        if options.record:
            record(name, rest)
        elif options.check:
            failures += [f"{name}, {row}" for row in check(name)]
        else:
            measure(name, rest)
    for row in failures:
        print(f"benchmark: worse than recorded: {row}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
