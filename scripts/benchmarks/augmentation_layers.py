"""Fused layers against the Keras layers that do the same.

`RandomAffine` against a stack of five: rotation 20 degrees, shifts, shear and zoom
0.2, horizontal flip, nearest fill. `RandomColorAffine` against `RandomColorJitter`:
brightness, contrast, saturation and hue 0.2. Float32 images. Both of a pair run in
turns in one process, inside a `tf.function` as in a model, and in `tf.data`; figures
are medians of images a second, and their ratio.

    scripts/benchmark augmentation_layers [--sizes 32 96 224] [--batch 32] [--rounds 7]
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from keras_strategies.augmentation import RandomAffine, RandomColorAffine

WORKERS = 2
SECONDS = 0.5  # of each measurement, about
FILL = {"fill_mode": "nearest"}


def _stack():
    return keras.Sequential(
        [
            keras.layers.RandomFlip("horizontal"),
            keras.layers.RandomRotation(20 / 360, **FILL),
            keras.layers.RandomTranslation(0.2, 0.2, **FILL),
            keras.layers.RandomShear(0.2, **FILL),
            keras.layers.RandomZoom(0.2, **FILL),
        ]
    )


def _affine():
    return RandomAffine(
        rotation_factor=20 / 360,
        translation_height_factor=0.2,
        translation_width_factor=0.2,
        shear_x_factor=0.2,
        zoom_height_factor=0.2,
        flip_mode="horizontal",
        **FILL,
    )


def _jitter():
    return keras.layers.RandomColorJitter(
        value_range=(0, 1),
        brightness_factor=0.2,
        contrast_factor=0.2,
        saturation_factor=(0.4, 0.6),
        hue_factor=0.2,
    )


def _color():
    return RandomColorAffine(0.2, 0.2, 0.2, 0.2, value_range=(0, 1))


# name -> (peer, ours, aim)
PAIRS = {
    "RandomAffine": (_stack, _affine, 12),
    "RandomColorAffine": (_jitter, _color, None),
}


def _in_model(layer, images):
    """A function that augments `batches` batches inside one compiled graph.

    The batches are counted in the graph, as in a training step that runs several
    batches, so that the cost of calling the graph is not part of the figures.
    """
    layer(images, training=True)

    @tf.function
    def steps(x, batches):
        y = x
        for _ in tf.range(batches):
            y = layer(x, training=True)
        return y

    batch = tf.constant(images)
    return lambda batches: steps(batch, tf.constant(batches)).numpy()


def _in_tf_data(layer, images):
    """A function that draws `batches` augmented batches from an endless pipeline."""
    source = tf.data.Dataset.from_tensors(images).repeat()
    mapped = source.map(lambda x: layer(x, training=True), WORKERS)
    iterator = iter(mapped)

    def draw(batches):
        for _ in range(batches):
            next(iterator).numpy()

    return draw


def _settle():
    """Waits until no pipeline prepares anything more in the background."""
    while True:
        before = time.process_time()
        time.sleep(0.1)
        if time.process_time() - before < 0.01:
            return


def _seconds(work, batches):
    _settle()
    # First what the pipeline prepared when it was measured last.
    work(WORKERS + 1)
    start = time.perf_counter()
    work(batches)
    return (time.perf_counter() - start) / batches


def _measure(pair, size, batch, rounds):
    """Yields one row for each place."""
    shape = (batch, size, size, 3)
    images = np.random.default_rng(0).uniform(size=shape).astype("float32")
    for place, make in (("model", _in_model), ("tf.data", _in_tf_data)):
        works = [make(build(), images) for build in pair]
        for work in works:
            _seconds(work, 1)  # traces and compiles
        counts = [max(4, round(SECONDS / _seconds(work, 4))) for work in works]
        pairs = list(zip(works, counts, strict=True))
        times = [[_seconds(*pair) for pair in pairs] for _ in range(rounds)]
        keras_rate, own_rate = (
            statistics.median(batch / t for t in column)
            for column in zip(*times, strict=True)
        )
        yield {
            "size": size,
            "place": place,
            "keras_images_per_second": keras_rate,
            "images_per_second": own_rate,
            "ratio": statistics.median(a / b for a, b in times),
        }


def run(sizes=(32, 96, 224), batch=32, rounds=7, layers=tuple(PAIRS)):
    """Measures and returns one row for each layer, size and place."""
    return [
        {"layer": name, **row}
        for name in layers
        for size in sizes
        for row in _measure(PAIRS[name][:2], size, batch, rounds)
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 96, 224])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--layers", nargs="+", default=list(PAIRS), choices=list(PAIRS))
    options = parser.parse_args()
    rows = run(**vars(options))
    print(f"{'layer':>18} {'images':>8} {'place':>8} {'Keras':>9} {'ours':>9}  ratio")
    for row in rows:
        name = f"{row['size']}x{row['size']}"
        print(
            f"{row['layer']:>18} {name:>8} {row['place']:>8}"
            f" {row['keras_images_per_second']:>9,.0f}"
            f" {row['images_per_second']:>9,.0f} {row['ratio']:>6.1f}"
        )
    for name in options.layers:
        if PAIRS[name][2] is not None:
            worst = min(row["ratio"] for row in rows if row["layer"] == name)
            print(f"{name}: smallest ratio {worst:.1f}, aim {PAIRS[name][2]}")


if __name__ == "__main__":
    main()
