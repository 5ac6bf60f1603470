"""`keras-strategies explain`: a picture of why a model says what it says."""

import argparse
import pathlib
from typing import TYPE_CHECKING, Any

from keras_strategies.cli import common
from keras_strategies.cli.compare import load_data
from keras_strategies.cli.errors import UsageError

if TYPE_CHECKING:
    import keras

METHODS = (
    "grad_cam",
    "grad_cam_plus_plus",
    "layer_cam",
    "score_cam",
    "eigen_cam",
    "saliency",
    "grad_times_input",
    "integrated_gradients",
    "smooth_grad",
    "occlusion",
    "rise",
)
_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
# Samples of a file of arrays that are explained unless asked for more.
_COUNT = 8

EXAMPLE = """input:
  An image, which is resized to what the model takes, with values of 0 to 255 unless
  --scale says otherwise; or .npy and .npz as for `compare`, samples first.

output:
  .png, .jpg, .pdf or .svg: a picture, one row a sample.
  .npy: the attributions.

exit codes:
  0 written, 2 bad use.

examples:
  keras-strategies explain model.keras cat.png -o why.png
  keras-strategies explain model.keras cat.png --scale 255 --method integrated_gradients
  keras-strategies explain model.keras test.npz --method saliency --target 3 -o maps.npy
"""


def add_parser(commands: common.Subparsers) -> None:
    """Adds the command."""
    parser = common.add_command(
        commands,
        "explain",
        help="show what in an input speaks for a model's output",
        description=(
            "Runs a Keras model on an image or on arrays and draws which parts of "
            "them speak for the output. By default the highest output of each sample "
            "is explained, before its softmax, by Grad-CAM."
        ),
        epilog=EXAMPLE,
    )
    parser.add_argument("model", metavar="MODEL.keras", help="the Keras model")
    parser.add_argument("input", metavar="INPUT", help="an image, .npy or .npz")
    parser.add_argument(
        "-o",
        "--output",
        default="explanation.png",
        metavar="FILE",
        help="the picture, or .npy (%(default)s)",
    )
    _add_method(parser)
    parser.add_argument(
        "--scale",
        type=float,
        default=1.0,
        metavar="X",
        help="divide the values of an image by this, 255 for models of 0 to 1",
    )
    parser.add_argument(
        "--count",
        type=common.whole_number(1, 10_000),
        default=_COUNT,
        metavar="N",
        help="most samples to explain of a file of arrays (%(default)s)",
    )
    common.add_unsafe(parser)
    common.add_json(parser)
    parser.set_defaults(run=run, check=check)


def _add_method(parser):
    parser.add_argument(
        "--method",
        choices=METHODS,
        default="grad_cam",
        metavar="NAME",
        help=f"one of {', '.join(METHODS)} (%(default)s)",
    )
    parser.add_argument(
        "--target",
        type=common.whole_number(0, 10**9),
        default=None,
        metavar="N",
        help="index of the output to explain (the highest)",
    )
    parser.add_argument(
        "--layer",
        default=None,
        metavar="PATH",
        help="layer of a class activation map (the last one that serves)",
    )
    parser.add_argument(
        "--probabilities",
        action="store_true",
        help="explain what comes out of a last softmax or sigmoid, not what goes in",
    )


def check(arguments: argparse.Namespace) -> None:
    """Refuses what needs no library to be refused."""
    if _checked_output(arguments.output).suffix.lower() != ".npy":
        common.need_modules("A picture of `keras-strategies explain`", "matplotlib")


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns its exit code."""
    output = pathlib.Path(arguments.output)
    model = common.load_model(arguments.model, arguments.unsafe, compile=False)
    inputs = _inputs(model, arguments)
    with common.usage_errors():
        found, facts = _explained(model, inputs, arguments)
        _write(output, arguments, model, inputs, found, facts)
    if arguments.json:
        common.print_json({**facts, "output": str(output)})
    else:
        rows = [(key, _text(value)) for key, value in facts.items()]
        common.print_table(str(output), ("", ""), rows)
    return 0


def _text(value):
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _checked_output(path):
    target = pathlib.Path(path)
    if target.suffix.lower() not in (".png", ".jpg", ".pdf", ".svg", ".npy"):
        raise UsageError(
            f"`--output` must end in .png, .jpg, .pdf, .svg or .npy. Received: {path}"
        )
    if not target.absolute().parent.is_dir():
        raise UsageError(f"The folder of `--output` must exist. Received: {path}")
    return target


def _inputs(model, arguments):
    if pathlib.Path(arguments.input).suffix.lower() in _IMAGES:
        return _image(model, arguments.input, arguments.scale)
    names = [spec.name for spec in getattr(model, "inputs", None) or []]
    data = load_data(arguments.input, names or ["x"])
    if isinstance(data, dict):
        return {name: array[: arguments.count] for name, array in data.items()}
    return data[: arguments.count]


def _image(model, path, scale):
    import keras
    import numpy as np

    specs = getattr(model, "inputs", None) or []
    if len(specs) != 1 or len(specs[0].shape) != 4:
        raise UsageError(
            "An image needs a model with one image as its input. Received: "
            f"{[tuple(spec.shape) for spec in specs]}. Give a .npz."
        )
    if not scale:
        raise UsageError("`--scale` must not be 0.")
    shape = tuple(specs[0].shape[1:])
    first = keras.config.image_data_format() == "channels_first"
    channels, *size = shape if first else (shape[-1], *shape[:-1])
    if channels not in (1, 3):
        raise UsageError(f"The model takes images of {channels} channels, not 1 or 3.")
    try:
        image = keras.utils.load_img(
            path,
            color_mode="grayscale" if channels == 1 else "rgb",
            target_size=None if None in size else tuple(size),
            interpolation="bilinear",
        )
    except (OSError, ValueError) as error:
        reason = common.one_line(error)
        raise UsageError(f"{path} cannot be read as an image ({reason})") from error
    return np.asarray(keras.utils.img_to_array(image))[None] / scale


def _explained(
    model: "keras.Model", inputs: Any, arguments: argparse.Namespace
) -> tuple[Any, dict[str, Any]]:
    from keras_strategies import explain

    method = getattr(explain, arguments.method)
    options: dict[str, Any] = {}
    is_map = arguments.method.endswith(("_cam", "_plus_plus"))
    if is_map:
        options["layer"] = arguments.layer
    elif arguments.layer is not None:
        raise UsageError("`--layer` goes with class activation maps only.")
    facts: dict[str, Any] = {"method": arguments.method}
    if is_map:
        facts["layer"] = arguments.layer or explain.find_cam_layer(model, inputs)
    if arguments.method == "eigen_cam":
        if arguments.target is not None or arguments.probabilities:
            raise UsageError("eigen_cam explains no output: leave --target out.")
        return method(model, inputs, **options), facts
    options["logits"] = not arguments.probabilities
    target = _targets(model, inputs, arguments.target)
    facts["targets"] = [int(index) for index in target]
    return method(model, inputs, target, **options), facts


def _targets(model, inputs, target):
    from keras_strategies.explain._engine.explained import Explained

    explained = Explained(model, inputs, target, logits=False)
    return explained.indices


def _write(
    output: pathlib.Path,
    arguments: argparse.Namespace,
    model: "keras.Model",
    inputs: Any,
    found: Any,
    facts: dict[str, Any],
) -> None:
    import io

    import numpy as np

    from keras_strategies._internal.storage import files
    from keras_strategies.explain import plot_attributions

    if not isinstance(found, np.ndarray):
        raise UsageError(
            "A picture needs a model with one input, which this is not. Use "
            "keras_strategies.explain in Python."
        )
    data = io.BytesIO()
    if output.suffix.lower() == ".npy":
        np.save(data, found)
    else:
        labels = [f"output {index}" for index in facts.get("targets", [])] or None
        pictures: np.ndarray = np.asarray(
            inputs if not isinstance(inputs, dict) else next(iter(inputs.values()))
        )
        figure = plot_attributions(
            pictures,
            {arguments.method: found},
            labels=labels,
            max_samples=len(pictures),
        )
        figure.savefig(data, format=output.suffix[1:].lower(), dpi=130)
    files.replace(output, data.getvalue())
