"""Options, errors and tables that the commands share."""

import argparse
import contextlib
import importlib
import json
import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from keras_strategies.cli.errors import UsageError

if TYPE_CHECKING:
    import keras
    from rich.console import Console

    from keras_strategies._internal.reports import Report
    from keras_strategies.export import TFLiteModel

#: The object that `add_parser` of a command adds itself to.
Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

# Characters of an error message that are shown.
_MESSAGE_LENGTH = 600
# Keras writes its errors in bold, also into a file.
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """Returns a parser of whole numbers in `[low, high]` for argparse."""

    def parse(text):
        if not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(
                f"must be a whole number from {low} to {high}. Received: {text}"
            )
        return int(text)

    return parse


def positive_number(text: str) -> float:
    """Parses a finite number above 0 for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):  # also for NaN
        raise argparse.ArgumentTypeError(f"must be above 0. Received: {text}")
    return value


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
    """Adds a subcommand whose `epilog` keeps its lines.

    Its defaults name `run`, the command, and may name `check`, which is called before
    the package is imported: it refuses what needs no model, no data and no library.
    With `needs_package=False` the package is not imported at all.
    """
    parser = commands.add_parser(
        name,
        description=textwrap.fill(description, 79),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **texts,
    )
    parser.set_defaults(check=None, needs_package=True)
    return parser


def need_modules(purpose: str, *modules: str) -> None:
    """Refuses a command whose optional modules are not installed, all at once.

    Args:
        purpose: What needs them, the start of the message.
        *modules: Names of top-level modules.
    """
    from keras_strategies._internal.optional import missing_message

    message = missing_message(modules, purpose)
    if message is not None:
        raise UsageError(message)


def add_json(
    parser: argparse.ArgumentParser,
    text: str = "print one JSON object instead of a table",
) -> None:
    """Adds the option `--json`, which `text` explains."""
    parser.add_argument("--json", action="store_true", help=text)


def add_unsafe(parser: Any) -> None:
    """Adds the option `--unsafe` to a parser or a group of one."""
    parser.add_argument(
        "--unsafe",
        action="store_true",
        help="run code inside the .keras file (lambdas); only for files you trust",
    )


@contextlib.contextmanager
def usage_errors(
    *others: type[Exception], options: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Turns what a wrong file or argument raises into one line and exit code 2.

    Args:
        *others: Exceptions that are bad use, too, beside those of Python.
        options: The option that gives an argument, by the argument's name, for the
            message. Defaults to `None`, names stay as they are.
    """
    try:
        yield
    except (OSError, ValueError, TypeError, *others) as error:
        text = one_line(error)
        for name, option in (options or {}).items():
            text = text.replace(f"`{name}`", f"`{option}`")
        raise UsageError(text) from error


@contextlib.contextmanager
def refused_code(path: str) -> Iterator[None]:
    """Says how to run the code of a `.keras` file, which Keras refuses to load."""
    try:
        yield
    except ValueError as error:
        if "safe_mode" not in str(error):
            raise
        raise UsageError(
            f"{path} holds code (a lambda), which is not run unless asked for. "
            "Pass --unsafe if you trust the file."
        ) from error


def load_model(path: str, unsafe: bool, **options: Any) -> "keras.Model":
    """Returns the model of a `.keras` file; a wrong file is a usage error.

    Args:
        path: The file.
        unsafe: Run the code in it.
        **options: Further arguments of `keras.models.load_model`.
    """
    import zipfile

    import keras

    if os.path.isfile(path) and not zipfile.is_zipfile(path):
        # Keras says "File not found" of a file that it cannot unpack.
        raise UsageError(
            f"{path} is no .keras file, or it is damaged: save or copy it again."
        )
    with usage_errors(), refused_code(path):
        return keras.models.load_model(path, safe_mode=not unsafe, **options)


def import_object(option: str, text: str, forms: str = "pkg.module:NAME") -> Any:
    """Returns what `pkg.module:NAME` names, found from this folder.

    Args:
        option: The option that named it, for messages.
        text: The name.
        forms: What the option takes, for messages.
    """
    module, _, name = text.partition(":")
    if not module or not name:
        raise UsageError(f"`{option}` must be {forms}. Received: {text}")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        value = importlib.import_module(module)
    except ModuleNotFoundError as error:
        # Another missing module is an error of theirs, and shows as it is.
        if error.name is None or not (module + ".").startswith(error.name + "."):
            raise
        raise UsageError(
            f"`{option}` must name a module that can be imported from here. Received: "
            f"{text} (there is no module {error.name})"
        ) from error
    for part in name.split("."):
        if not hasattr(value, part):
            raise UsageError(f"`{option}`: {module} has no {name}")
        value = getattr(value, part)
    return value


def open_artifact(path: str | os.PathLike[str]) -> "TFLiteModel":
    """Returns the `TFLiteModel` of `path`; a damaged file is a usage error."""
    from keras_strategies.export import ExportError, TFLiteModel

    with usage_errors(ExportError):
        return TFLiteModel(path)


def one_line(error: Any) -> str:
    """Returns an error's message on one line of limited length."""
    # Converters and parsers report over many lines.
    text = " ".join(_ESCAPES.sub("", str(error)).split())
    return text if len(text) <= _MESSAGE_LENGTH else text[:_MESSAGE_LENGTH] + " ..."


def print_error(message: Any) -> None:
    """Prints a message of this command to stderr."""
    print(f"keras-strategies: {message}", file=sys.stderr)  # noqa: T201


def print_json(values: Any) -> None:
    """Prints one JSON object."""
    print_text(json.dumps(values, indent=2))


def print_text(text: str) -> None:
    """Prints lines as they are; does nothing if nobody reads them any more."""
    try:
        print(text, flush=True)  # noqa: T201
    except BrokenPipeError:
        _discard_stdout()


def is_stdout_closed() -> bool:
    """Whether standard output is a pipe that nobody reads; if so, it is let go."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_stdout()
        return True
    return False


def flush_or_discard_stdout() -> None:
    """Writes out what is left, or lets it go where that cannot be: on a full disk."""
    try:
        sys.stdout.flush()
    except OSError:
        _discard_stdout()


def open_closed_streams() -> None:
    """Gives standard streams that the shell has closed (`>&-`) an end: nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115


def _discard_stdout() -> None:
    """Sends all further output nowhere: `| head` has seen enough."""
    from keras_strategies._internal.processes import closed_pipe

    closed_pipe.discard(sys.stdout)


def console(stderr: bool = False) -> "Console":
    """Returns a console of rich that takes a closed pipe as the end of interest."""
    import rich.console

    class Console(rich.console.Console):
        def on_broken_pipe(self) -> None:  # rich would exit with code 1
            _discard_stdout()

    return Console(soft_wrap=False, stderr=stderr)


def print_report(report: "Report") -> None:
    """Prints a result as a table that fits the terminal."""
    console().print(report)


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Prints a table; columns that start with `>` are numbers."""
    from keras_strategies._internal.reports import TerminalTable

    table = TerminalTable(
        [column.lstrip(">") for column in columns],
        [[str(value) for value in row] for row in rows],
        [not column.startswith(">") for column in columns],
    )
    screen = console()
    screen.print(title, style="bold", markup=False, highlight=False, soft_wrap=True)
    screen.print(table)
    screen.print()


def size_text(count: int) -> str:
    """Returns a number of bytes with separators."""
    return f"{count:,} bytes"
