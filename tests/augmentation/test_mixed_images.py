"""MixUp and CutMix beside Keras's own, and what these get wrong."""

import keras
import numpy as np
import pytest

from keras_strategies.augmentation import CutMix, MixUp

N = 64
IMAGES = np.tile(np.arange(N, dtype="float32")[:, None, None, None], (1, 20, 30, 3))
LABELS = np.eye(N, dtype="float32")


def _numpy(x):
    return keras.ops.convert_to_numpy(x)


def _mixed(layer, **more):
    data = {"images": IMAGES, "labels": LABELS, **more}
    return keras.tree.map_structure(_numpy, layer(data))


def test_mixup_mixes_images_and_labels_alike():
    mixed = _mixed(MixUp(1.0, seed=1))
    weights = mixed["labels"]
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    expected = np.broadcast_to(
        (weights @ np.arange(N))[:, None, None, None], IMAGES.shape
    )
    np.testing.assert_allclose(mixed["images"], expected, rtol=1e-4)
    own = np.diag(weights)
    assert 0.35 < own.mean() < 0.65 and own.std() > 0.2  # uniform at 1
    assert (weights - np.diag(own) > 0).sum(axis=0).max() == 1


def test_cutmix_mixes_by_pixels():
    mixed = _mixed(CutMix(seed=1))
    sizes = set()
    for i in range(N):
        values, counts = np.unique(mixed["images"][i, ..., 0], return_counts=True)
        expected = np.zeros(N)
        expected[values.astype(int)] = counts / 600
        np.testing.assert_allclose(mixed["labels"][i], expected, atol=1e-6)
        rows, columns = np.nonzero(mixed["images"][i, ..., 0] != i)
        if len(rows):  # one rectangle in the proportions of the image
            height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
            assert height * width == len(rows)
            assert width == pytest.approx(1.5 * height, abs=1.3)
            sizes.add(height)
    assert len(sizes) > 10


def test_masks_follow():
    masks = np.zeros((N, 20, 30, 2), "float32")
    masks[np.arange(N) % 2 == 0, ..., 0] = 1
    masks[..., 1] = 1 - masks[..., 0]
    mixed = _mixed(MixUp(1.0, seed=1), segmentation_masks=masks)
    expected = (mixed["labels"] @ masks[:, 0, 0])[:, None, None]
    np.testing.assert_allclose(
        mixed["segmentation_masks"], np.broadcast_to(expected, masks.shape), atol=1e-5
    )
    cut = _mixed(CutMix(seed=1), segmentation_masks=IMAGES[..., 0])
    np.testing.assert_array_equal(cut["segmentation_masks"], cut["images"][..., 0])
    with pytest.raises(ValueError, match="a channel for each class"):
        _mixed(MixUp(), segmentation_masks=IMAGES[..., :1])


def test_boxes_follow():
    corner = np.arange(N) % 10
    boxes = np.stack([corner, corner, corner + 4, corner + 3], axis=1)[:, None]
    given = {"boxes": boxes.astype("float32"), "labels": np.arange(N)[:, None] * 1.0}
    mixed = _mixed(MixUp(seed=1, bounding_box_format="xyxy"), bounding_boxes=given)
    got = mixed["bounding_boxes"]
    assert got["boxes"].shape == (N, 2, 4) and got["labels"].shape == (N, 2)
    partner = got["labels"][:, 1].astype(int)
    np.testing.assert_array_equal(got["labels"][:, 0], np.arange(N))
    np.testing.assert_array_equal(got["boxes"][:, 1], given["boxes"][partner, 0])
    assert sorted(partner) == list(range(N))
    cut = _mixed(
        CutMix((1.0, 1.0), 1, bounding_box_format="xyxy"), bounding_boxes=given
    )
    images, got = cut["images"][..., 0], cut["bounding_boxes"]
    gone = added = 0
    for i in range(N):
        left, top, right, bottom = boxes[i, 0]
        covered = (images[i, top:bottom, left:right] != i).all()
        if (images[i] == i).all():
            continue  # by chance its own partner
        assert (got["labels"][i, 0] == -1) == covered
        gone += covered
        if got["labels"][i, 1] >= 0:
            left, top, right, bottom = got["boxes"][i, 1].astype(int)
            assert (images[i, top:bottom, left:right] == got["labels"][i, 1]).all()
            added += 1
    assert gone > 3 and added > 10


@pytest.mark.parametrize("make", [MixUp, CutMix])
def test_they_take_what_keras_takes(make):
    keras_class = getattr(keras.layers, make.__name__)
    own, other = make(seed=1), keras_class(seed=1)
    names = set(other.get_config()) - {"name"}
    assert names <= set(own.get_config())
    for layer in (own, make(seed=1, data_format="channels_first")):
        images = IMAGES if layer is own else IMAGES.transpose(0, 3, 1, 2)
        out = layer({"images": images, "labels": LABELS})
        assert _numpy(out["images"]).shape == images.shape
    with pytest.raises(ValueError, match="class numbers cannot be mixed"):
        own({"images": IMAGES, "labels": np.arange(N)})
    still = own({"images": IMAGES, "labels": LABELS}, training=False)
    np.testing.assert_array_equal(_numpy(still["labels"]), LABELS)
    if make is CutMix:
        with pytest.raises(ValueError, match="cannot follow a patch"):
            own({"images": IMAGES, "keypoints": np.ones((N, 1, 2))})
        with pytest.raises(ValueError, match="`factor` must be"):
            CutMix(2.0)
    else:
        out = own({"images": IMAGES, "keypoints": np.ones((N, 1, 2))})
        assert _numpy(out["keypoints"]).shape == (N, 2, 2)
        with pytest.raises(ValueError, match="`alpha` must be"):
            MixUp(0.0)
