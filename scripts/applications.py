"""Exports models of keras.applications (no weights, small input), prints a table.

Every file is run on images and compared with its Keras model. Two things are set
first. The batch statistics come from images: with the initial ones the activations of
deep networks without weights die out, and a file that gives zeros would agree with
anything. And residual branches end in a scale of 0.2: with 1.0 deep networks without
training are chaotic, rounding grows from block to block, and the outputs of a right
file would correlate with the model's as little as those of a wrong one.
"""

import argparse
import os
import pathlib
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402

from keras_strategies import export, initializers  # noqa: E402

FAMILIES = {
    "Xception": ["Xception"],
    "VGG": ["VGG16", "VGG19"],
    "ResNet": ["ResNet50", "ResNet101", "ResNet152"],
    "ResNetV2": ["ResNet50V2", "ResNet101V2", "ResNet152V2"],
    "Inception": ["InceptionV3"],
    "InceptionResNet": ["InceptionResNetV2"],
    "MobileNet": ["MobileNet"],
    "MobileNetV2": ["MobileNetV2"],
    "MobileNetV3": ["MobileNetV3Small", "MobileNetV3Large"],
    "DenseNet": ["DenseNet121", "DenseNet169", "DenseNet201"],
    "NASNet": ["NASNetMobile", "NASNetLarge"],
    "EfficientNet": [f"EfficientNetB{index}" for index in range(8)],
    "EfficientNetV2": [
        *(f"EfficientNetV2B{index}" for index in range(4)),
        *(f"EfficientNetV2{size}" for size in "SML"),
    ],
    "ConvNeXt": [f"ConvNeXt{s}" for s in ("Tiny", "Small", "Base", "Large", "XLarge")],
}
SIZES = {"Xception": 71, "InceptionV3": 75, "InceptionResNetV2": 75}
# Least correlation of a file's outputs with the model's, and scale of the branches.
LEAST, BRANCH = {"float16": 0.95, "int8": 0.3}, 0.2


def images(size, count, seed=0):
    """Returns smooth random images, values 0 to 255."""
    coarse = np.random.default_rng(seed).random((count, 6, 6, 3)) * 255
    return keras.ops.convert_to_numpy(
        keras.ops.image.resize(coarse.astype("float32"), (size, size))
    )


def build(name):
    """Returns a model with random weights that behaves much like a trained one."""
    keras.utils.set_random_seed(0)
    size = SIZES.get(name, 64)
    make = getattr(keras.applications, name)
    model = make(weights=None, input_shape=(size, size, 3), classes=10)
    _calm(model)
    layers = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    if layers:
        kept = [layer.momentum for layer in layers]
        for layer in layers:
            layer.momentum = 0.0
        model(images(size, 16, seed=1), training=True)
        for layer, momentum in zip(layers, kept, strict=True):
            layer.momentum = momentum
    return model


def _calm(model):
    """Makes the residual branches that end in a scale small."""
    try:
        paths = set(initializers.zero_gamma(model))
    except ValueError:  # it has none
        return
    for layer in model.layers:
        if f"{layer.name}/gamma" in paths:
            layer.gamma.assign(np.full(layer.gamma.shape, BRANCH))


def check(name, folder, modes=("float16", "int8"), count=32):
    """Exports one model in each mode; returns the rows of the table, or raises."""
    model = build(name)
    data = images(model.input_shape[1], count)
    expected = model.predict(data, verbose=0)
    path = pathlib.Path(folder) / "model.tflite"
    rows = []
    for mode in modes:
        started = time.monotonic()
        result = export.to_tflite(
            model,
            path,
            quantization=mode,
            representative_data=data,
            min_agreement=0.0,  # says little without training, see LEAST
        )
        seconds = time.monotonic() - started
        found = export.TFLiteModel(path).predict(data, verbose=0)
        correlation = float(np.corrcoef(found.ravel(), expected.ravel())[0, 1])
        if not correlation >= LEAST[mode]:
            raise ValueError(
                f"{mode}: the outputs correlate by {correlation:.2f} with the model's, "
                f"less than {LEAST[mode]}"
            )
        rows.append(
            {
                "model": name,
                "mode": mode,
                "size": result.bytes / (4 * model.count_params()),
                "agreement": result.agreement,
                "correlation": correlation,
                "latency": result.latency_ms,
                "seconds": seconds,
            }
        )
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="all if none is given")
    parser.add_argument("--one-per-family", action="store_true")
    arguments = parser.parse_args()
    known = [name for names in FAMILIES.values() for name in names]
    names = arguments.names or known
    if arguments.one_per_family:
        names = [names[0] for names in FAMILIES.values()]
    unknown = sorted(set(names) - set(known))
    if unknown:
        parser.error(f"unknown models {unknown}; known are {known}")
    present = {n for n in dir(keras.applications) if n[0].isupper()}
    missing = sorted(present - set(known))
    if missing:
        parser.error(f"keras.applications has models this list lacks: {missing}")
    line = "{:20} {:8} {:>6} {:>9} {:>11} {:>8} {:>6}"
    print(line.format("model", "mode", "size", "agreement", "correlation", "ms", "s"))
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            try:
                rows = check(name, folder)
            except Exception as error:  # the table goes on, the exit code tells
                failed.append(name)
                print(f"{name:20} FAILED {type(error).__name__}: {error}", flush=True)
                continue
            for row in rows:
                print(
                    line.format(
                        row["model"],
                        row["mode"],
                        f"{row['size']:.3f}",
                        f"{row['agreement']:.3f}",
                        f"{row['correlation']:.3f}",
                        f"{row['latency']:.2f}",
                        f"{row['seconds']:.1f}",
                    ),
                    flush=True,
                )
            keras.backend.clear_session()
    print(f"{len(names) - len(failed)} of {len(names)} models exported and run.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
