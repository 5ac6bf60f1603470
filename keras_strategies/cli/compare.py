"""`keras-strategies compare`: agreement of a `.tflite` file with its Keras model."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from keras_strategies.cli import common
from keras_strategies.cli.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

EXAMPLE = """data:
  .npy: one array, samples first.
  .npz: the arrays' keys are the model's input names. For a model with one input, a
  single array of any name, or else the array called x_test, or else x, is taken.

exit codes:
  0 they agree, 1 an output is refused or they agree less than --min-agreement, 2 bad
  use.

examples:
  keras-strategies compare model.keras model.tflite --data x_test.npy
  keras-strategies compare model.keras model.tflite --data test.npz --min-agreement 0.98
"""


def add_parser(commands: common.Subparsers) -> None:
    """Adds the command."""
    parser = common.add_command(
        commands,
        "compare",
        help="check a .tflite file against its Keras model",
        description=(
            "Runs a Keras model and a .tflite file on the same data and judges each "
            "output by what it means: classes by the accuracy that the file is "
            "expected to lose, values by the error of each channel."
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
        type=common.fraction,
        default=None,
        metavar="F",
        help="lowest agreement that passes, 0 to 1 (any passes)",
    )
    parser.add_argument(
        "--tolerance",
        type=common.fraction,
        default=None,
        metavar="F",
        help="allowed difference of values as a fraction of their range "
        "(0.001 to 0.15 by the file's quantization)",
    )
    parser.add_argument(
        "--labels", metavar="FILE", help="targets as .npy or .npz (y_test, y or labels)"
    )
    parser.add_argument(
        "--quantization",
        metavar="MODE",
        help="judge the file as one of this mode (the one that its tensors show)",
    )
    common.add_unsafe(parser)
    common.add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns its exit code."""
    from keras_strategies import export

    artifact = common.open_artifact(arguments.path)  # damaged files are bad use
    [*inputs] = artifact.signatures[artifact.default_signature]["inputs"]
    data: Any = load_data(arguments.data, inputs, "--data")
    if arguments.labels:
        data = data, load_labels(arguments.labels)
    try:
        with common.usage_errors(), common.refused_code(arguments.model):
            result = export.compare(
                arguments.model,
                arguments.path,
                data,
                quantization=arguments.quantization,
                tolerance=arguments.tolerance,
                safe_mode=not arguments.unsafe,
            )
    except export.ExportError as error:
        return _failed(common.one_line(error))
    min_agreement = arguments.min_agreement
    is_below = min_agreement is not None and result.agreement < min_agreement
    passed = not is_below and (result.passed or min_agreement == 0)
    if arguments.json:
        verdict = {"min_agreement": min_agreement, "passed": passed}
        common.print_json(result.to_dict() | verdict)
    else:
        common.print_report(result)
    if is_below:
        return _failed(f"agreement {result.agreement:.4f} is below {min_agreement:g}")
    if not passed:
        refused = [name for name, v in result.verdicts.items() if not v.passed]
        return _failed(f"refused: {', '.join(refused)}")
    return 0


def _failed(message):
    common.print_error(message)
    return 1


# Names of the array with targets in a .npz file.
LABEL_NAMES = ("y_test", "y", "labels")


def load_labels(path: str) -> "np.ndarray":
    """Returns the array of a `.npy` file, or the targets in a `.npz` file."""
    arrays = load_data(path, LABEL_NAMES, "--labels")
    if not isinstance(arrays, dict):
        return arrays
    for name in LABEL_NAMES:
        if name in arrays:
            return arrays[name]
    raise UsageError(
        f"`--labels` must hold y_test, y or labels. Received: {path} with "
        f"{', '.join(arrays)}"
    )


def load_data(
    path: str, inputs: Sequence[str], option: str = "--data"
) -> "np.ndarray | dict[str, np.ndarray]":
    """Returns the array of a `.npy` file, or what a `.npz` holds for `inputs`.

    Args:
        path: The file.
        inputs: Names of the arrays.
        option: The option that named the file, for messages.
    """
    import zipfile

    import numpy as np

    try:
        with open(path, "rb") as file:
            start = file.read(6)
        if start and start[:2] != b"PK" and start != b"\x93NUMPY":
            # NumPy takes it for a pickle, and says how to load it unsafely.
            raise ValueError("it is neither")
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return content
        with content as file:
            named = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        reason = common.one_line(error)
        raise UsageError(
            f"`{option}` must be a .npy or .npz file of numbers. Received: {path} "
            f"({reason})"
        ) from error
    # Several inputs are matched by name later.
    if len(inputs) > 1:
        return named
    if len(named) == 1:
        return next(iter(named.values()))
    for name in (*inputs, "x_test", "x"):
        if name in named:
            return named[name]
    raise UsageError(
        f"`{option}` must hold one array, or one called {inputs[0]}, x_test or x. "
        f"Received: {path} with {', '.join(named) or 'nothing'}"
    )
