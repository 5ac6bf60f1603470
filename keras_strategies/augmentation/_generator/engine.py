"""Images into a float batch: one warp, photometric operations and casts by slices.

OpenCV releases the interpreter's lock, so that threads share a batch. Every thread
warps a few images into a small buffer of the input's type, which stays in the cache,
and casts them into their place in the batch.
"""

import functools
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

_BUFFER_BYTES = 1 << 18
# Below this number of pixels and channels a thread costs more than it saves.
_VALUES_A_SLICE = 100_000


@functools.lru_cache(maxsize=4)
def _pool(threads, process):
    # By process: the threads of a pool do not live on in a forked child.
    return ThreadPoolExecutor(threads, thread_name_prefix="augmentation")


def available_threads():
    """How many threads this process may run at once."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_slices(work, count, slices):
    """Calls `work(start, stop)` for parts of `range(count)`, the first one here."""
    slices = max(1, min(slices, count))
    bounds = [count * i // slices for i in range(slices + 1)]
    parts = list(zip(bounds[:-1], bounds[1:], strict=True))
    if slices > 1:
        pool = _pool(slices - 1, os.getpid())
        others = [pool.submit(work, *part) for part in parts[1:]]
    work(*parts[0])
    if slices > 1:
        for other in others:
            other.result()


def shift_and_brighten(image, shift, brightness, truncate=False):
    """Adds `shift` to all channels and multiplies by `brightness`, where not `None`.

    The shift stays within the range of the image. Brightness keeps within 0 and 255,
    of images in [0, 1] within 0 and 1, and of images outside of both within their own
    range, where the darkest value counts as black.

    Args:
        image: Array of any shape.
        shift: Number or `None`.
        brightness: Number or `None`.
        truncate: Whether brightness goes through whole numbers in 0 to 255, as in
            Keras, which turns images in [0, 1] black.

    Returns:
        Array of floats, of the precision of the image.
    """
    low, high = float(image.min()), float(image.max())
    if image.dtype == np.uint8:
        # Every operation is one of values, so 256 of them tell all.
        import cv2

        values = np.arange(256, dtype="float32")
        table = _change_values(values, low, high, shift, brightness, truncate, 255.0)
        return cv2.LUT(image, table).reshape(image.shape)
    image = image.astype(np.result_type(image.dtype, np.float32))
    return _change_values(image, low, high, shift, brightness, truncate)


def _change_values(x, low, high, shift, brightness, truncate, top=None):
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


def fill_batch(read, draws, out, source_dtype, resampling, **options):
    """Transforms `len(out)` images into `out`.

    Args:
        read: `read(i)` returns image `i`, an array `(height, width, channels)` of any
            type.
        draws: The `Draws` of the batch.
        out: Array `(batch, height, width, channels)` of float32 or float64.
        source_dtype: Type of the images.
        resampling: `Resampling`.
        options: `standardize(part)` returns a few images of `out` normalized, perhaps
            in place. `truncate`: see `shift_and_brighten`. `threads`: how many to use
            at most. `heavy`: whether reading is worth threads by itself. `ready`:
            whether images have the type they say and lie in one piece.
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
    slices = options.get("threads") or available_threads()
    if not options.get("heavy"):
        slices = min(slices, out.size // _VALUES_A_SLICE)
    run_slices(work, len(out), slices)


def _prepared(read, dtype, i):
    return np.ascontiguousarray(read(i), dtype)


def _fill_slice(read, draws, out, dtype, make_warp, standardize, truncate, start, stop):
    photometric = draws.channel_shift is not None or draws.brightness is not None
    direct = dtype == out.dtype
    group = max(1, _BUFFER_BYTES // max(1, out[0].size * dtype.itemsize))
    group = min(group, stop - start)
    buffer = None if direct else np.empty((group, *out.shape[1:]), dtype)
    active, maps = draws.active.tolist(), None
    if draws.matrices is not None:
        warp, shift = make_warp()
        maps = list(draws.matrices + shift)
    for first in range(start, stop, group):
        part = out[first : min(first + group, stop)]
        warped = part if direct else buffer[: len(part)]
        for i, place in enumerate(warped, first):
            image = read(i)
            if maps is None or not active[i]:
                place[...] = image
                continue
            warp(image, maps[i], place)
        if photometric:
            for i, place in enumerate(warped, first):
                values = photometric_values(draws, i)
                if values is not None:
                    place = shift_and_brighten(place, *values, truncate)
                out[i] = place
        elif not direct:
            part[...] = warped
        if standardize is not None:
            done = standardize(part)
            if done is not part:
                part[...] = done


def photometric_values(draws, i):
    """`(shift, brightness)` of image `i`, or `None` where it stays as it is."""
    if not draws.active[i]:
        return None
    values = (draws.channel_shift, draws.brightness)
    return tuple(None if v is None else float(v[i]) for v in values)
