"""What int8 loses after training, and what is brought back without training.

A small network of depthwise blocks is trained on one half of scikit-learn's digits.
Its channels are then scaled by factors from 1 / `--spread` to `--spread`, each undone
in the layer behind, as BatchNormalization leaves them in real networks: the float model
computes the same. Accuracy and cross-entropy on the other half, of the float model and
of int8, before and after each rescue: in the first table as it is rounded by devices
that have one range for a kernel (simulated), in the second of `.tflite` files from the
converter, by `to_tflite(rescue=)`, which have ranges for each output channel of a
convolution. Activations have one range in both. "Recovered" is the share of the added
cross-entropy that is gone.

    scripts/benchmark rescue [--seeds N] [--bits B] [--spread F] [--files]
"""

import argparse
import os
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers

from keras_strategies import export
from keras_strategies.export.rescue._flat_copy import flat_copy
from keras_strategies.export.rescue._simulation import Simulation

TARGET = 0.8


def _digits():
    from sklearn.datasets import load_digits

    data = load_digits()
    x, y = data.images[..., None].astype("float32") / 16, data.target
    order = np.random.default_rng(0).permutation(len(x))
    half = len(x) // 2
    return (x[order[:half]], y[order[:half]]), (x[order[half:]], y[order[half:]])


def _network():
    inputs = keras.Input((8, 8, 1))
    x = inputs
    for number, width in enumerate((16, 32, 32)):
        for layer in (
            layers.Conv2D(width, 1, use_bias=False, name=f"pointwise_{number}"),
            layers.DepthwiseConv2D(3, padding="same", use_bias=False),
        ):
            x = layers.BatchNormalization(momentum=0.9)(layer(x))
            x = layers.ReLU()(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(10, name="head")(x))


def _trained(train, seed):
    keras.utils.set_random_seed(seed)
    model = _network()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(5e-3), loss)
    model.fit(*train, epochs=25, batch_size=64, verbose=0)
    return model


def badly_scaled(model, spread, seed):
    """The same function with channels of very different scales."""
    rng = np.random.default_rng(seed)
    calls = [x for x in model.layers if isinstance(x, layers.BatchNormalization)]
    weighted = [x for x in model.layers if hasattr(x, "kernel")]
    for norm, behind in zip(calls, weighted[1:], strict=True):
        factor = spread ** rng.uniform(-1, 1, norm.gamma.shape[0])
        norm.gamma.assign(keras.ops.convert_to_numpy(norm.gamma) * factor)
        norm.beta.assign(keras.ops.convert_to_numpy(norm.beta) * factor)
        kernel = keras.ops.convert_to_numpy(behind.kernel)
        behind.kernel.assign(kernel / factor[:, None])
    return model


def _score(outputs, labels):
    logits = outputs - outputs.max(axis=1, keepdims=True)
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    picked = logs[np.arange(len(labels)), labels]
    return float(np.mean(outputs.argmax(1) == labels)), float(-picked.mean())


def _rounded(model, data, test, bits, per_channel):
    simulation = Simulation(flat_copy(model), data, per_channel, True)
    simulation.set_bits({layer.name: bits for layer in simulation.layers})
    return _score(simulation.outputs(test[0])[0], test[1])


def methods(data, bits):
    """Yields `(name, function of a model)`."""
    options = {"bits": bits, "per_channel": False}
    equalize, absorb = export.equalize_layers, export.absorb_high_bias
    return {
        "int8 as it is": lambda m: m,
        "bias correction": lambda m: export.correct_bias(m, data, **options),
        "equalization": equalize,
        "+ high biases absorbed": lambda m: absorb(equalize(m), data),
        "+ bias correction": lambda m: export.correct_bias(
            absorb(equalize(m), data), data, **options
        ),
        "+ AdaRound": lambda m: export.adaround(
            absorb(equalize(m), data), data, iterations=300, **options
        ),
    }


def _converted(model, data, test, rescue):
    """The score of the file that the converter writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.tflite")
        export.to_tflite(
            model,
            path,
            quantization="int8",
            representative_data=data,
            rescue=rescue,
            verify=data[:20],
            min_agreement=0.0,
            max_loss=1e9,
        )
        outputs = np.asarray(export.TFLiteModel(path).predict(test[0]), "float64")
    return _score(outputs, test[1])


FILES = {
    "int8 as it is": (),
    "`correct_bias`": ("correct_bias",),
    "`equalize_layers`": ("equalize_layers",),
    "`equalize_layers`, `absorb_high_bias`": ("equalize_layers", "absorb_high_bias"),
    "these and `correct_bias`": ("equalize_layers", "absorb_high_bias", "correct_bias"),
}


def run_files(seeds, spread):
    """Returns what `run` does, of the files."""
    train, test = _digits()
    data = train[0][:200]
    found, floats = {}, []
    for seed in range(seeds):
        model = badly_scaled(_trained(train, seed), spread, seed)
        floats.append(_score(model.predict(test[0], verbose=0), test[1]))
        for name, rescue in FILES.items():
            score = _converted(model, data, test, rescue)
            found.setdefault(name, []).append(score)
    return found, floats


def run(seeds, bits, spread):
    """Returns `{method: [(accuracy, loss), one a seed]}` and the float model's."""
    train, test = _digits()
    data = train[0][:200]
    found, floats = {}, []
    for seed in range(seeds):
        model = badly_scaled(_trained(train, seed), spread, seed)
        floats.append(_score(model.predict(test[0], verbose=0), test[1]))
        for name, rescue in methods(data, bits).items():
            score = _rounded(rescue(model), data, test, bits, False)
            found.setdefault(name, []).append(score)
        per_channel = _rounded(model, data, test, bits, True)
        found.setdefault("ranges for each channel instead", []).append(per_channel)
    return found, floats


def _table(found, floats):
    base = np.array(floats)
    plain = np.array(found["int8 as it is"])
    print(f"float32: accuracy {base[:, 0].mean():.3f}, loss {base[:, 1].mean():.3f}")
    print("| | Accuracy | Loss | Recovered |\n|---|---|---|---|")
    for name, scores in found.items():
        scores = np.array(scores)
        added = plain[:, 1].mean() - base[:, 1].mean()
        left = scores[:, 1].mean() - base[:, 1].mean()
        print(
            f"| {name} | {scores[:, 0].mean():.3f} | {scores[:, 1].mean():.3f} "
            f"| {1 - left / added:.0%} |",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--bits", type=int, default=8)
    parser.add_argument("--spread", type=float, default=30.0)
    parser.add_argument("--files", action="store_true", help="the second table alone")
    args = parser.parse_args()
    if not args.files:
        _table(*run(args.seeds, args.bits, args.spread))
    print("\nFiles of the converter:")
    _table(*run_files(args.seeds, args.spread))


if __name__ == "__main__":
    main()
