"""`keras-strategies checkpoint`: the checkpoints of `training.ResumableTraining`."""

import argparse
import pathlib
from typing import Any

from keras_strategies.cli import common
from keras_strategies.cli.errors import UsageError

EXAMPLE = """exit codes:
  0 done, 1 a checkpoint is damaged, 2 there is none, or it cannot be exported.

examples:
  keras-strategies checkpoint list runs/first
  keras-strategies checkpoint show runs/first/checkpoint-00000012
  keras-strategies checkpoint verify runs/first
  keras-strategies checkpoint export runs/first -o model.keras
"""
_DAMAGED = 1


def add_parser(commands: common.Subparsers) -> None:
    """Adds the command."""
    parser = common.add_command(
        commands,
        "checkpoint",
        help="checkpoints of a training that can be resumed",
        description=(
            "Lists, shows, checks and exports the checkpoints that "
            "training.ResumableTraining has written."
        ),
        epilog=EXAMPLE,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    texts = {
        "list": ("the checkpoints of a training", _list),
        "show": ("what the newest one, or the one that is named, holds", _show),
        "verify": ("compares every byte with its checksum", _verify),
        "export": ("writes the model as a .keras file", _export),
    }
    for name, (text, run) in texts.items():
        action = actions.add_parser(name, help=text, description=text)
        action.add_argument(
            "path", metavar="DIR", help="folder of a training, or of one checkpoint"
        )
        if name == "export":
            action.add_argument(
                "-o", "--output", required=True, metavar="MODEL.keras", help="the file"
            )
        common.add_json(action)
        action.set_defaults(run=run)


def _report(arguments: argparse.Namespace, verify: bool) -> Any:
    from keras_strategies.training import inspect_checkpoint

    with common.usage_errors():
        return inspect_checkpoint(arguments.path, verify=verify)


def _list(arguments: argparse.Namespace) -> int:
    report = _report(arguments, verify=False)
    if arguments.json:
        common.print_json({"rows": report.to_dict()["rows"]})
    else:
        common.print_report(report)
    return 0


def _show(arguments: argparse.Namespace) -> int:
    report = _report(arguments, verify=True)
    if arguments.json:
        common.print_json(report.to_dict())
        return 0
    common.print_report(report)
    if report.name is None:
        return _DAMAGED
    rows = [
        (entry["group"], entry["path"], entry["dtype"], str(tuple(entry["shape"])))
        for entry in report.variables
    ]
    common.print_table(report.name, ("group", "variable", "type", "shape"), rows)
    rows = [
        (entry["class"], ", ".join(entry["state"] or {}) or "-")
        for entry in report.callbacks
    ]
    common.print_table("Callbacks", ("class", "state"), rows)
    rows = [(key, str(value)) for key, value in report.training["data"].items()]
    common.print_table("Data", ("", ""), rows)
    versions = {**report.training["versions"], "backend": report.training["backend"]}
    common.print_table("Versions", ("", ""), list(versions.items()))
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    report = _report(arguments, verify=True)
    if arguments.json:
        common.print_json({"rows": report.to_dict()["rows"]})
    else:
        common.print_report(report)
    return _DAMAGED if any(row["problem"] for row in report.rows) else 0


def _export(arguments: argparse.Namespace) -> int:
    from keras_strategies._internal.storage import files
    from keras_strategies.training._inspect_checkpoint import locate, model_of
    from keras_strategies.training._resume import checkpoints

    if not arguments.output.endswith(".keras"):
        raise UsageError(f"`--output` must end in .keras. Received: {arguments.output}")
    with common.usage_errors(checkpoints.DamagedCheckpoint):
        storage, names = locate(arguments.path)
        content = checkpoints.read(storage, names[-1])
        model = model_of(content)
        path = pathlib.Path(arguments.output)
        with files.aside(path, ".keras") as aside:
            model.save(aside)
        size = path.stat().st_size
    if arguments.json:
        names = ("epoch", "step", "iterations", "finished", "logs")
        record = {name: content.info.get(name) for name in names}
        record = {"checkpoint": content.name, **record}
        common.print_json({**record, "path": str(path), "bytes": size})
    else:
        common.print_text(f"{content.name} -> {arguments.output}")
    return 0
