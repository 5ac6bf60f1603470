"""Parser and exit codes of the `keras-strategies` command.

No module of the command imports the rest of the package, NumPy or rich at its top, so
that help and bad arguments answer at once; `keras_strategies_cli` counts on it.
"""

import argparse
import contextlib
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from keras_strategies.cli import (
    benchmark,
    checkpoint,
    common,
    compare,
    completion,
    compress,
    doctor,
    explain,
    export,
    inspect,
    launch,
    lr_find,
    quickstart,
    study,
    tune,
)
from keras_strategies.cli.errors import UsageError

# In the order of the help: first steps, training, models, files, the command itself.
_COMMANDS = (
    quickstart,
    doctor,
    lr_find,
    tune,
    study,
    launch,
    checkpoint,
    explain,
    compress,
    export,
    inspect,
    compare,
    benchmark,
    completion,
)
# 2 as argparse, 130 as shells report a process that SIGINT ended.
USAGE, FAILED, INTERRUPTED = 2, 1, 130
EPILOG = """exit codes:
  0 success, 1 a result that fails its own check, 2 bad use, 130 interrupted.
  A closed pipe (| head) is no error.

examples:
  keras-strategies quickstart
  keras-strategies export model.keras -o model.tflite --quantization auto
  keras-strategies COMMAND --help

TF_CPP_MIN_LOG_LEVEL=0 shows TensorFlow's log, NO_COLOR=1 leaves colours out.
"""


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="keras-strategies",
        description="Train Keras 3 models better and fit them on a phone.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, help="print the version")
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, title="commands"
    )
    for command in _COMMANDS:
        command.add_parser(commands)
    return parser


class _Version(argparse.Action):
    """Prints the version, which is looked up only when asked for."""

    def __init__(self, option_strings, dest, help=None):
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, help=help)

    def __call__(self, parser, namespace, values, option_string=None):
        from importlib.metadata import version

        common.print_text(f"keras-strategies {version('keras-strategies')}")
        parser.exit()


def main(
    argv: Sequence[str] | None = None,
    start: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
) -> int:
    """Runs the command and returns its exit code.

    0 is success, 1 a result that failed its own check, 2 bad use.

    Args:
        argv: The arguments. Defaults to `None`: those of the process.
        start: Context in which the command runs, entered when the arguments are good.
    """
    common.open_closed_streams()
    try:
        arguments = build_parser().parse_args(argv)
        if arguments.check is not None:
            arguments.check(arguments)
        if arguments.needs_package:
            with start():
                code = _run(arguments)
        else:
            code = arguments.run(arguments)
        sys.stdout.flush()
    except (UsageError, ImportError) as error:
        common.print_error(error)
        return USAGE
    except BrokenPipeError:
        if not common.is_stdout_closed():
            raise
        return 0
    except OSError as error:  # a full disk, a folder that cannot be written
        common.print_error(common.one_line(error))
        common.flush_or_discard_stdout()
        return USAGE
    except KeyboardInterrupt:
        common.print_error("interrupted")
        return INTERRUPTED
    return code


def _run(arguments):
    from keras_strategies.export import ExportError

    try:
        return arguments.run(arguments)
    except ExportError as error:
        common.print_error(error)
        return FAILED
