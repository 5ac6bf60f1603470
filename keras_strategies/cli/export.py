"""`keras-strategies export`: a `.keras` file to a checked `.tflite` file."""

import argparse
import contextlib
import json
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

from keras_strategies.cli import common, compare
from keras_strategies.cli.errors import UsageError

EXAMPLE = """data (--representative, --verify):
  .npy: one array, samples first.
  .npz: the arrays' keys are the model's input names. For a model with one input, a
  single array of any name, or else the array called x_test, or else x, is taken.
  a folder: its images, resized to the model's input, values 0 to 255, then through
  the metadata's normalization.

exit codes:
  0 written, 1 refused (what failed the check is kept as MODEL.tflite.rejected),
  2 bad use.

examples:
  keras-strategies export model.keras -o model.tflite --quantization int8 \\
      --representative train.npz --verify test.npz
  keras-strategies export model.keras -o model.tflite --quantization auto \\
      --representative images/ --metadata metadata.json --c-array
  keras-strategies export model.keras -o model.tflite --layer 'conv=int8' \\
      --layer 'dense=dynamic' --representative train.npz
"""


def add_parser(commands: common.Subparsers) -> None:
    """Adds the command."""
    parser = common.add_command(
        commands,
        "export",
        help="convert a Keras model to .tflite and check it",
        description=(
            "Converts a .keras file to .tflite, runs the result and compares it with "
            "the Keras model. The file is written only if both agree."
        ),
        epilog=EXAMPLE,
    )
    parser.add_argument("model", metavar="MODEL.keras", help="the Keras model")
    parser.add_argument(
        "-o", "--output", required=True, metavar="MODEL.tflite", help="file to write"
    )
    _add_quantization(parser)
    _add_checks(parser)
    _add_extras(parser)
    common.add_json(parser)
    parser.set_defaults(run=run)


# Options that are arguments of `export.to_tflite`, by group: name, settings, help.
_ARGUMENTS: dict[str, tuple[tuple[str, dict[str, Any], str], ...]] = {
    "quantization": (
        (
            "calibration",
            {"default": "minmax", "metavar": "METHOD"},
            "minmax (default), percentile or moving_average",
        ),
        (
            "percentile",
            {"type": float, "default": 99.99, "metavar": "P"},
            "upper end of the percentile calibration (99.99)",
        ),
        (
            "input-type",
            {"default": "float32", "metavar": "TYPE"},
            "float32 (default), int8 or uint8",
        ),
        (
            "output-type",
            {"default": "float32", "metavar": "TYPE"},
            "float32 (default), int8 or uint8",
        ),
        (
            "objective",
            {"default": "size", "metavar": "WHAT"},
            "what auto minimizes: size (default) or latency",
        ),
        (
            "quantizer",
            {"default": "tensorflow", "metavar": "NAME"},
            "tensorflow (default) or litert-quantizer",
        ),
        (
            "batch-size",
            {"type": common.whole_number(1, 1_000_000), "metavar": "N"},
            "fix the batch axis (free; 1 for recurrent layers)",
        ),
    ),
    "checks": (
        (
            "min-agreement",
            {"type": common.fraction, "metavar": "F"},
            "lowest agreement that passes beside the verdict, 0 to 1; 0 lets all pass",
        ),
        (
            "max-loss",
            {"type": float, "metavar": "F"},
            "largest loss that passes (0.05, 0.2 or 1 for float32, float16 or int8)",
        ),
        (
            "max-metric-drop",
            {"type": float, "metavar": "F"},
            "by how much --metric may get worse; needs --labels",
        ),
        (
            "metric",
            {"default": "accuracy", "metavar": "NAME"},
            "a Keras metric (accuracy)",
        ),
        (
            "margin",
            {"type": common.fraction, "metavar": "F"},
            "part of the limits that auto keeps in reserve while it searches (0.5)",
        ),
        ("allow-flex", {"action": "store_true"}, "accept operations LiteRT lacks"),
        (
            "time-limit",
            {"type": float, "default": 600.0, "metavar": "SECONDS"},
            "of each step (600)",
        ),
    ),
}


def _add_arguments(group, name):
    for option, settings, text in _ARGUMENTS[name]:
        group.add_argument(f"--{option}", help=text, **settings)


def _add_quantization(parser):
    group = parser.add_argument_group("quantization")
    group.add_argument(
        "--quantization",
        default=None,
        metavar="MODE",
        help="float32 (default), float16, dynamic, int8, int16x8, int4_weights or auto",
    )
    group.add_argument(
        "--layer",
        action="append",
        default=[],
        type=_rule,
        metavar="REGEX=MODE",
        help="mode of the layers whose path matches; repeatable, the first match "
        "counts, other layers stay in float32",
    )
    for option, text in (
        ("--include", "quantize only the layers whose path matches"),
        ("--exclude", "leave the layers whose path matches in float32"),
    ):
        group.add_argument(
            option,
            action="append",
            metavar="REGEX",
            help=f"{text}; repeatable",
        )
    group.add_argument(
        "--representative",
        metavar="DATA",
        help="inputs as in use, for int8 and int16x8: file or folder",
    )
    _add_arguments(group, "quantization")


def _add_checks(parser):
    group = parser.add_argument_group("checks")
    group.add_argument(
        "--verify",
        nargs="?",
        const=True,
        metavar="DATA",
        help="inputs to compare on; without DATA, or without the option, the "
        "representative ones, or random ones",
    )
    group.add_argument(
        "--labels",
        metavar="FILE",
        help="targets of --verify as .npy, or .npz with y_test, y or labels",
    )
    group.add_argument(
        "--output-kind",
        action="append",
        metavar="[OUTPUT=]KIND",
        help="meaning of the outputs: probabilities, logits, binary_probabilities, "
        "binary_logits, regression, embedding or integer (told by the model)",
    )
    _add_arguments(group, "checks")


def _add_extras(parser):
    group = parser.add_argument_group("extras")
    group.add_argument(
        "--metadata",
        metavar="FILE.json",
        help="name, author, license, labels, normalization, ... to write into the file",
    )
    group.add_argument(
        "--c-array",
        nargs="?",
        const=True,
        metavar="FILE.c",
        help="also write the file as a C array and its header",
    )
    group.add_argument(
        "--c-interpreter",
        action="store_true",
        help="beside the C array, which it implies, a C++ header with the interpreter "
        "for microcontrollers: resolver and arena",
    )
    group.add_argument(
        "--report", metavar="FILE", help="also save the figures as .html or .json"
    )
    common.add_unsafe(group)


def _rule(text):
    regex, equals, mode = text.rpartition("=")
    if not (regex and equals and mode):
        raise argparse.ArgumentTypeError(
            f"must be REGEX=MODE, such as conv=int8. Received: {text}"
        )
    return regex, mode


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns its exit code."""
    from keras_strategies import export

    quantization = _quantization(arguments)
    extras = _checked_extras(arguments)
    named = {name: "--" + name.replace("_", "-") for name in vars(arguments)}
    named |= {"path": "--output", "representative_data": "--representative"}
    del named["model"]
    with common.usage_errors(options=named), _progress(arguments) as steps:
        model, inputs = _model(arguments)
        verify = arguments.verify
        options = {
            "representative_data": _data(
                arguments.representative, inputs, "--representative"
            ),
            "verify": verify
            if verify in (None, True)
            else _data(verify, inputs, "--verify"),
            "output_kind": _output_kind(arguments.output_kind),
            "labels": _labels(arguments.labels),
            "quantization": quantization,
            "include": arguments.include,
            "exclude": arguments.exclude,
            "metadata": extras["metadata"],
            "keep_rejected": True,
        }
        names = [name for rows in _ARGUMENTS.values() for name, *_ in rows]
        names = [name.replace("-", "_") for name in names]
        options |= {name: getattr(arguments, name) for name in names}
        try:
            with steps:
                result = export.to_tflite(model, arguments.output, **options)
            if arguments.c_array or arguments.c_interpreter:
                export.write_c_array(
                    arguments.output,
                    extras["c_array"],
                    interpreter=arguments.c_interpreter,
                )
        except export.ExportError as error:
            return _refused(error, arguments.output)
        if arguments.report:
            result.save_report(arguments.report)
    if arguments.json:
        common.print_json(result.to_dict() | {"passed": result.passed})
    else:
        common.print_report(result)
    return 0


def _quantization(arguments):
    if not arguments.layer:
        return arguments.quantization or "float32"
    if arguments.quantization:
        raise UsageError("Give --quantization or --layer, not both.")
    rules = dict(arguments.layer)
    if len(rules) < len(arguments.layer):
        raise UsageError("A regular expression is given in two --layer options.")
    return rules


def _checked_extras(arguments):
    """Refuses what could only fail after the conversion."""
    metadata = None
    if arguments.metadata:
        try:
            metadata = json.loads(pathlib.Path(arguments.metadata).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(
                f"`--metadata` must be a JSON file. Received: {arguments.metadata} "
                f"({common.one_line(error)})"
            ) from error
    # Before the conversion, which may take minutes.
    report = arguments.report
    if report and pathlib.Path(report).suffix not in (".html", ".json"):
        raise UsageError(f"`--report` must end in .html or .json. Received: {report}")
    c_array = arguments.c_array
    for path in (report, c_array):
        if isinstance(path, str) and not os.access(
            pathlib.Path(path).absolute().parent, os.W_OK
        ):
            raise UsageError(f"Nothing can be written at {path}.")
    return {"metadata": metadata, "c_array": None if c_array is True else c_array}


def _model(arguments):
    """Returns the loaded model and its input names."""
    from keras_strategies.export._common import (
        model_signature,
        validate_model,
        validate_path,
    )

    validate_path(arguments.output)
    with common.refused_code(arguments.model):
        model = validate_model(arguments.model, not arguments.unsafe)
    specs = model_signature.input_specs(model)[1]
    model_signature.validate_inputs(specs, arguments.batch_size)
    return model, [spec.name for spec in specs]


def _data(path, inputs, option):
    if path is None or os.path.isdir(path):
        return path
    return compare.load_data(path, inputs, option)


def _output_kind(texts):
    """Returns the kinds of `[OUTPUT=]KIND` as `to_tflite` takes them."""
    if not texts:
        return None
    if len(texts) == 1 and "=" not in texts[0]:
        return texts[0]
    pairs = [text.partition("=")[::2] for text in texts]
    if not all(kind for _, kind in pairs):
        raise UsageError(
            "`--output-kind` must be OUTPUT=KIND where it is given more than once. "
            f"Received: {', '.join(texts)}"
        )
    return dict(pairs)


def _labels(path):
    return None if path is None else compare.load_labels(path)


@contextlib.contextmanager
def _progress(arguments: argparse.Namespace) -> Iterator[Any]:
    """Shows the current step on stderr; yields the context that reports it."""
    from keras_strategies.export.convert._steps import report_steps

    if arguments.json or not sys.stderr.isatty():
        yield contextlib.nullcontext()
        return
    from rich import progress

    bar = progress.Progress(
        progress.SpinnerColumn(),
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.TimeElapsedColumn(),
        console=common.console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task("loading the model", total=None)
        yield report_steps(lambda text: bar.update(task, description=text))


def _refused(error, output):
    common.print_error(error)
    rejected = pathlib.Path(f"{output}.rejected")
    if error.reason in ("disagreement", "non-finite") and rejected.is_file():
        print(f"The refused file is {rejected}.", file=sys.stderr)  # noqa: T201
    return 1
