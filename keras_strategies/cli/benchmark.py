"""`keras-strategies benchmark`: how fast a `.tflite` file is here."""

from keras_strategies.cli import artifacts
from keras_strategies.cli.errors import UsageError

EXAMPLE = """example:
  keras-strategies benchmark model.tflite
  keras-strategies benchmark model.tflite --runs 200 --threads 4 --json
"""


def add_parser(commands):
    parser = artifacts.add_command(
        commands,
        "benchmark",
        help="how fast a .tflite file is on this processor",
        description=(
            "Times a .tflite file on made-up inputs in a process of its own: median, "
            "90 % and smallest time of one inference, and peak memory. Exit code 2: "
            "there is no such file, it is damaged or cannot be run here."
        ),
        epilog=EXAMPLE,
    )
    parser.add_argument("path", metavar="MODEL.tflite", help="the file")
    parser.add_argument(
        "--runs",
        type=artifacts.whole(1, 10**6),
        default=50,
        metavar="N",
        help="timed inferences (50)",
    )
    parser.add_argument(
        "--threads",
        type=artifacts.whole(1, 256),
        default=1,
        metavar="N",
        help="threads of the interpreter (1)",
    )
    parser.add_argument(
        "--batch-size",
        type=artifacts.whole(1, 10**6),
        default=None,
        metavar="N",
        help="samples in one inference (the file's own, or 1 if that is free)",
    )
    parser.add_argument(
        "--no-xnnpack",
        action="store_true",
        help="without the XNNPACK kernels that devices use",
    )
    artifacts.add_json(parser)
    parser.set_defaults(run=run)


def run(arguments):
    from keras_strategies.export import ExportError

    model = artifacts.opened(arguments.path)
    with artifacts.usage_errors():
        try:
            result = model.benchmark(
                runs=arguments.runs,
                threads=arguments.threads,
                xnnpack=not arguments.no_xnnpack,
                batch_size=arguments.batch_size,
            )
        except ExportError as error:
            raise UsageError(artifacts.one_line(error)) from error
    if arguments.json:
        artifacts.print_json(result.to_dict())
    else:
        lines = [line.split("  ", 1) for line in result.table().splitlines()]
        rows = [(name, value.strip()) for name, value in lines[1:]]
        artifacts.print_table(result.path, ("", ""), rows)
    return 0
