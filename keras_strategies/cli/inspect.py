"""`keras-strategies inspect`: contents of a `.tflite` file."""

import argparse
from typing import Any

from keras_strategies.cli import common

EXAMPLE = """exit codes:
  0 listed, 2 no such file or a damaged one.

examples:
  keras-strategies inspect model.tflite
  keras-strategies inspect model.tflite --json > model.json
"""


def add_parser(commands: common.Subparsers) -> None:
    """Adds the command."""
    parser = common.add_command(
        commands,
        "inspect",
        help="contents of a .tflite file",
        description=(
            "Lists size, signatures, operations (and those that the GPU delegate, the "
            "Edge TPU, the compilers for neural processors and the interpreter for "
            "microcontrollers do not list), tensor types, zeros and metadata of a "
            ".tflite file from any converter, also of one that cannot be run here."
        ),
        epilog=EXAMPLE,
    )
    parser.add_argument("path", metavar="MODEL.tflite", help="the file")
    common.add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns its exit code."""
    from keras_strategies.export import ExportError
    from keras_strategies.export.artifact._inspection import inspect

    with common.usage_errors(ExportError):
        contents = inspect(arguments.path)
    if arguments.json:
        common.print_json(contents)
    else:
        _print_contents(contents)
    return 0


def _print_contents(contents: dict[str, Any]) -> None:
    zeros = contents["sparsity"]["total"]
    rows = [
        ("size", common.size_text(contents["bytes"])),
        ("gzipped", common.size_text(contents["gzipped_bytes"])),
        ("zero weights", "no weights" if zeros is None else f"{zeros:.1%}"),
        ("Flex operations", ", ".join(contents["flex_ops"]) or "none"),
    ]
    common.print_table(contents["path"], ("", ""), rows)
    tensors = [
        (signature or "(none)", role[:-1], name, _tensor_text(entry))
        for signature, roles in contents["signatures"].items()
        for role in ("inputs", "outputs")
        for name, entry in roles[role].items()
    ]
    common.print_table("Signatures", ("signature", "role", "name", "tensor"), tensors)
    ops = contents["ops"].items()
    common.print_table("Operations", ("operation", ">count"), ops)
    delegates = [
        (entry["delegate"], ", ".join(entry["ops"]) or "none", entry["needs"])
        for entry in contents["delegates"]
    ]
    heads = ("accelerator", "not on its list", "needs")
    common.print_table("Accelerators", heads, delegates)
    for entry in contents["delegates"]:
        common.print_text(f"{entry['delegate']}: {entry['source']}")
    types = [
        (kind, entry["tensors"], f"{entry['bytes']:,}")
        for kind, entry in contents["tensor_types"].items()
    ]
    common.print_table("Tensors", ("type", ">tensors", ">bytes of constants"), types)
    if contents["metadata"]:
        metadata = contents["metadata"].items()
        common.print_table("Metadata", ("key", "value"), metadata)


def _tensor_text(entry):
    shape = ", ".join("?" if size is None else str(size) for size in entry["shape"])
    text = f"{entry['dtype']} ({shape})"
    if "scale" in entry:
        text += f", scale {entry['scale']:.6g}, zero point {entry['zero_point']}"
    return text
