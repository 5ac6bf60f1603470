"""`keras-strategies doctor`: the installation, and what is wrong with it."""

import argparse
import os

from keras_strategies.cli import common

EXAMPLE = """exit codes:
  0 nothing is wrong (there may be notes), 1 something is, 2 bad use.

examples:
  keras-strategies doctor
  keras-strategies doctor --json > doctor.json
  KERAS_BACKEND=jax keras-strategies doctor
"""


def add_parser(commands: common.Subparsers) -> None:
    """Adds the command."""
    parser = common.add_command(
        commands,
        "doctor",
        help="the installation: versions, devices, XLA, conflicts and their fix",
        description=(
            "Lists versions, backend, devices, XLA, memory, disk and the variables "
            "that matter, and what is wrong with them, each with its fix. The text "
            "is made for a bug report; it names no user, file or host."
        ),
        epilog=EXAMPLE,
    )
    common.add_json(parser)
    parser.set_defaults(run=run, needs_package=False)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns its exit code."""
    from keras_strategies.cli.doctor import facts, problems

    values = facts.collect(os.getcwd())
    complaints = problems.diagnose(values)
    if arguments.json:
        common.print_json({**values, "problems": complaints})
    else:
        _print(values, complaints)
    return int(any(entry["level"] == "error" for entry in complaints))


def _print(values, complaints):
    runtime = values["runtime"]
    rows = [
        ("Python", f"{values['python']} on {values['platform']}"),
        ("backend", runtime.get("backend") or "cannot be started"),
        ("devices", ", ".join(runtime.get("devices", ())) or "unknown"),
        ("XLA", runtime.get("xla") or "not tried"),
        ("processors", str(values["processors"])),
        ("memory", _sizes(values["memory"])),
        ("disk here", _sizes(values["disk"])),
    ]
    common.print_table("System", ("", ""), rows)
    packages = values["packages"].items()
    common.print_table(
        "Packages", ("package", "version"), [(k, v or "-") for k, v in packages]
    )
    extras = values["extras"].items()
    common.print_table(
        "Extras",
        ("extra", "to install"),
        [(name, ", ".join(absent) or "complete") for name, absent in extras],
    )
    if values["environment"]:
        items = values["environment"].items()
        common.print_table("Environment", ("variable", "value"), items)
    if not complaints:
        common.print_text("Nothing is wrong.")
    for entry in complaints:
        common.print_text(f"{entry['level']}: {entry['problem']}\n  {entry['fix']}")


def _sizes(sizes):
    free, total = (sizes[name] / 2**30 for name in ("free", "total"))
    return f"{free:.1f} of {total:.1f} GiB free"
