"""`keras-strategies inspect`: what is inside a `.tflite` file."""

from keras_strategies.cli import artifacts
from keras_strategies.cli.errors import UsageError

EXAMPLE = """example:
  keras-strategies inspect model.tflite
  keras-strategies inspect model.tflite --json > model.json
"""


def add_parser(commands):
    parser = artifacts.add_command(
        commands,
        "inspect",
        help="what is inside a .tflite file",
        description=(
            "Lists size, signatures, operations, tensor types, zeros and metadata of "
            "a .tflite file from any converter, also of one that cannot be run here. "
            "Exit code 2: there is no such file, or it is damaged."
        ),
        epilog=EXAMPLE,
    )
    parser.add_argument("path", metavar="MODEL.tflite", help="the file")
    artifacts.add_json(parser)
    parser.set_defaults(run=run)


def run(arguments):
    from keras_strategies.export import ExportError
    from keras_strategies.export.artifact._inspection import inspect

    with artifacts.usage_errors():
        try:
            found = inspect(arguments.path)
        except ExportError as error:
            raise UsageError(artifacts.one_line(error)) from error
    if arguments.json:
        artifacts.print_json(found)
    else:
        _show(found)
    return 0


def _show(found):
    zeros = found["sparsity"]["total"]
    rows = [
        ("size", artifacts.size(found["bytes"])),
        ("gzipped", artifacts.size(found["gzipped_bytes"])),
        ("zero weights", "no weights" if zeros is None else f"{zeros:.1%}"),
        ("Flex operations", ", ".join(found["flex_ops"]) or "none"),
    ]
    artifacts.print_table(found["path"], ("", ""), rows)
    rows = [
        (signature or "(none)", role[:-1], name, _tensor(entry))
        for signature, roles in found["signatures"].items()
        for role in ("inputs", "outputs")
        for name, entry in roles[role].items()
    ]
    artifacts.print_table("Signatures", ("signature", "role", "name", "tensor"), rows)
    artifacts.print_table("Operations", ("operation", ">count"), found["ops"].items())
    rows = [
        (kind, entry["tensors"], f"{entry['bytes']:,}")
        for kind, entry in found["tensor_types"].items()
    ]
    artifacts.print_table("Tensors", ("type", ">tensors", ">bytes of constants"), rows)
    if found["metadata"]:
        artifacts.print_table("Metadata", ("key", "value"), found["metadata"].items())


def _tensor(entry):
    shape = ", ".join("?" if size is None else str(size) for size in entry["shape"])
    text = f"{entry['dtype']} ({shape})"
    if "scale" in entry:
        text += f", scale {entry['scale']:.6g}, zero point {entry['zero_point']}"
    return text
