"""`keras-strategies lr-find`: a good learning rate for a model and its data."""

import argparse
import contextlib
import pathlib
import sys
from typing import Any

from keras_strategies.cli import common
from keras_strategies.cli.errors import UsageError

_PICTURES = (".png", ".jpg", ".pdf", ".svg")
EXAMPLE = """model:
  pkg.module:NAME   a compiled Keras model, or a function without arguments that
                    returns one, found from this folder
  model.keras       a compiled Keras model

data:
  .npz with x and y (or x_train and y_train).

exit codes:
  0 done, 1 the losses suggest no rate, 2 bad use, 130 interrupted.

examples:
  keras-strategies lr-find --model pkg.module:build --data x.npz
  keras-strategies lr-find --model model.keras --data x.npz -o range.png --json
"""


def add_parser(commands: common.Subparsers) -> None:
    """Adds the command."""
    parser = common.add_command(
        commands,
        "lr-find",
        help="a good learning rate for a model and its data",
        description=(
            "Runs the learning-rate range test: a few training steps with a rising "
            "rate. The rate to take is in the middle of the longest descent of the "
            "loss (valley). The model's file is not changed."
        ),
        epilog=EXAMPLE,
    )
    parser.add_argument("--model", required=True, metavar="MODEL", help="see below")
    parser.add_argument("--data", required=True, metavar="FILE.npz", help="see below")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="also draw the curve: .png, .pdf or .svg"
    )
    for name, default, text in (
        ("min-learning-rate", 1e-7, "first rate (1e-7)"),
        ("max-learning-rate", 10.0, "last rate (10)"),
    ):
        parser.add_argument(
            f"--{name}", type=float, default=default, metavar="X", help=text
        )
    parser.add_argument(
        "--steps",
        type=common.whole_number(10, 10**6),
        default=100,
        metavar="N",
        help="training steps, one for each rate (100)",
    )
    parser.add_argument(
        "--batch-size",
        type=common.whole_number(1, 10**6),
        default=32,
        metavar="N",
        help="examples in a step, as in the training to come (32)",
    )
    parser.add_argument(
        "--seed",
        type=common.whole_number(0, 2**31 - 1),
        default=0,
        metavar="N",
        help="of the order of the examples and of new weights (0)",
    )
    common.add_unsafe(parser)
    common.add_json(parser)
    parser.set_defaults(run=run, check=check)


def check(arguments: argparse.Namespace) -> None:
    """Refuses what needs no library to be refused."""
    if arguments.output is None:
        return
    path = pathlib.Path(arguments.output)
    if path.suffix.lower() not in _PICTURES:
        raise UsageError(
            f"`--output` must end in {', '.join(_PICTURES)}. Received: {path}"
        )
    if not path.absolute().parent.is_dir():
        raise UsageError(f"The folder of `--output` must exist. Received: {path}")
    common.need_modules("A picture of `keras-strategies lr-find`", "matplotlib")


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns its exit code."""
    import keras

    from keras_strategies.callbacks import LearningRateFinder
    from keras_strategies.cli import _tune_inputs

    path = arguments.data
    x, y = _tune_inputs.training_pair(_tune_inputs.read_arrays(path), path)
    # With --json nothing else goes to stdout, whatever the model prints.
    with contextlib.redirect_stdout(sys.stderr if arguments.json else sys.stdout):
        keras.utils.set_random_seed(arguments.seed)
        model = _model(arguments)
        with common.usage_errors():
            finder = LearningRateFinder(
                arguments.min_learning_rate,
                arguments.max_learning_rate,
                arguments.steps,
            )
            finder.find(model, x, y, batch_size=arguments.batch_size)
    try:
        rates = {name: finder.suggest(name) for name in ("valley", "steepest")}
    except ValueError as error:
        common.print_error(error)
        return 1
    if arguments.output is not None:
        _draw(finder, arguments.output)
    _print(finder, rates, arguments)
    return 0


def _model(arguments):
    import keras

    text = arguments.model
    if text.endswith(".keras"):
        model: Any = common.load_model(text, arguments.unsafe)
    else:
        forms = "pkg.module:NAME or a .keras file"
        model = common.import_object("--model", text, forms)
        model = (
            model if isinstance(model, keras.Model) or not callable(model) else model()
        )
    if not isinstance(model, keras.Model) or not model.compiled:
        raise UsageError(
            "`--model` must be a compiled Keras model, or a function that returns one. "
            f"Received: {text}, which is {model!r}"
        )
    return model


def _draw(finder, path):
    import io

    from matplotlib.figure import Figure

    from keras_strategies._internal.storage import files

    figure = Figure(layout="constrained")
    finder.plot(figure.subplots(), methods=("valley", "steepest"))
    data = io.BytesIO()
    target = pathlib.Path(path)
    figure.savefig(data, format=target.suffix[1:].lower(), dpi=130)
    files.replace(target, data.getvalue())


def _print(finder, rates, arguments):
    if arguments.json:
        common.print_json(
            {
                "suggestions": rates,
                "rates": finder.rates,
                "losses": finder.losses,
                "picture": arguments.output,
            }
        )
        return
    rows = [(name, f"{rate:.3g}") for name, rate in rates.items()]
    common.print_table("Learning rate", ("suggestion", ">rate"), rows)
    if arguments.output is not None:
        common.print_text(f"The curve is in {arguments.output}.")
