"""Entry point of the `keras-strategies` command."""

import argparse
from collections.abc import Sequence

from keras_strategies.cli import (
    benchmark,
    checkpoint,
    common,
    compare,
    explain,
    export,
    inspect,
    quickstart,
    study,
    tune,
)
from keras_strategies.cli.errors import UsageError

# 2 as argparse, 130 as shells report a process that SIGINT ended.
USAGE, FAILED, INTERRUPTED = 2, 1, 130


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of all commands."""
    from keras_strategies import __version__

    parser = argparse.ArgumentParser(
        prog="keras-strategies",
        description="Train Keras 3 models better and fit them on a phone.",
    )
    parser.add_argument(
        "--version", action="version", version=f"keras-strategies {__version__}"
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    quickstart.add_parser(commands)
    export.add_parser(commands)
    inspect.add_parser(commands)
    benchmark.add_parser(commands)
    compare.add_parser(commands)
    tune.add_parser(commands)
    study.add_parser(commands)
    explain.add_parser(commands)
    checkpoint.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code.

    0 is success, 1 a result that failed its own check, 2 bad use.
    """
    from keras_strategies.export import ExportError

    arguments = build_parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except (UsageError, ImportError) as error:
        common.print_error(error)
        return USAGE
    except ExportError as error:
        common.print_error(error)
        return FAILED
    except KeyboardInterrupt:
        common.print_error("interrupted")
        return INTERRUPTED
