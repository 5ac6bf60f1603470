"""What the commands about `.tflite` files share: options, errors, tables."""

import argparse
import contextlib
import json
import sys
import textwrap

from keras_strategies.cli.errors import UsageError


def whole(low, high):
    """A parser of whole numbers in `[low, high]` for argparse."""

    def parse(text):
        if not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(
                f"must be a whole number from {low} to {high}. Received: {text}"
            )
        return int(text)

    return parse


def fraction(text):
    """A parser of numbers in `[0, 1]` for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(
            f"must be a number from 0 to 1. Received: {text}"
        )
    return value


def add_command(commands, name, description, **texts):
    """Adds a subcommand whose `epilog` keeps its lines."""
    return commands.add_parser(
        name,
        description=textwrap.fill(description, 79),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **texts,
    )


def add_json(parser):
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object instead of a table"
    )


@contextlib.contextmanager
def usage_errors():
    """Turns what a wrong file or argument raises into one line and exit code 2."""
    try:
        yield
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(one_line(error)) from error


def opened(path):
    """Returns the `TFLiteModel` of `path`; a damaged file is bad use."""
    from keras_strategies.export import ExportError, TFLiteModel

    with usage_errors():
        try:
            return TFLiteModel(path)
        except ExportError as error:
            raise UsageError(one_line(error)) from error


def one_line(error):
    """An error's message on one line of bearable length."""
    text = " ".join(str(error).split())
    return text if len(text) <= 600 else text[:600] + " ..."


def print_json(values):
    json.dump(values, sys.stdout, indent=2)
    sys.stdout.write("\n")


def print_table(title, columns, rows):
    """Prints a table; columns that start with `>` are numbers."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD,
        show_header=any(columns),
        pad_edge=False,
    )
    for column in columns:
        number = column.startswith(">")
        table.add_column(
            column.lstrip(">"),
            justify="right" if number else "left",
            no_wrap=number,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(escape(value) for value in row))
    console = Console(soft_wrap=False)
    console.print(title, style="bold", markup=False, highlight=False, soft_wrap=True)
    console.print(table)


def escape(value):
    """Text that rich shows as it is."""
    from rich.markup import escape as escaped

    return escaped(str(value))


def size(count):
    """Bytes for people."""
    return f"{count:,} bytes"
