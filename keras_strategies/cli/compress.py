"""`keras-strategies compress`: a model made small within a budget of accuracy."""

import argparse
import contextlib
import json
import pathlib
import sys
from typing import Any

from keras_strategies.cli import common, output_folder
from keras_strategies.cli.errors import UsageError

EXAMPLE = """data:
  .npz with x and y (or x_train and y_train), x_val and y_val, perhaps x_test and
  y_test. Without x_val and y_val a part of x and y is split off.

output:
  a folder with model.keras, model.tflite and result.json (the table as --json).

exit codes:
  0 within the budget, 1 written, but over it or undecided on the held-out data,
  2 bad use, 130 interrupted.

examples:
  keras-strategies compress model.keras --data x.npz -o small/
  keras-strategies compress model.keras --data x.npz -o small/ --budget 1 --distill
  keras-strategies compress model.keras --data x.npz -o fast/ --target latency --json
"""
# Options that are arguments of `compression.compress`: name, settings, help.
_ARGUMENTS: tuple[tuple[str, dict[str, Any], str], ...] = (
    (
        "budget",
        {"type": float, "default": 0.5, "metavar": "POINTS"},
        "drop that is allowed: percentage points of a metric to maximize, per cent of "
        "one to minimize (0.5)",
    ),
    (
        "confidence",
        {"type": common.fraction, "default": 0.95, "metavar": "F"},
        "confidence of the bound that decides (0.95)",
    ),
    (
        "target",
        {"choices": ("size", "latency"), "default": "size", "metavar": "WHAT"},
        "what is minimized: size (default) or latency",
    ),
    ("metric", {"metavar": "NAME"}, "a Keras metric (the first one of the model)"),
    (
        "epochs",
        {"type": common.whole_number(1, 10**6), "default": 3, "metavar": "N"},
        "of each fine-tuning (3)",
    ),
    (
        "batch-size",
        {"type": common.whole_number(1, 10**6), "default": 32, "metavar": "N"},
        "examples in a step (32)",
    ),
    (
        "learning-rate",
        {"type": float, "metavar": "X"},
        "of each fine-tuning (that of the model)",
    ),
    ("distill", {"action": "store_true"}, "the given model teaches the small ones"),
    (
        "max-candidates",
        {"type": common.whole_number(1, 1000), "default": 16, "metavar": "N"},
        "most models to try (16)",
    ),
    (
        "time-limit",
        {"type": float, "metavar": "SECONDS"},
        "no other candidate begins after it",
    ),
)


def add_parser(commands: common.Subparsers) -> None:
    """Adds the command."""
    parser = common.add_command(
        commands,
        "compress",
        help="make a model small within a budget of accuracy",
        description=(
            "Prunes, clusters, quantizes and fine-tunes a trained .keras model, scores "
            "each candidate as the .tflite file that it becomes, and takes the "
            "smallest or fastest one within the budget. The drop is measured once "
            "more on examples that the search has not used."
        ),
        epilog=EXAMPLE,
    )
    parser.add_argument("model", metavar="MODEL.keras", help="the compiled Keras model")
    parser.add_argument("--data", required=True, metavar="FILE.npz", help="see below")
    parser.add_argument(
        "-o", "--output", required=True, metavar="FOLDER", help="folder to write"
    )
    parser.add_argument(
        "--validation-split",
        type=common.fraction,
        metavar="F",
        help="part of x and y to score on if the data have no x_val and y_val (0.2)",
    )
    for option, settings, text in _ARGUMENTS:
        parser.add_argument(f"--{option}", help=text, **settings)
    parser.add_argument(
        "--seed",
        type=common.whole_number(0, 2**31 - 1),
        default=0,
        metavar="N",
        help="of the splits and the fine-tunings (0)",
    )
    common.add_unsafe(parser)
    common.add_json(parser)
    parser.set_defaults(run=run, check=check, folds=None)


def check(arguments: argparse.Namespace) -> None:
    """Refuses what needs no model to be refused."""
    if not pathlib.Path(arguments.model).is_file():
        raise UsageError(f"`MODEL.keras` must be a file. Received: {arguments.model}")
    output_folder.check_folder(arguments.output)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns its exit code."""
    from keras_strategies import compression
    from keras_strategies.cli._tune_inputs import Data

    data = Data(arguments)
    model = common.load_model(arguments.model, arguments.unsafe)
    if not model.compiled:
        raise UsageError(
            "`MODEL.keras` must be compiled: a loss tells what to preserve. Received: "
            f"{arguments.model}"
        )
    names = [name.replace("-", "_") for name, *_ in _ARGUMENTS]
    options = {name: getattr(arguments, name) for name in names}
    # The lines of candidates go to where nobody parses them.
    with common.usage_errors(), contextlib.redirect_stdout(sys.stderr):
        result = compression.compress(
            model,
            data.train,
            validation_data=data.validation,
            test_data=data.test,
            seed=arguments.seed,
            verbose=0 if arguments.json else 1,
            **options,
        )
    told = result.to_dict()
    with common.usage_errors(), output_folder.written_aside(arguments.output) as aside:
        result.save(aside)
        text = json.dumps(told, indent=2) + "\n"
        (aside / "result.json").write_text(text, encoding="utf-8")
    if arguments.json:
        common.print_json(told)
    else:
        common.print_report(result)
    if not result.met:
        common.print_error(result.reason)
        return 1
    return 0
