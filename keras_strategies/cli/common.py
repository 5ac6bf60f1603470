"""Options, errors and tables that the commands share."""

import argparse
import contextlib
import json
import os
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from keras_strategies._internal.reports import Report, rich_table
from keras_strategies.cli.errors import UsageError

if TYPE_CHECKING:
    from keras_strategies.export import TFLiteModel

#: The object that `add_parser` of a command adds itself to.
Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

# Characters of an error message that are shown.
_MESSAGE_LENGTH = 600


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """Returns a parser of whole numbers in `[low, high]` for argparse."""

    def parse(text):
        if not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(
                f"must be a whole number from {low} to {high}. Received: {text}"
            )
        return int(text)

    return parse


def fraction(text: str) -> float:
    """Parses a number in `[0, 1]` for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:  # also for NaN
        raise argparse.ArgumentTypeError(
            f"must be a number from 0 to 1. Received: {text}"
        )
    return value


def add_command(
    commands: Subparsers, name: str, description: str, **texts: Any
) -> argparse.ArgumentParser:
    """Adds a subcommand whose `epilog` keeps its lines."""
    return commands.add_parser(
        name,
        description=textwrap.fill(description, 79),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **texts,
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Adds the option `--json`."""
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object instead of a table"
    )


@contextlib.contextmanager
def usage_errors() -> Iterator[None]:
    """Turns what a wrong file or argument raises into one line and exit code 2."""
    try:
        yield
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(one_line(error)) from error


def open_artifact(path: str | os.PathLike[str]) -> "TFLiteModel":
    """Returns the `TFLiteModel` of `path`; a damaged file is a usage error."""
    from keras_strategies.export import ExportError, TFLiteModel

    with usage_errors():
        try:
            return TFLiteModel(path)
        except ExportError as error:
            raise UsageError(one_line(error)) from error


def one_line(error: Any) -> str:
    """Returns an error's message on one line of limited length."""
    # Converters and parsers report over many lines.
    text = " ".join(str(error).split())
    return text if len(text) <= _MESSAGE_LENGTH else text[:_MESSAGE_LENGTH] + " ..."


def print_error(message: Any) -> None:
    """Prints a message of this command to stderr."""
    print(f"keras-strategies: {message}", file=sys.stderr)  # noqa: T201


def print_json(values: Any) -> None:
    """Prints one JSON object."""
    json.dump(values, sys.stdout, indent=2)
    sys.stdout.write("\n")


def print_report(report: Report) -> None:
    """Prints a result as a table that fits the terminal."""
    from rich.console import Console

    Console(soft_wrap=False).print(report)


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Prints a table; columns that start with `>` are numbers."""
    from rich.console import Console

    table = rich_table(
        [column.lstrip(">") for column in columns],
        [[str(value) for value in row] for row in rows],
        [not column.startswith(">") for column in columns],
        wrap=True,
    )
    console = Console(soft_wrap=False)
    console.print(title, style="bold", markup=False, highlight=False, soft_wrap=True)
    console.print(table)
    console.print()


def size_text(count: int) -> str:
    """Returns a number of bytes with separators."""
    return f"{count:,} bytes"
