"""Export to int8 `.tflite`: size and latency, and the time against the converter.

    scripts/benchmark export [--rounds N] [--samples N]

(i) Bytes and latency of the int8 file by those of the float32 one: the median of
repeated runs in one thread with XNNPACK, in turns, each in a fresh process.
(ii) `to_tflite` of MobileNetV2 (96 pixels, alpha 1) to float32, float16 and int8 with
its worker warm and 200 samples to check the file on, against the bare route to the
same file, which checks nothing: `model.export` to a SavedModel, then `TFLiteConverter`
with the same representative samples. Seconds of the processor, of all processes; in
turns, medians, and the median of the turns' ratios. Linux.
"""

import argparse
import os
import pathlib
import statistics
import tempfile
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from keras_strategies import export

L = keras.layers
SIZE_TARGET, LATENCY_TARGET, EXPORT_TARGET = 0.30, 0.6, 1.25
CHECKED = 200


def _small():
    layers = [keras.Input((32, 32, 3), name="image")]
    for filters in (32, 64, 128):
        layers += [L.Conv2D(filters, 3, padding="same"), L.BatchNormalization()]
        layers += [L.ReLU(), L.MaxPooling2D()]
    layers += [L.GlobalAveragePooling2D(), L.Dense(10, activation="softmax")]
    return keras.Sequential(layers)


def _mobilenet():
    return keras.applications.MobileNetV2(weights=None, input_shape=(96, 96, 3))


def _build(build, samples):
    """A model whose normalizations fit the samples, so that nothing vanishes."""
    keras.utils.set_random_seed(0)
    model = build()
    shape = (samples, *model.input_shape[1:])
    images = np.random.default_rng(0).normal(size=shape).astype("float32")
    normalizations = [x for x in model.layers if isinstance(x, L.BatchNormalization)]
    kept = [layer.momentum for layer in normalizations]
    for layer in normalizations:
        layer.momentum = 0.0
    model(images[:64], training=True)
    for layer, momentum in zip(normalizations, kept, strict=True):
        layer.momentum = momentum
    return model, images


def _to_tflite(model, images, path, quantization="int8", verify=None):
    return export.to_tflite(
        model,
        path,
        quantization=quantization,
        representative_data=images,
        verify=verify,
        min_agreement=0.0,  # an untrained model is full of near ties
    )


def _bare(model, images, folder, mode):
    """What one writes without this package."""
    import tensorflow as tf

    model.export(folder, verbose=False)
    converter = tf.lite.TFLiteConverter.from_saved_model(folder)
    if mode != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if mode == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if mode == "int8":
        converter.representative_dataset = lambda: ([image[None]] for image in images)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pathlib.Path(folder, "bare.tflite").write_bytes(converter.convert())


def _processor_seconds(process="self"):
    """Seconds of the processor that a process and all below it have taken."""
    folder = pathlib.Path("/proc", str(process))
    # Behind the name, which may hold anything: utime, stime and those of dead children.
    figures = (folder / "stat").read_text().rpartition(")")[2].split()
    seconds = sum(map(int, figures[11:15])) / os.sysconf("SC_CLK_TCK")
    for path in folder.glob("task/*/children"):
        seconds += sum(map(_processor_seconds, path.read_text().split()))
    return seconds


def sizes(rounds=5, samples=100):
    """Yields one row a model: bytes and latency of int8 by float32."""
    for name, build in {"CNN 32-64-128": _small, "MobileNetV2 96": _mobilenet}.items():
        model, images = _build(build, samples)
        with tempfile.TemporaryDirectory() as folder:
            files = {
                mode: pathlib.Path(folder, f"{mode}.tflite")
                for mode in ("float32", "int8")
            }
            found = {m: _to_tflite(model, images, p, m) for m, p in files.items()}
            times = {mode: [] for mode in files}
            for _ in range(rounds):
                for mode, path in files.items():
                    measured = export.TFLiteModel(path).benchmark(runs=50)
                    times[mode].append(measured.median_ms)
        full, small = (statistics.median(times[mode]) for mode in files)
        yield {
            "model": name,
            "float32_bytes": found["float32"].bytes,
            "int8_bytes": found["int8"].bytes,
            "bytes_ratio": found["int8"].bytes / found["float32"].bytes,
            "float32_ms": full,
            "int8_ms": small,
            "latency_ratio": small / full,
            "agreement": found["int8"].agreement,
        }


def times(rounds=5, samples=100):
    """Yields one row a mode: processor seconds of an export, ours and bare."""
    model, images = _build(_mobilenet, samples + CHECKED)
    calibration, verify = images[:samples], images[samples:]
    for mode in ("float32", "float16", "int8"):
        data = calibration if mode == "int8" else None
        seconds = {"ours": [], "bare": []}
        for turn in range(rounds + 1):
            for which in ("ours", "bare") if turn % 2 else ("bare", "ours"):
                with tempfile.TemporaryDirectory() as folder:
                    start = _processor_seconds()
                    if which == "ours":
                        _to_tflite(model, data, f"{folder}/a.tflite", mode, verify)
                    else:
                        _bare(model, data, folder, mode)
                    if turn:  # the first turn starts the worker
                        seconds[which].append(_processor_seconds() - start)
        pairs = zip(*seconds.values(), strict=True)
        yield {
            "mode": mode,
            "ours_s": statistics.median(seconds["ours"]),
            "bare_s": statistics.median(seconds["bare"]),
            "ratio": statistics.median(ours / bare for ours, bare in pairs),
        }


def run(rounds=5, samples=100):
    """Measures everything; returns the rows of sizes and those of times."""
    return list(sizes(rounds, samples)), list(times(rounds, samples))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--samples", type=int, default=100)
    arguments = parser.parse_args()
    for row in sizes(arguments.rounds, arguments.samples):
        print(
            f"{row['model']:<15} bytes {row['float32_bytes']:>9,} -> "
            f"{row['int8_bytes']:>9,} = {row['bytes_ratio']:.3f} (target <= "
            f"{SIZE_TARGET})  latency {row['float32_ms']:.3f} -> {row['int8_ms']:.3f} "
            f"ms = {row['latency_ratio']:.2f} (target <= {LATENCY_TARGET})",
            flush=True,
        )
    for row in times(arguments.rounds, arguments.samples):
        print(
            f"to_tflite {row['mode']}, MobileNetV2 96: {row['ours_s']:.2f} s, bare "
            f"converter {row['bare_s']:.2f} s, ratio {row['ratio']:.2f} (target <= "
            f"{EXPORT_TARGET})",
            flush=True,
        )


if __name__ == "__main__":
    main()
