"""`keras-strategies benchmark`: speed of a `.tflite` file on this processor."""

import argparse

from keras_strategies.cli import common, compare

EXAMPLE = """exit codes:
  0 timed, 2 no such file, a damaged one, or one that cannot be run here.

examples:
  keras-strategies benchmark model.tflite
  keras-strategies benchmark model.tflite --runs 200 --threads 4 --json
"""


def add_parser(commands: common.Subparsers) -> None:
    """Adds the command."""
    parser = common.add_command(
        commands,
        "benchmark",
        help="speed of a .tflite file on this processor",
        description=(
            "Times a .tflite file on random inputs in a process of its own: median, "
            "90 % and smallest time of one inference, and peak memory."
        ),
        epilog=EXAMPLE,
    )
    parser.add_argument("path", metavar="MODEL.tflite", help="the file")
    parser.add_argument(
        "--runs",
        type=common.whole_number(1, 10**6),
        default=None,
        metavar="N",
        help="timed inferences (as many as take a second, at least 50)",
    )
    parser.add_argument(
        "--data",
        default=None,
        metavar="FILE",
        help="real inputs as .npy or .npz (random ones)",
    )
    parser.add_argument(
        "--threads",
        type=common.whole_number(1, 256),
        default=1,
        metavar="N",
        help="threads of the interpreter (1)",
    )
    parser.add_argument(
        "--batch-size",
        type=common.whole_number(1, 10**6),
        default=None,
        metavar="N",
        help="samples in one inference (the file's own, or 1 if that is free)",
    )
    parser.add_argument(
        "--no-xnnpack",
        action="store_true",
        help="without the XNNPACK kernels that devices use",
    )
    common.add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns its exit code."""
    from keras_strategies.export import ExportError

    model = common.open_artifact(arguments.path)
    data = None
    if arguments.data is not None:
        [*inputs] = model.signatures[model.default_signature]["inputs"]
        data = compare.load_data(arguments.data, inputs)
    with common.usage_errors(ExportError):
        result = model.benchmark(
            runs=arguments.runs,
            threads=arguments.threads,
            xnnpack=not arguments.no_xnnpack,
            batch_size=arguments.batch_size,
            inputs=data,
        )
    if arguments.json:
        common.print_json(result.to_dict())
    else:
        common.print_report(result)
    return 0
