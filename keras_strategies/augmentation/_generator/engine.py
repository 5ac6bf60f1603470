"""Transformation of images to a float batch: warp, photometric operations and cast.

OpenCV releases the interpreter lock, so that threads can share a batch. Each thread
warps a few images to a small buffer of the input's type, which stays in the CPU cache,
and casts them into the batch.
"""

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from keras_strategies._internal.processes.executors import available_processors
from keras_strategies.augmentation._generator.resampling import Resampling

_BUFFER_BYTES = 1 << 18
# Below this number of values a thread costs more than it saves.
_VALUES_A_SLICE = 100_000


@functools.lru_cache(maxsize=4)
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    # `process` is part of the cache key: threads do not survive in a forked child.
    return ThreadPoolExecutor(threads, thread_name_prefix="augmentation")


def run_slices(work: Callable[[int, int], Any], count: int, slices: int) -> None:
    """Calls `work(start, stop)` for slices of `range(count)`, in threads."""
    slices = max(1, min(slices, count))
    bounds = [count * i // slices for i in range(slices + 1)]
    ranges = list(zip(bounds[:-1], bounds[1:], strict=True))
    futures = []
    if slices > 1:
        pool = _pool(slices - 1, os.getpid())
        futures = [pool.submit(work, *bounds) for bounds in ranges[1:]]
    work(*ranges[0])  # in this thread
    for future in futures:
        future.result()


def shift_and_brighten(
    image: np.ndarray,
    shift: float | None,
    brightness: float | None,
    truncate: bool = False,
) -> np.ndarray:
    """Adds `shift` to all channels and multiplies by `brightness`, unless `None`.

    The shift is clipped to the range of the image. Brightness is clipped to [0, 255],
    for images in [0, 1] to [0, 1], and for images outside of both to their own range,
    where the darkest value is black.

    Args:
        image: Array of any shape.
        shift: Number or `None`.
        brightness: Number or `None`.
        truncate: Whether brightness truncates to integers in 0 to 255, as in Keras,
            which turns images in [0, 1] black.

    Returns:
        Array of floats, in the precision of the image.
    """
    low, high = float(image.min()), float(image.max())
    if image.dtype == np.uint8:
        # The operations depend on the value alone: a table of 256 values is enough.
        import cv2

        values = np.arange(256, dtype="float32")
        table = _change_values(values, low, high, shift, brightness, truncate, 255.0)
        return cv2.LUT(image, table).reshape(image.shape)
    image = image.astype(np.result_type(image.dtype, np.float32))
    return _change_values(image, low, high, shift, brightness, truncate)


def _change_values(
    x: Any,
    low: float,
    high: float,
    shift: float | None,
    brightness: float | None,
    truncate: bool,
    top: float | None = None,
) -> np.ndarray:
    if shift is not None:
        x = np.clip(x + shift, low, high, dtype=x.dtype)
        low, high = (min(max(v + shift, low), high) for v in (low, high))
    if brightness is None:
        return x
    if low < 0 or high > 255:
        if truncate:
            levels = np.trunc((x - low) / (high - low) * 255)
            levels = np.trunc(np.clip(levels * brightness, 0, 255))
            return (levels / 255 * (high - low) + low).astype(x.dtype)
        return np.clip(low + (x - low) * brightness, low, high).astype(x.dtype)
    if truncate:
        return np.trunc(np.clip(np.trunc(x) * brightness, 0, 255)).astype(x.dtype)
    if top is None:
        top = 1.0 if high <= 1 else 255.0
    return np.clip(x * brightness, 0, top, dtype=x.dtype)


def fill_batch(
    read: Callable[[int], Any],
    draws: Any,
    out: np.ndarray,
    source_dtype: Any,
    resampling: Resampling,
    **options: Any,
) -> None:
    """Transforms `len(out)` images into `out`.

    Args:
        read: `read(i)` returns image `i`, an array `(height, width, channels)` of any
            type.
        draws: The `Draws` of the batch.
        out: Array `(batch, height, width, channels)` of float32 or float64.
        source_dtype: Type of the images.
        resampling: `Resampling`.
        options: `standardize(batch)` returns a few images of `out` normalized, perhaps
            in place. `truncate`: see `shift_and_brighten`. `threads`: their maximum
            number. `heavy`: whether reading alone justifies threads. `ready`: whether
            images have type `source_dtype` and are contiguous.
    """
    dtype = resampling.source_type(source_dtype, draws.matrices is not None)
    if not (options.get("ready") and dtype == source_dtype):
        read = functools.partial(_prepared, read, dtype)
    work = functools.partial(
        _fill_slice,
        read,
        draws,
        out,
        dtype,
        functools.partial(resampling.warper, *out.shape[1:], dtype),
        options.get("standardize"),
        options.get("truncate", False),
    )
    slices = options.get("threads") or available_processors()
    if not options.get("heavy"):
        slices = min(slices, out.size // _VALUES_A_SLICE)
    run_slices(work, len(out), slices)


def _prepared(read: Callable[[int], Any], dtype: Any, i: int) -> np.ndarray:
    return np.ascontiguousarray(read(i), dtype)


def _fill_slice(
    read: Callable[[int], Any],
    draws: Any,
    out: np.ndarray,
    dtype: Any,
    make_warp: Callable[[], Any],
    standardize: Callable[[Any], Any] | None,
    truncate: bool,
    start: int,
    stop: int,
) -> None:
    photometric = draws.channel_shift is not None or draws.brightness is not None
    direct = dtype == out.dtype
    # Images per buffer.
    group = max(1, _BUFFER_BYTES // max(1, out[0].size * dtype.itemsize))
    group = min(group, stop - start)
    buffer = None if direct else np.empty((group, *out.shape[1:]), dtype)
    active, maps = draws.active.tolist(), None
    if draws.matrices is not None:
        warp, offset = make_warp()
        maps = list(draws.matrices + offset)
    for first in range(start, stop, group):
        batch = out[first : min(first + group, stop)]
        warped = batch if direct else buffer[: len(batch)]
        for i, target in enumerate(warped, first):
            image = read(i)
            if maps is None or not active[i]:
                target[...] = image
                continue
            warp(image, maps[i], target)
        if photometric:
            for i, image in enumerate(warped, first):
                values = photometric_values(draws, i)
                if values is not None:
                    image = shift_and_brighten(image, *values, truncate)
                out[i] = image
        elif not direct:
            batch[...] = warped
        if standardize is not None:
            standardized = standardize(batch)
            if standardized is not batch:
                batch[...] = standardized


def photometric_values(draws: Any, i: int) -> tuple[float | None, ...] | None:
    """Returns `(shift, brightness)` of image `i`; `None` if it is not transformed."""
    if not draws.active[i]:
        return None
    values = (draws.channel_shift, draws.brightness)
    return tuple(None if v is None else float(v[i]) for v in values)
