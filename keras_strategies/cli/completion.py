"""`keras-strategies completion`: completion of the command in a shell."""

import argparse

from keras_strategies.cli import common

SHELLS = ("bash", "zsh", "tcsh", "fish")
EXAMPLE = """exit codes:
  0 printed, 2 bad use.

examples:
  keras-strategies completion bash > ~/.local/share/bash-completion/completions/\\
keras-strategies
  keras-strategies completion zsh > ~/.zfunc/_keras-strategies
  keras-strategies completion fish --json
"""


def add_parser(commands: common.Subparsers) -> None:
    """Adds the command."""
    parser = common.add_command(
        commands,
        "completion",
        help="print a script that completes this command in a shell",
        description=(
            "Prints a script for a shell, made by shtab (the extra `completion`). It "
            "is static: completing starts no Python."
        ),
        epilog=EXAMPLE,
    )
    parser.add_argument(
        "shell", choices=SHELLS, metavar="SHELL", help=f"one of {', '.join(SHELLS)}"
    )
    common.add_json(parser, "print one JSON object with shell and script")
    parser.set_defaults(run=run, check=check, needs_package=False)


def check(arguments: argparse.Namespace) -> None:
    """Refuses to run without shtab."""
    common.need_modules("`keras-strategies completion`", "shtab")


def script(shell: str) -> str:
    """Returns the script for `shell`."""
    import shtab

    from keras_strategies.cli.main import build_parser

    parser = build_parser()
    for action in _actions(parser):
        kind = _file_kind(action)
        if kind is not None:
            setattr(action, "complete", getattr(shtab, kind))  # noqa: B010
    return shtab.complete(parser, shell)


def _actions(parser):
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)


def _file_kind(action):
    """The kind of path that an argument takes, by its metavar."""
    metavar = action.metavar if isinstance(action.metavar, str) else ""
    if "DIR" in metavar:
        return "DIRECTORY"
    names = ("FILE", "MODEL", "INPUT", "DATA")
    return "FILE" if metavar.startswith(names) else None


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns its exit code."""
    text = script(arguments.shell)
    if arguments.json:
        common.print_json({"shell": arguments.shell, "script": text})
    else:
        common.print_text(text)
    return 0
