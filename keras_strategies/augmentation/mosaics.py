"""Four images in one, as pure functions of uniform numbers.

A mosaic has a centre `(x, y)` in whole pixels. Each quadrant shows the part of its
image that lies nearest to the opposite corner of that image: the picture top left
ends at the centre, the one bottom right begins there. The image itself is bottom
right, so that the centre `(0, 0)` is the image unchanged.
"""

import keras

# Per quadrant: whether it lies right of the centre, and below it.
QUADRANTS = ((0, 0), (1, 0), (0, 1), (1, 1))


def layout(uniform, height, width, centre, rate, ops=keras.ops):
    """Draws the partners and the centre of each mosaic.

    Args:
        uniform: Tensor `(batch, 6)`: whether, centre x and y, three partners.
        height: Rows of the images.
        width: Columns of the images.
        centre: Bounds of the centre, as fractions of width and height.
        rate: Share of the images that become mosaics.
        ops: The operations.

    Returns:
        `(partners, x, y)`: int32 tensors `(batch, 4)`, `(batch,)` and `(batch,)`.
    """
    batch = ops.shape(uniform)[0]
    own = ops.arange(batch, dtype="int32")[:, None]
    drawn = ops.floor(uniform[:, 3:6] * ops.cast(batch, "float32"))
    # A uniform number just below 1 may round up to the batch itself.
    others = ops.minimum(ops.cast(drawn, "int32"), ops.cast(batch, "int32") - 1)
    partners = ops.concatenate([others, own], axis=1)
    ends = []
    for i, length in ((1, width), (2, height)):
        place = centre[0] + (centre[1] - centre[0]) * uniform[:, i]
        place = ops.floor(place * ops.cast(length, "float32") + 0.5)
        ends.append(ops.cast(ops.where(uniform[:, 0] < rate, place, 0.0), "int32"))
    return partners, *ends


def assemble(images, uniform, centre, rate, ops=keras.ops):
    """The mosaics of images `(batch, height, width, channels)`, read once."""
    batch, height, width, channels = ops.shape(images)
    partners, x, y = layout(uniform, height, width, centre, rate, ops)
    x, y = ops.reshape(x, (-1, 1, 1)), ops.reshape(y, (-1, 1, 1))
    columns = ops.reshape(ops.arange(width, dtype="int32"), (1, 1, -1))
    rows = ops.reshape(ops.arange(height, dtype="int32"), (1, -1, 1))
    right, below = columns >= x, rows >= y
    column = ops.where(right, columns - x, columns - x + width)
    row = ops.where(below, rows - y, rows - y + height)
    a, b, c, d = (ops.reshape(partners[:, i], (-1, 1, 1)) for i in range(4))
    source = ops.where(below, ops.where(right, d, c), ops.where(right, b, a))
    pixels = ops.reshape(images, (-1, channels))
    return ops.take(pixels, (source * height + row) * width + column, axis=0)


def shares(x, y, height, width, ops=keras.ops):
    """The part of the area that each quadrant has, `(batch, 4)`."""
    left = ops.cast(x, "float32") / ops.cast(width, "float32")
    top = ops.cast(y, "float32") / ops.cast(height, "float32")
    across, down = (left, 1.0 - left), (top, 1.0 - top)
    return ops.stack([across[i] * down[j] for i, j in QUADRANTS], axis=1)


def gather_boxes(boxes, labels, placed, height, width, ops=keras.ops):
    """The boxes of the four images in their quadrants, cut at its borders.

    Args:
        boxes: Tensor `(batch, n, 4)`, `xyxy` in pixels.
        labels: Tensor `(batch, n)`.
        placed: What `layout` gave.
        height: Rows of the images.
        width: Columns of the images.
        ops: The operations.

    Returns:
        Tensors `(batch, 4 n, 4)` and `(batch, 4 n)`; boxes that are not seen have
        the label -1.
    """
    partners, x, y = placed
    x, y = (ops.cast(v, "float32")[:, None] for v in (x, y))
    height, width = ops.cast(height, "float32"), ops.cast(width, "float32")
    all_boxes, all_labels = [], []
    for i, (right, below) in enumerate(QUADRANTS):
        own = ops.cast(ops.take(boxes, partners[:, i], axis=0), "float32")
        own_labels = ops.take(labels, partners[:, i], axis=0)
        shift_x, low_x, high_x = (x, x, width) if right else (x - width, 0.0, x)
        shift_y, low_y, high_y = (y, y, height) if below else (y - height, 0.0, y)
        left, right_side = (
            ops.clip(own[..., k] + shift_x, low_x, high_x) for k in (0, 2)
        )
        top, bottom = (ops.clip(own[..., k] + shift_y, low_y, high_y) for k in (1, 3))
        seen = ops.logical_and(right_side > left, bottom > top)
        all_boxes.append(ops.stack([left, top, right_side, bottom], axis=-1))
        missing = ops.cast(-1, own_labels.dtype)
        all_labels.append(ops.where(seen, own_labels, missing))
    return ops.concatenate(all_boxes, axis=1), ops.concatenate(all_labels, axis=1)
