"""`keras-strategies compare`: does a `.tflite` file give what the model gives?"""

import sys

from keras_strategies.cli import artifacts
from keras_strategies.cli.errors import UsageError

EXAMPLE = """data:
  .npy: one array, samples first.
  .npz: the arrays' keys are the model's input names. For a model with one input, a
  single array of any name, or else the array called x_test, or else x, is taken.

exit codes:
  0 they agree, 1 they agree less than --min-agreement or the file gives NaN, 2 bad use.

example:
  keras-strategies compare model.keras model.tflite --data x_test.npy
  keras-strategies compare model.keras model.tflite --data test.npz --min-agreement 0.98
"""


def add_parser(commands):
    parser = artifacts.add_command(
        commands,
        "compare",
        help="check a .tflite file against its Keras model",
        description=(
            "Runs a Keras model and a .tflite file on the same data and says on how "
            "much of it they agree: by the top-1 class for class probabilities, else "
            "within a tolerance that depends on the quantization."
        ),
        epilog=EXAMPLE,
    )
    parser.add_argument("model", metavar="MODEL.keras", help="the Keras model")
    parser.add_argument("path", metavar="MODEL.tflite", help="the file to check")
    parser.add_argument(
        "--data", required=True, metavar="FILE", help="inputs as .npy or .npz"
    )
    parser.add_argument(
        "--min-agreement",
        type=artifacts.fraction,
        default=None,
        metavar="F",
        help="lowest agreement that passes, 0 to 1 (any passes)",
    )
    parser.add_argument(
        "--tolerance",
        type=artifacts.fraction,
        default=None,
        metavar="F",
        help="allowed difference of values as a fraction of their range "
        "(0.001 to 0.15 by the file's quantization)",
    )
    parser.add_argument(
        "--unsafe",
        action="store_true",
        help="run code inside the .keras file (lambdas); only for files you trust",
    )
    artifacts.add_json(parser)
    parser.set_defaults(run=run)


def run(arguments):
    from keras_strategies import export

    artifact = artifacts.opened(arguments.path)  # damaged files are bad use
    [*inputs] = artifact.signatures[artifact.default_signature]["inputs"]
    data = load_data(arguments.data, inputs)
    with artifacts.usage_errors():
        try:
            result = export.compare(
                arguments.model,
                arguments.path,
                data,
                tolerance=arguments.tolerance,
                safe_mode=not arguments.unsafe,
            )
        except export.ExportError as error:
            return _failed(artifacts.one_line(error))
        except ValueError as error:
            if "safe_mode" not in str(error):
                raise
            raise UsageError(
                f"{arguments.model} holds code (a lambda), which is not run unless "
                "asked for. Pass --unsafe if you trust the file."
            ) from error
    least = arguments.min_agreement
    passed = least is None or result.agreement >= least
    if arguments.json:
        values = result.to_dict() | {"min_agreement": least, "passed": passed}
        artifacts.print_json(values)
    else:
        _show(result)
    if not passed:
        return _failed(f"agreement {result.agreement:.4f} is below {least:g}")
    return 0


def _failed(message):
    print(f"keras-strategies: {message}", file=sys.stderr)  # noqa: T201
    return 1


def load_data(path, inputs):
    """Returns the array of a `.npy` file, or what a `.npz` holds for `inputs`."""
    import zipfile

    import numpy as np

    try:
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return found
        with found:
            named = {name: found[name] for name in found.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        reason = artifacts.one_line(error)
        raise UsageError(
            f"`--data` must be a .npy or .npz file of numbers. Received: {path} "
            f"({reason})"
        ) from error
    if len(inputs) > 1:
        return named
    if len(named) == 1:
        return next(iter(named.values()))
    for name in (*inputs, "x_test", "x"):
        if name in named:
            return named[name]
    raise UsageError(
        f"`--data` must hold one array, or one called {inputs[0]}, x_test or x. "
        f"Received: {path} with {', '.join(named) or 'nothing'}"
    )


def _show(result):
    rows = [
        ("agreement", f"{result.agreement:.4f}"),
        ("samples", f"{result.samples:,}"),
        ("max difference", f"{result.max_difference:.3g}"),
        ("mean difference", f"{result.mean_difference:.3g}"),
    ]
    artifacts.print_table(result.path, ("", ""), rows)
    columns = ("output", "compared by", ">agreement", ">max diff.", ">mean diff.")
    rows = [
        (
            name,
            output["kind"],
            f"{output['agreement']:.4f}",
            f"{output['max_difference']:.3g}",
            f"{output['mean_difference']:.3g}",
        )
        for name, output in result.outputs.items()
    ]
    artifacts.print_table("Outputs", columns, rows)
