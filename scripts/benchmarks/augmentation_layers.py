"""RandomAffine against the stack of five Keras layers that does the same.

Rotation 20 degrees, shifts, shear and zoom 0.2, horizontal flip, nearest fill;
float32 images. Both run in turns in one process, inside a `tf.function` as in a
model, and in `tf.data`; figures are medians of images a second, and their ratio.

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

from keras_strategies.augmentation import RandomAffine

TARGET = 12
WORKERS = 2
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


def _seconds(work, batches):
    # First what a pipeline prepared while the other one was measured.
    work(WORKERS + 1)
    start = time.perf_counter()
    work(batches)
    return (time.perf_counter() - start) / batches


def run(sizes=(32, 96, 224), batch=32, rounds=7):
    """Measures and returns one row for each size and place."""
    rows = []
    for size in sizes:
        shape = (batch, size, size, 3)
        images = np.random.default_rng(0).uniform(size=shape).astype("float32")
        batches = max(4, 800 // size)
        for place, make in (("model", _in_model), ("tf.data", _in_tf_data)):
            works = [make(build(), images) for build in (_stack, _affine)]
            for work in works:
                _seconds(work, 1)  # traces and compiles
            times = [[_seconds(work, batches) for work in works] for _ in range(rounds)]
            stack, affine = (
                statistics.median(batch / t for t in column)
                for column in zip(*times, strict=True)
            )
            rows.append(
                {
                    "size": size,
                    "place": place,
                    "keras_images_per_second": stack,
                    "affine_images_per_second": affine,
                    "ratio": statistics.median(a / b for a, b in times),
                }
            )
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 96, 224])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    rows = run(**vars(parser.parse_args()))
    print(
        f"{'images':>10} {'place':>8} {'five layers':>12} {'RandomAffine':>13}  ratio"
    )
    for row in rows:
        name = f"{row['size']}x{row['size']}"
        print(
            f"{name:>10} {row['place']:>8} {row['keras_images_per_second']:>12,.0f}"
            f" {row['affine_images_per_second']:>13,.0f} {row['ratio']:>6.1f}"
        )
    worst = min(row["ratio"] for row in rows)
    print(f"smallest ratio {worst:.1f}, target {TARGET}")


if __name__ == "__main__":
    main()
