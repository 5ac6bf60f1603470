"""Networks of keras.applications through quantization-aware training to int8.

Each is made with random weights, made quantization-aware, trained for two steps, saved,
loaded in a new process, exported to int8 without representative data, and run. The
table has how far each came, and the agreement of the file with the loaded model.

    scripts/benchmark qat_applications [--side N] [NAME ...]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from keras_strategies import compression, export

NAMES = (
    *("EfficientNetB0", "MobileNetV3Small", "ResNet50V2"),
    *("DenseNet121", "ConvNeXtTiny"),
)


def aware_file(name, side, path):
    """Makes the network, trains it a step and saves it; returns its layers."""
    keras.utils.set_random_seed(0)
    build = getattr(keras.applications, name)
    model = build(weights=None, input_shape=(side, side, 3), classes=10)
    aware = compression.quantize_aware(model)
    aware.compile(keras.optimizers.Adam(1e-4), "sparse_categorical_crossentropy")
    rng = np.random.default_rng(0)
    x = 255 * rng.random((8, side, side, 3)).astype("float32")
    aware.fit(x, np.arange(8), batch_size=8, epochs=2, verbose=0)
    aware.save(path)
    return len(model.layers)


def run_file(path, side):
    """Loads, exports and runs; prints the agreement and the bytes."""
    model = keras.models.load_model(path)
    x = 255 * np.random.default_rng(1).random((32, side, side, 3)).astype("float32")
    with tempfile.TemporaryDirectory() as folder:
        result = export.to_tflite(
            model,
            os.path.join(folder, "model.tflite"),
            quantization="int8",
            verify=x,
            min_agreement=0.0,
            max_loss=1e9,
        )
    floats = result.tensor_types.get("float32", {}).get("tensors", 0)
    print(f"RESULT {result.bytes:,} | {floats} | {result.agreement:.2f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--load")
    args = parser.parse_args()
    if args.load:
        run_file(args.load, args.side)
        return
    print("| Network | Layers | Bytes | Float tensors | Agreement | Seconds |")
    print("|---|---|---|---|---|---|")
    for name in args.names:
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "aware.keras")
            layers = aware_file(name, args.side, path)
            command = [sys.executable, __file__, "--side", str(args.side)]
            done = subprocess.run(
                [*command, "--load", path], capture_output=True, text=True, check=False
            )
        found = [x for x in done.stdout.splitlines() if x.startswith("RESULT ")]
        result = found[0][7:] if found else f"failed: {done.stderr[-300:]} | | "
        seconds = time.monotonic() - started
        print(f"| {name} | {layers} | {result} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
