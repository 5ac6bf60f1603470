"""Masks, boxes and keypoints that move with their images."""

import numpy as np

from keras_strategies._internal import checks
from keras_strategies.augmentation._generator.engine import fill_batch
from keras_strategies.augmentation._generator.resampling import Resampling
from keras_strategies.augmentation._generator.sampling import Draws

GONE = -1  # in place of a box that left the image, and of its label


def inverse(maps):
    """The maps `(count, 2, 3)` from input to output places."""
    linear = np.linalg.inv(maps[:, :, :2])
    return np.concatenate([linear, -linear @ maps[:, :, 2:]], axis=2)


def move_points(points, maps):
    """Points `(count, n, 2)` through `maps`, the maps from output to input places."""
    back = inverse(maps)
    return points @ back[:, :, :2].transpose(0, 2, 1) + back[:, None, :, 2]


def move_boxes(boxes, maps, height, width, min_area, min_visibility):
    """The boxes around moved boxes, cut to the image.

    Args:
        boxes: Array `(count, n, 4)`: left, top, right and bottom edge in pixels.
        maps: Array `(count, 2, 3)`, from output to input places, or `None`.
        height: Rows of the images.
        width: Columns of the images.
        min_area: Smallest area in pixels that stays.
        min_visibility: Smallest part of a moved box within the image that stays.

    Returns:
        Moved boxes, and `(count, n)`, which of them stay.
    """
    boxes = boxes.astype("float64")
    if maps is not None:
        left, top, right, bottom = np.moveaxis(boxes, -1, 0)
        corners = np.stack([left, top, right, top, left, bottom, right, bottom], -1)
        # Boxes measure from the edge of the first pixel, maps from its centre.
        corners = corners.reshape(len(boxes), -1, 2) - 0.5
        moved = move_points(corners, maps).reshape(*boxes.shape[:2], 4, 2) + 0.5
        boxes = np.concatenate([moved.min(2), moved.max(2)], axis=-1)
    whole = np.prod(boxes[..., 2:] - boxes[..., :2], axis=-1)
    inside = np.clip(boxes, 0, (width, height, width, height))
    sides = np.maximum(inside[..., 2:] - inside[..., :2], 0)
    area = sides.prod(-1)
    stay = (area > 0) & (area >= min_area) & (area >= min_visibility * whole)
    return inside, stay


def _padded(rows, trailing, name):
    """Arrays of different lengths as one, and which of its entries are real."""
    rows = [np.asarray(row, "float32").reshape(-1, *trailing) for row in rows]
    longest = max((len(row) for row in rows), default=0)
    padded = np.full((len(rows), longest, *trailing), GONE, "float32")
    real = np.zeros((len(rows), longest), bool)
    for i, row in enumerate(rows):
        if not np.isfinite(row).all():
            checks.fail(f"`{name}` must be finite", image=i)
        padded[i, : len(row)], real[i, : len(row)] = row, True
    return padded, real


class Masks:
    """Segmentation masks, read at the nearest pixel."""

    def __init__(self, masks, generator, count, shape, cval):
        self._values = masks = np.asarray(masks)
        self._first = generator.data_format == "channels_first" and masks.ndim == 4
        sizes = masks.shape[2:] if self._first else masks.shape[1:3]
        wanted = (count, *shape[:2])
        if masks.ndim not in (3, 4) or (len(masks), *sizes) != wanted:
            rule = (
                "`masks` must be (images, height, width), with channels or without, "
                f"for {count} images of {shape[0]} x {shape[1]}"
            )
            checks.fail(rule, shape=masks.shape)
        exact = masks.dtype == bool or not masks.size or np.abs(masks).max() < 1 << 24
        if np.issubdtype(masks.dtype, np.integer) and not exact:
            checks.fail("`masks` must be below 2**24", largest=int(masks.max()))
        self._cval = checks.real("mask_cval", cval)
        self._generator = generator

    def make(self, samples, draws):
        """The masks of a batch."""
        masks, order = self._values, samples.tolist()
        if draws.matrices is None:
            return masks[samples]

        def read(i):
            mask = masks[order[i]]
            if self._first:
                mask = mask.transpose(1, 2, 0)
            return mask if mask.ndim == 3 else mask[..., None]

        resampling = Resampling(0, self._generator.fill_mode, self._cval)
        shape = read(0).shape
        out = np.empty((len(order), *shape), resampling.source_type(masks.dtype))
        moves = Draws(draws.matrices, None, None, draws.active)
        fill_batch(
            read, moves, out, masks.dtype, resampling, threads=self._generator.threads
        )
        out = out.transpose(0, 3, 1, 2) if self._first else out
        return out.reshape(len(order), *masks.shape[1:]).astype(masks.dtype)


class Boxes:
    """Bounding boxes, with labels or without."""

    def __init__(self, boxes, generator, count, shape, min_area, min_visibility):
        self._labels = None
        labels = None
        if isinstance(boxes, dict):
            if set(boxes) != {"boxes", "labels"}:
                rule = "`boxes` as a dict must have the keys 'boxes' and 'labels'"
                checks.fail(rule, keys=sorted(boxes))
            boxes, labels = boxes["boxes"], boxes["labels"]
        _check_count("boxes", boxes, count)
        self._boxes, self._real = _padded(boxes, (4,), "boxes")
        sides = self._boxes[..., 2:] - self._boxes[..., :2]
        if (sides[self._real] < 0).any():
            fix = "Boxes are left, top, right and bottom edge in pixels ('xyxy')."
            at = int(np.argwhere((sides < 0).any(-1) & self._real)[0, 0])
            checks.fail("`boxes` must have right >= left", fix=fix, image=at)
        if labels is not None:
            _check_count("labels", labels, count)
            self._labels, real = _padded(labels, (), "labels")
            if not np.array_equal(real, self._real):
                checks.fail("`boxes` must have one label a box")
        self._size = shape[:2]
        low = {"low": 0, "high": 1}
        self._limits = (
            checks.real("min_area", min_area, low=0),
            checks.real("min_visibility", min_visibility, **low),
        )

    def make(self, samples, draws):
        """The boxes of a batch, or a dict with their labels."""
        boxes, real = self._boxes[samples], self._real[samples]
        moved, stay = move_boxes(boxes, draws.matrices, *self._size, *self._limits)
        stay = (stay & real)[..., None]
        moved = np.where(stay, moved, GONE).astype("float32")
        if self._labels is None:
            return moved
        labels = np.where(stay[..., 0], self._labels[samples], GONE)
        return {"boxes": moved, "labels": labels.astype("float32")}


class Keypoints:
    """Points, with a column of visibility or without."""

    def __init__(self, keypoints, count, shape):
        _check_count("keypoints", keypoints, count)
        self._points = points = np.asarray(keypoints, "float32")
        if points.ndim != 3 or points.shape[2] not in (2, 3):
            rule = "`keypoints` must be (images, points, 2), or 3 with visibility"
            checks.fail(rule, shape=points.shape)
        self._size = shape[:2]

    def make(self, samples, draws):
        """The points of a batch; one outside of its image is not visible."""
        points = self._points[samples]
        if draws.matrices is not None:
            points[..., :2] = move_points(points[..., :2], draws.matrices)
        if points.shape[2] == 3:
            height, width = self._size
            x, y = points[..., 0], points[..., 1]
            inside = (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)
            points[..., 2] *= inside
        return points


def _check_count(name, values, count):
    if len(values) != count:
        raise ValueError(
            f"`x` (images tensor) and `{name}` should have the same length. Found: "
            f"{count} images and {len(values)} of `{name}`."
        )


def make_targets(
    generator,
    count,
    shape,
    masks=None,
    boxes=None,
    keypoints=None,
    mask_cval=0,
    min_area=1.0,
    min_visibility=0.0,
):
    """Dict from the name of a target to its `make(samples, draws)`."""
    made = {}
    if masks is not None:
        made["masks"] = Masks(masks, generator, count, shape, mask_cval).make
    if boxes is not None:
        limits = min_area, min_visibility
        made["boxes"] = Boxes(boxes, generator, count, shape, *limits).make
    if keypoints is not None:
        made["keypoints"] = Keypoints(keypoints, count, shape).make
    return made
