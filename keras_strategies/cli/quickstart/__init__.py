"""`keras-strategies quickstart`: from real data to a verified .tflite."""

import argparse

from keras_strategies.cli.common import Subparsers, whole_number
from keras_strategies.cli.errors import UsageError
from keras_strategies.cli.output_folder import check_folder, written_aside


def add_parser(commands: Subparsers) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "quickstart",
        help="from real data to a verified .tflite in three minutes",
        description=(
            "Trains a small network on scikit-learn's handwritten digits, plain and "
            "with this package's strategies, over several seeds; prunes it; exports "
            "it to .tflite as float32 and int8 and checks both against Keras on the "
            "test images. Leaves model.keras, model.tflite (int8), "
            "model_float32.tflite, report.json, report.html and training.png."
        ),
    )
    parser.add_argument(
        "--output", default="out", metavar="DIR", help="folder for the results (out)"
    )
    parser.add_argument(
        "--epochs",
        type=whole_number(1, 10_000),
        default=20,
        metavar="N",
        help="training epochs of each network (20); fine-tuning takes half as many",
    )
    parser.add_argument(
        "--seeds",
        type=whole_number(3, 100),
        default=3,
        metavar="N",
        help="networks of each sort, each with its own seed; at least 3 (3)",
    )
    parser.add_argument(
        "--seed",
        type=whole_number(0, 10**9),
        default=0,
        metavar="N",
        help="the first seed (0)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns its exit code."""
    from keras_strategies._internal.optional import require

    folder = check_folder(arguments.output)
    require("sklearn", "`keras-strategies quickstart`")
    require("matplotlib", "`keras-strategies quickstart`")

    from keras_strategies.cli.quickstart.job import run_job

    try:
        with written_aside(folder) as aside:
            run_job(
                aside,
                folder,
                epochs=arguments.epochs,
                seeds=[arguments.seed + i for i in range(arguments.seeds)],
            )
    except OSError as error:
        raise UsageError(f"cannot write the results in {folder}: {error}") from error
    return 0
