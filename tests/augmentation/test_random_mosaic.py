"""RandomMosaic: where pixels, masks, boxes and labels go."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_strategies.augmentation import RandomMosaic
from keras_strategies.augmentation._image.mixing.mosaic_ops import layout

HEIGHT, WIDTH, BATCH = 8, 12, 5


def _numpy(x):
    return ops.convert_to_numpy(x)


def _batch(box_format="xyxy"):
    """Images that say where a pixel comes from: image, row, column."""
    images = np.zeros((BATCH, HEIGHT, WIDTH, 3), "float32")
    images[..., 0] = np.arange(BATCH)[:, None, None]
    images[..., 1] = np.arange(HEIGHT)[:, None]
    images[..., 2] = np.arange(WIDTH)
    boxes = {
        "boxes": np.repeat([[[1.0, 2.0, 11.0, 7.0]]], BATCH, axis=0),
        "labels": np.arange(BATCH)[:, None] + 1.0,
    }
    size = {"height": HEIGHT, "width": WIDTH}
    convert = keras.utils.bounding_boxes.convert_format
    boxes = convert(boxes, source="xyxy", target=box_format, **size)
    return {
        "images": images,
        "labels": np.eye(BATCH, dtype="float32"),
        "segmentation_masks": images[..., 0].astype("uint8"),
        "bounding_boxes": {k: _numpy(v).astype("float32") for k, v in boxes.items()},
    }


def _placed(layer):
    """What the layer will draw: its seed generator starts alike."""
    uniform = keras.random.uniform((BATCH, 6), seed=keras.random.SeedGenerator(4))
    placed = layout(uniform, HEIGHT, WIDTH, layer.center_factor, layer.factor)
    return [_numpy(part) for part in placed]


def test_each_pixel_comes_from_its_place():
    layer = RandomMosaic(seed=4)
    images = _numpy(layer(_batch()["images"]))
    partners, x, y = _placed(layer)
    assert len(np.unique(partners)) > 3
    for image, own, cx, cy in zip(images, partners, x, y, strict=True):
        assert WIDTH / 4 <= cx <= WIDTH * 3 / 4
        for (row, column), (source, from_row, from_column) in (
            ((0, 0), (own[0], HEIGHT - cy, WIDTH - cx)),
            ((0, WIDTH - 1), (own[1], HEIGHT - cy, WIDTH - 1 - cx)),
            ((HEIGHT - 1, 0), (own[2], HEIGHT - 1 - cy, WIDTH - cx)),
            ((cy, cx), (own[3], 0, 0)),
            ((cy - 1, cx - 1), (own[0], HEIGHT - 1, WIDTH - 1)),
        ):
            assert image[row, column].tolist() == [source, from_row, from_column]


@pytest.mark.parametrize("box_format", ["xyxy", "rel_xywh"])
def test_masks_labels_and_boxes_follow(box_format):
    layer = RandomMosaic(seed=4, bounding_box_format=box_format)
    out = layer(_batch(box_format))
    images = _numpy(out["images"])
    np.testing.assert_array_equal(_numpy(out["segmentation_masks"]), images[..., 0])
    labels = _numpy(out["labels"])
    shown = [(images[..., 0] == i).mean(axis=(1, 2)) for i in range(BATCH)]
    np.testing.assert_allclose(labels, np.stack(shown, axis=1), atol=1e-6)
    size = {"height": HEIGHT, "width": WIDTH}
    boxes = keras.utils.bounding_boxes.convert_format(
        out["bounding_boxes"], source=box_format, target="xyxy", **size
    )
    boxes, names = _numpy(boxes["boxes"]), _numpy(out["bounding_boxes"]["labels"])
    assert boxes.shape == (BATCH, 4, 4) and names.shape == (BATCH, 4)
    assert (names > 0).sum() > 10
    for image, own, kinds in zip(images, boxes, names, strict=True):
        for box, kind in zip(own, kinds, strict=True):
            if kind < 0:
                continue
            left, top, right, bottom = np.round(box).astype(int)
            inside = image[top:bottom, left:right]
            # Only pixels of the box of that very image, and all that are shown.
            assert (inside[..., 0] == kind - 1).all()
            assert inside[..., 1].min() >= 2 and inside[..., 1].max() <= 6
            assert inside[..., 2].min() >= 1 and inside[..., 2].max() <= 10


def test_boxes_out_of_sight_get_the_label_minus_one():
    layer = RandomMosaic(factor=0.0, bounding_box_format="xyxy")
    out = layer(_batch())
    np.testing.assert_array_equal(_numpy(out["images"]), _batch()["images"])
    names = _numpy(out["bounding_boxes"]["labels"])
    np.testing.assert_array_equal(names[:, :3], -1)
    np.testing.assert_array_equal(names[:, 3], np.arange(BATCH) + 1)
    np.testing.assert_allclose(
        _numpy(out["bounding_boxes"]["boxes"])[:, 3], [[1, 2, 11, 7]] * BATCH
    )


def test_class_numbers_are_refused():
    batch = {"images": _batch()["images"], "labels": np.arange(BATCH)}
    with pytest.raises(ValueError, match="one-hot"):
        RandomMosaic()(batch)
    out = RandomMosaic()(batch, training=False)
    np.testing.assert_array_equal(_numpy(out["labels"]), np.arange(BATCH))


def test_dicts_in_tf_data():
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensors(_batch())
    layer = RandomMosaic(seed=4, bounding_box_format="xyxy")
    (out,) = dataset.map(layer).as_numpy_iterator()
    np.testing.assert_array_equal(out["segmentation_masks"], out["images"][..., 0])
    assert out["bounding_boxes"]["boxes"].shape == (BATCH, 4, 4)
    np.testing.assert_allclose(out["labels"].sum(axis=1), 1, rtol=1e-6)
