"""Masks, boxes and keypoints that are transformed with their images."""

from collections.abc import Callable
from typing import Any

import numpy as np

from keras_strategies._internal import checks
from keras_strategies.augmentation._generator.engine import fill_batch
from keras_strategies.augmentation._generator.resampling import Resampling
from keras_strategies.augmentation._generator.sampling import Draws

PADDING = -1  # value of boxes outside of the image, and of their labels


def inverse(maps: np.ndarray) -> np.ndarray:
    """Returns the maps `(count, 2, 3)` from input to output positions."""
    linear = np.linalg.inv(maps[:, :, :2])
    return np.concatenate([linear, -linear @ maps[:, :, 2:]], axis=2)


def transform_points(points: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Transforms points `(count, n, 2)` by the inverse of the images' maps."""
    inverse_maps = inverse(maps)
    linear, offset = inverse_maps[:, :, :2], inverse_maps[:, None, :, 2]
    return points @ linear.transpose(0, 2, 1) + offset


def transform_boxes(
    boxes: np.ndarray,
    maps: np.ndarray | None,
    height: Any,
    width: Any,
    min_area: float,
    min_visibility: float,
) -> tuple[Any, Any]:
    """Returns the boxes around transformed boxes, clipped to the image.

    Args:
        boxes: Array `(count, n, 4)`: left, top, right and bottom edge in pixels.
        maps: Array `(count, 2, 3)`, from output to input positions, or `None`.
        height: Rows of the images.
        width: Columns of the images.
        min_area: Smallest area in pixels of a valid box.
        min_visibility: Smallest visible fraction of a valid box.

    Returns:
        The boxes, and `(count, n)`, which of them are valid.
    """
    boxes = boxes.astype("float64")
    if maps is not None:
        left, top, right, bottom = np.moveaxis(boxes, -1, 0)
        corners = np.stack([left, top, right, top, left, bottom, right, bottom], -1)
        # Box coordinates start at the edge of the first pixel, maps at its center.
        corners = corners.reshape(len(boxes), -1, 2) - 0.5
        corners = transform_points(corners, maps).reshape(*boxes.shape[:2], 4, 2) + 0.5
        boxes = np.concatenate([corners.min(2), corners.max(2)], axis=-1)
    full_area = np.prod(boxes[..., 2:] - boxes[..., :2], axis=-1)
    clipped = np.clip(boxes, 0, (width, height, width, height))
    sides = np.maximum(clipped[..., 2:] - clipped[..., :2], 0)
    area = sides.prod(-1)
    is_valid = (area > 0) & (area >= min_area) & (area >= min_visibility * full_area)
    return clipped, is_valid


def _padded(rows: Any, trailing: tuple[int, ...], name: str) -> tuple[Any, Any]:
    """Returns arrays of different lengths as one padded array, and its valid mask."""
    rows = [np.asarray(row, "float32").reshape(-1, *trailing) for row in rows]
    longest = max((len(row) for row in rows), default=0)
    padded = np.full((len(rows), longest, *trailing), PADDING, "float32")
    is_valid = np.zeros((len(rows), longest), bool)
    for i, row in enumerate(rows):
        if not np.isfinite(row).all():
            checks.fail(f"`{name}` must be finite", image=i)
        padded[i, : len(row)], is_valid[i, : len(row)] = row, True
    return padded, is_valid


class Masks:
    """Segmentation masks, read at the nearest pixel."""

    def __init__(
        self, masks: Any, generator: Any, count: int, shape: Any, cval: float
    ) -> None:
        self._values = masks = np.asarray(masks)
        self._is_channels_first = (
            generator.data_format == "channels_first" and masks.ndim == 4
        )
        sizes = masks.shape[2:] if self._is_channels_first else masks.shape[1:3]
        expected = (count, *shape[:2])
        if masks.ndim not in (3, 4) or (len(masks), *sizes) != expected:
            rule = (
                "`masks` must be (images, height, width), with channels or without, "
                f"for {count} images of {shape[0]} x {shape[1]}"
            )
            checks.fail(rule, shape=masks.shape)
        is_exact = (
            masks.dtype == bool or not masks.size or np.abs(masks).max() < 1 << 24
        )
        # float32 represents integers below 2**24 exactly.
        if np.issubdtype(masks.dtype, np.integer) and not is_exact:
            checks.fail("`masks` must be below 2**24", largest=int(masks.max()))
        self._cval = checks.real("mask_cval", cval)
        self._generator = generator

    def make_batch(self, samples: np.ndarray, draws: Any) -> Any:
        """Returns the masks of a batch."""
        masks, order = self._values, samples.tolist()
        if draws.matrices is None:
            return masks[samples]

        def read(i: int) -> Any:
            mask = masks[order[i]]
            if self._is_channels_first:
                mask = mask.transpose(1, 2, 0)
            return mask if mask.ndim == 3 else mask[..., None]

        resampling = Resampling(0, self._generator.fill_mode, self._cval)
        shape = read(0).shape
        out = np.empty((len(order), *shape), resampling.source_type(masks.dtype))
        geometric = Draws(draws.matrices, None, None, draws.active)
        fill_batch(
            read,
            geometric,
            out,
            masks.dtype,
            resampling,
            threads=self._generator.threads,
        )
        out = out.transpose(0, 3, 1, 2) if self._is_channels_first else out
        return out.reshape(len(order), *masks.shape[1:]).astype(masks.dtype)


class Boxes:
    """Bounding boxes with or without labels."""

    def __init__(
        self,
        boxes: Any,
        generator: Any,
        count: int,
        shape: Any,
        min_area: float,
        min_visibility: float,
    ) -> None:
        self._labels = None
        labels = None
        if isinstance(boxes, dict):
            if set(boxes) != {"boxes", "labels"}:
                rule = "`boxes` as a dict must have the keys 'boxes' and 'labels'"
                checks.fail(rule, keys=sorted(boxes))
            boxes, labels = boxes["boxes"], boxes["labels"]
        _check_count("boxes", boxes, count)
        self._boxes, self._is_valid = _padded(boxes, (4,), "boxes")
        sides = self._boxes[..., 2:] - self._boxes[..., :2]
        if (sides[self._is_valid] < 0).any():
            fix = "Boxes are left, top, right and bottom edge in pixels ('xyxy')."
            image = int(np.argwhere((sides < 0).any(-1) & self._is_valid)[0, 0])
            checks.fail("`boxes` must have right >= left", fix=fix, image=image)
        if labels is not None:
            _check_count("labels", labels, count)
            self._labels, has_label = _padded(labels, (), "labels")
            if not np.array_equal(has_label, self._is_valid):
                counts = self._is_valid.sum(axis=1), has_label.sum(axis=1)
                image = int((counts[0] != counts[1]).argmax())
                checks.fail(
                    "`boxes` must have one label a box",
                    image=image,
                    boxes=int(counts[0][image]),
                    labels=int(counts[1][image]),
                )
        self._size = shape[:2]
        bounds = {"low": 0, "high": 1}
        self._limits = (
            checks.real("min_area", min_area, low=0),
            checks.real("min_visibility", min_visibility, **bounds),
        )

    def make_batch(self, samples: np.ndarray, draws: Any) -> Any:
        """Returns the boxes of a batch, or a dict of them and their labels."""
        boxes, is_valid = transform_boxes(
            self._boxes[samples], draws.matrices, *self._size, *self._limits
        )
        is_valid = (is_valid & self._is_valid[samples])[..., None]
        boxes = np.where(is_valid, boxes, PADDING).astype("float32")
        if self._labels is None:
            return boxes
        labels = np.where(is_valid[..., 0], self._labels[samples], PADDING)
        return {"boxes": boxes, "labels": labels.astype("float32")}


class Keypoints:
    """Points with or without a column of visibility."""

    def __init__(self, keypoints: Any, count: int, shape: Any) -> None:
        _check_count("keypoints", keypoints, count)
        self._points = points = np.asarray(keypoints, "float32")
        if points.ndim != 3 or points.shape[2] not in (2, 3):
            rule = "`keypoints` must be (images, points, 2), or 3 with visibility"
            checks.fail(rule, shape=points.shape)
        self._size = shape[:2]

    def make_batch(self, samples: np.ndarray, draws: Any) -> Any:
        """Returns the points of a batch; those outside of the image are not visible."""
        points = self._points[samples]
        if draws.matrices is not None:
            points[..., :2] = transform_points(points[..., :2], draws.matrices)
        if points.shape[2] == 3:
            height, width = self._size
            x, y = points[..., 0], points[..., 1]
            inside = (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)
            points[..., 2] *= inside
        return points


def _check_count(name: str, values: Any, count: int) -> None:
    if len(values) != count:
        raise ValueError(
            f"`x` (images tensor) and `{name}` should have the same length. Found: "
            f"{count} images and {len(values)} of `{name}`."
        )


def make_targets(
    generator: Any,
    count: int,
    shape: Any,
    masks: Any = None,
    boxes: Any = None,
    keypoints: Any = None,
    mask_cval: float = 0,
    min_area: float = 1.0,
    min_visibility: float = 0.0,
) -> dict[str, Callable[..., Any]]:
    """Returns a dict from the name of a target to its `make_batch`."""
    targets = {}
    if masks is not None:
        targets["masks"] = Masks(masks, generator, count, shape, mask_cval).make_batch
    if boxes is not None:
        limits = min_area, min_visibility
        targets["boxes"] = Boxes(boxes, generator, count, shape, *limits).make_batch
    if keypoints is not None:
        targets["keypoints"] = Keypoints(keypoints, count, shape).make_batch
    return targets
