"""ImageDataGenerator against Keras's, a bare loop of cv2.warpAffine and albumentations.

Rotation 20 degrees, shifts, shear and zoom 0.2, horizontal flip, nearest fill; uint8
images in memory, float32 batches of 32. All run in turns in one process; figures are
medians of images a second and of the rounds' ratios. albumentations takes part where
it is installed. Then a directory of JPEGs is streamed once and the resident memory
printed on the way.

    scripts/benchmark augmentation [--sizes 32 96 224] [--threads 2] [--rounds 7]
        [--files 20000]
"""

import argparse
import importlib.util
import os
import statistics
import tempfile
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax" if importlib.util.find_spec("jax") else "")
if not os.environ["KERAS_BACKEND"]:
    os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import cv2
import keras
import numpy as np
from keras.src.legacy.preprocessing.image import ImageDataGenerator as Legacy

from keras_strategies.augmentation import ImageDataGenerator

SETTINGS = {
    "rotation_range": 20,
    "width_shift_range": 0.2,
    "height_shift_range": 0.2,
    "shear_range": 0.2,
    "zoom_range": 0.2,
    "horizontal_flip": True,
    "fill_mode": "nearest",
}
AIMS = {"Keras": {32: 10, 96: 20, 224: 20}, "warpAffine": 0.8, "albumentations": 2}


def _in_slices(pool, threads, batch, work):
    """Calls `work(thread, start, stop)` for equal parts of the batch."""
    bounds = [batch * i // threads for i in range(threads + 1)]
    others = [pool.submit(work, i, bounds[i], bounds[i + 1]) for i in range(1, threads)]
    work(0, bounds[0], bounds[1])
    for other in others:
        other.result()


def _bare(images, batch, threads, pool):
    """The warps alone, by matrices made beforehand, and the cast."""
    size, random = images.shape[1], np.random.default_rng(0)
    angle, scale = random.uniform(-0.35, 0.35, batch), random.uniform(0.8, 1.2, batch)
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    shift = random.uniform(-0.2 * size, 0.2 * size, (2, batch))
    maps = np.stack([cos, -sin, shift[0], sin, cos, shift[1]], 1).reshape(-1, 2, 3)
    maps, flags = list(maps), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = np.empty((batch, *images.shape[1:]), "uint8")

    def warp(_, start, stop):
        for i in range(start, stop):
            cv2.warpAffine(
                images[i], maps[i], (size, size), moved[i], flags, cv2.BORDER_REPLICATE
            )

    def draw():
        _in_slices(pool, threads, batch, warp)
        return moved.astype("float32")

    return draw


def _albumentations(images, batch, threads, pool):
    import albumentations

    def compose():
        return albumentations.Compose(
            [
                albumentations.HorizontalFlip(p=0.5),
                albumentations.Affine(
                    rotate=(-20, 20),
                    translate_percent=(-0.2, 0.2),
                    shear=(-0.2, 0.2),
                    scale=(0.8, 1.2),
                    border_mode=cv2.BORDER_REPLICATE,
                    p=1,
                ),
            ]
        )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transforms = [compose() for _ in range(threads)]

    def draw():
        out = np.empty((batch, *images.shape[1:]), "float32")

        def work(thread, start, stop):
            for i in range(start, stop):
                out[i] = transforms[thread](image=images[i])["image"]

        _in_slices(pool, threads, batch, work)
        return out

    return draw


def _rate(draw, batch, seconds=0.15):
    """Images a second, over at least two batches and about `seconds`."""
    draw()
    start, batches = time.perf_counter(), 0
    while batches < 2 or time.perf_counter() - start < seconds:
        draw()
        batches += 1
    return batch * batches / (time.perf_counter() - start)


def throughput(size, batch, threads, rounds):
    """Medians of images a second by name, and of the ratios to the others."""
    count = batch * max(2, 512 // size)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, size, size, 3), dtype="uint8")
    labels = np.arange(count)
    keras_own = Legacy(**SETTINGS).flow(images, labels, batch, seed=0)
    ours = ImageDataGenerator(**SETTINGS, threads=threads)
    ours = ours.flow(images, labels, batch, seed=0)
    with ThreadPoolExecutor(threads) as pool:
        works = {
            "ours": lambda: next(ours),
            "Keras": lambda: next(keras_own),
            "warpAffine": _bare(images, batch, threads, pool),
        }
        if importlib.util.find_spec("albumentations"):
            works["albumentations"] = _albumentations(images, batch, threads, pool)
        turns = [
            {name: _rate(draw, batch) for name, draw in works.items()}
            for _ in range(rounds)
        ]
    rates = {name: statistics.median(t[name] for t in turns) for name in works}
    ratios = {
        name: statistics.median(t["ours"] / t[name] for t in turns)
        for name in works
        if name != "ours"
    }
    return rates, ratios


def _resident():
    """Megabytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _write_jpegs(folder, files, size):
    """Files in ten folders; two hundred pictures, again and again."""
    random, pictures = np.random.default_rng(0), []
    for _ in range(200):
        noise = random.integers(0, 256, (size, size, 3), dtype="uint8")
        smooth = cv2.GaussianBlur(noise, (0, 0), 4)
        pictures.append(cv2.imencode(".jpg", smooth)[1].tobytes())
    for i in range(files):
        place = Path(folder, f"class{i % 10}")
        place.mkdir(exist_ok=True)
        (place / f"{i:06d}.jpg").write_bytes(pictures[i % 200])


def streaming(files, size=224, batch=32, threads=2):
    """Streams a directory once; returns memory on the way and images a second."""
    settings = {"target_size": (size, size), "batch_size": batch, "seed": 0}
    with tempfile.TemporaryDirectory() as folder:
        _write_jpegs(folder, files, size)
        generator = ImageDataGenerator(**SETTINGS, threads=threads)
        flow = generator.flow_from_directory(folder, **settings)
        keras_own = Legacy(**SETTINGS).flow_from_directory(folder, **settings)
        rate = {
            "ours": _rate(lambda: next(flow), batch, 2),
            "Keras": _rate(lambda: next(keras_own), batch, 2),
        }
        resident = [_resident()]
        for number in range(len(flow)):
            next(flow)
            if (number + 1) % max(1, len(flow) // 10) == 0:
                resident.append(_resident())
    return resident, rate


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=[32, 96, 224])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--files", type=int, default=20_000, help="0 for none")
    asked = parser.parse_args()
    keras.config.disable_interactive_logging()
    warnings.simplefilter("ignore", DeprecationWarning)  # of Keras's use of SciPy
    for size in asked.sizes:
        rates, ratios = throughput(size, asked.batch, asked.threads, asked.rounds)
        print(f"{size} x {size}: ours {rates['ours']:,.0f} images a second")
        for name, ratio in ratios.items():
            aim = AIMS[name]
            aim = aim.get(size, "none") if isinstance(aim, dict) else aim
            print(
                f"  {name:<15} {rates[name]:>9,.0f} images a second,"
                f" ratio {ratio:6.2f}, aim {aim}"
            )
    if asked.files:
        resident, rate = streaming(asked.files, threads=asked.threads)
        print(f"streaming {asked.files:,} JPEGs of 224 x 224")
        print("  resident MB:", *(f"{value:.0f}" for value in resident))
        ratio = rate["ours"] / rate["Keras"]
        print(
            f"  ours {rate['ours']:,.0f} images a second, Keras {rate['Keras']:,.0f},"
            f" ratio {ratio:.1f}"
        )


if __name__ == "__main__":
    main()
