"""`keras-strategies quickstart`: from real data to a verified .tflite."""

import argparse
import pathlib

from keras_strategies.cli import common
from keras_strategies.cli.errors import UsageError
from keras_strategies.cli.output_folder import check_folder, written_aside

EXAMPLE = """exit codes:
  0 done, 1 a .tflite file does not agree with its model, 2 bad use.

examples:
  keras-strategies quickstart
  keras-strategies quickstart -o digits --seeds 10 --json > digits.json
"""


def add_parser(commands: common.Subparsers) -> None:
    """Adds the command."""
    parser = common.add_command(
        commands,
        "quickstart",
        help="from real data to a verified .tflite in three minutes",
        description=(
            "Trains a small network on 200 of scikit-learn's handwritten digits, plain "
            "and with this package's strategies, over several seeds; prunes it; "
            "exports it to .tflite as float32 and int8 and checks both against Keras "
            "on the test images. Leaves model.keras, model.tflite (int8), "
            "model_float32.tflite, report.json, report.html and training.png."
        ),
        epilog=EXAMPLE,
    )
    parser.add_argument(
        "-o",
        "--output",
        default="out",
        metavar="DIR",
        help="folder for the results (out)",
    )
    parser.add_argument(
        "--epochs",
        type=common.whole_number(1, 10_000),
        default=40,
        metavar="N",
        help="training epochs of each network (40); fine-tuning takes half as many",
    )
    parser.add_argument(
        "--seeds",
        type=common.whole_number(3, 100),
        default=5,
        metavar="N",
        help="networks of each sort, each with its own seed; at least 3 (5)",
    )
    parser.add_argument(
        "--seed",
        type=common.whole_number(0, 10**9),
        default=0,
        metavar="N",
        help="the first seed (0)",
    )
    common.add_json(parser)
    parser.set_defaults(run=run, check=check)


def check(arguments: argparse.Namespace) -> None:
    """Refuses what needs no library to be refused."""
    check_folder(arguments.output)
    common.need_modules("`keras-strategies quickstart`", "matplotlib", "sklearn")


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns its exit code."""
    from keras_strategies.cli.quickstart.job import run_job

    folder = pathlib.Path(arguments.output)
    # With --json nothing else goes to stdout.
    console = common.console(stderr=arguments.json)
    try:
        with written_aside(folder) as aside:
            values = run_job(
                console,
                aside,
                folder,
                epochs=arguments.epochs,
                seeds=[arguments.seed + i for i in range(arguments.seeds)],
            )
    except OSError as error:
        raise UsageError(f"cannot write the results in {folder}: {error}") from error
    if arguments.json:
        common.print_json(values)
    return 0
