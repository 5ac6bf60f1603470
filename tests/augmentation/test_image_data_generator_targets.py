"""What moves with the images: masks, boxes, keypoints; and MixUp and CutMix."""

import keras
import numpy as np
import pytest

from keras_strategies.augmentation import ImageDataGenerator

MOVES = {
    "rotation_range": 30,
    "width_shift_range": 0.1,
    "height_shift_range": 0.1,
    "shear_range": 10.0,
    "zoom_range": 0.2,
    "horizontal_flip": True,
    "vertical_flip": True,
    "fill_mode": "constant",
}


def scenes(count=12, height=60, width=80):
    """Bright rectangles on black, with their mask, box and corners."""
    rng = np.random.default_rng(3)
    images = np.zeros((count, height, width, 3), "uint8")
    masks = np.zeros((count, height, width), "int32")
    boxes = np.zeros((count, 1, 4))
    for i in range(count):
        top, left = rng.integers(15, 25), rng.integers(20, 35)
        bottom, right = top + rng.integers(10, 20), left + rng.integers(10, 25)
        images[i, top:bottom, left:right] = 255
        masks[i, top:bottom, left:right] = 7 + i
        boxes[i, 0] = left, top, right, bottom
    left, top, right, bottom = np.moveaxis(boxes - 0.5, -1, 0)
    corners = [(left, top), (right, top), (left, bottom), (right, bottom)]
    points = np.stack([np.stack(pair, -1)[:, 0] for pair in corners], 1)
    return images, masks, boxes, points


def test_all_move_together():
    images, masks, boxes, points = scenes()
    generator = ImageDataGenerator(**MOVES)
    flow = generator.flow(
        images,
        np.arange(12),
        seed=1,
        masks=masks,
        boxes={"boxes": boxes, "labels": np.arange(12)[:, None]},
        keypoints=points,
    )
    moved, targets = next(flow)
    assert set(targets) == {"labels", "masks", "boxes", "keypoints"}
    for image, label, mask, box, name, corners in zip(
        moved,
        targets["labels"],
        targets["masks"],
        targets["boxes"]["boxes"],
        targets["boxes"]["labels"],
        targets["keypoints"],
        strict=True,
    ):
        assert name == label and mask.dtype == np.int32
        assert set(np.unique(mask)) == {0, 7 + label}
        # A mask and its picture differ in the half pixel that is blended.
        agreement = ((mask > 0) == (image[..., 0] > 127)).mean()
        assert agreement > 0.99
        rows, columns = np.nonzero(mask)
        found = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        np.testing.assert_allclose(box[0], found, atol=1.5)
        hull = [*corners.min(0) + 0.5, *corners.max(0) + 0.5]
        np.testing.assert_allclose(box[0], np.clip(hull, 0, (80, 60) * 2), atol=1e-3)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_masks_alone_are_the_targets(data_format):
    images, masks, _, _ = scenes()
    masks = np.stack([masks, masks * 2], -1).astype("uint8")
    if data_format == "channels_first":
        images, masks = (a.transpose(0, 3, 1, 2) for a in (images, masks))
    generator = ImageDataGenerator(**MOVES, data_format=data_format, threads=2)
    moved, found = next(generator.flow(images, masks=masks, seed=0, mask_cval=255))
    assert found.shape == masks.shape and found.dtype == np.uint8
    channel = -1 if data_format == "channels_last" else 1
    one, two = np.moveaxis(found, channel, 0)
    inside = one < 255
    np.testing.assert_array_equal(two[inside], 2 * one[inside])
    assert (~inside).any()
    grey = np.moveaxis(moved, channel, 0)[0]
    assert ((grey > 127) == (one % 255 > 0))[inside].mean() > 0.99


def test_without_moves_targets_stay():
    images, masks, boxes, points = scenes()
    generator = ImageDataGenerator(rescale=1 / 255)
    targets = {"masks": masks, "boxes": boxes, "keypoints": points}
    _, found = generator.flow(images, shuffle=False, **targets)[0]
    for name, target in targets.items():
        np.testing.assert_allclose(found[name], target, rtol=1e-6)


def test_boxes_are_cut_and_dropped():
    images = np.zeros((2, 20, 30, 1), "uint8")
    boxes = [[[0, 0, 10, 10], [16, 0, 30, 10]], [[28, 0, 30, 4]]]
    labels = [[3, 4], [5]]
    generator = ImageDataGenerator(width_shift_range=[8.0])

    def moved(**limits):
        flow = generator.flow(
            images, boxes={"boxes": boxes, "labels": labels}, shuffle=False, **limits
        )
        block = flow._draws(0, 0)[0].matrices
        block[:2] = [[[1, 0, -8], [0, 1, 0]]] * 2  # both to the right
        return flow[0][1]

    found = moved()
    np.testing.assert_array_equal(found["boxes"][0], [[8, 0, 18, 10], [24, 0, 30, 10]])
    np.testing.assert_array_equal(found["labels"], [[3, 4], [-1, -1]])
    np.testing.assert_array_equal(found["boxes"][1], -np.ones((2, 4)))
    assert moved(min_area=61)["labels"].tolist() == [[3, -1], [-1, -1]]
    assert moved(min_visibility=0.5)["labels"].tolist() == [[3, -1], [-1, -1]]


def test_keypoints_lose_their_visibility_outside():
    images = np.zeros((1, 20, 30, 1), "uint8")
    points = [[[5, 5, 2], [29, 19, 2], [3, 3, 0]]]
    generator = ImageDataGenerator(height_shift_range=[4])
    flow = generator.flow(images, keypoints=points)
    flow._draws(0, 0)[0].matrices[0] = [[1, 0, 0], [0, 1, -4]]
    found = flow[0][1]
    np.testing.assert_array_equal(found, [[[5, 9, 2], [29, 23, 0], [3, 7, 0]]])


def test_subsets_take_their_own_targets():
    images, masks, _, _ = scenes()
    generator = ImageDataGenerator(validation_split=0.25)
    for subset, part in (("validation", masks[:3]), ("training", masks[3:])):
        flow = generator.flow(images, masks=masks, subset=subset, shuffle=False)
        np.testing.assert_array_equal(flow[0][1], part)


def test_a_segmentation_model_trains_on_them():
    images, masks, _, _ = scenes(8, 16, 16)
    model = keras.Sequential(
        [keras.Input((16, 16, 3)), keras.layers.Conv2D(1, 3, padding="same")]
    )
    model.compile("sgd", keras.losses.BinaryCrossentropy(from_logits=True))
    generator = ImageDataGenerator(**MOVES, rescale=1 / 255)
    masks = (masks > 0)[..., None].astype("float32")
    history = model.fit(generator.flow(images, masks=masks, batch_size=4), verbose=0)
    assert np.isfinite(history.history["loss"]).all()


def mixing_batch(**settings):
    x = np.arange(1, 9, dtype="float32").reshape(8, 1, 1, 1) * np.ones((1, 10, 10, 1))
    y = np.eye(8, dtype="float32")
    return ImageDataGenerator(**settings).flow(
        x, y, sample_weight=np.arange(1.0, 9), seed=0, shuffle=False
    )


def test_mixup_blends_images_labels_and_weights():
    flow = mixing_batch(mixup=1.0)
    for _ in range(3):
        images, labels, weights = next(flow)
        assert images.dtype == labels.dtype == np.float32
        np.testing.assert_allclose(labels.sum(1), 1, rtol=1e-6)
        blended = labels @ np.arange(1, 9)
        expected = np.broadcast_to(blended[:, None, None, None], images.shape)
        np.testing.assert_allclose(images, expected, rtol=1e-5)
        np.testing.assert_allclose(weights, blended, rtol=1e-5)
    again = mixing_batch(mixup=1.0)
    np.testing.assert_array_equal(next(again)[0], mixing_batch(mixup=1.0)[0][0])


def test_cutmix_takes_rectangles_and_labels_by_their_area():
    flow = mixing_batch(cutmix=1.0)
    cut = 0
    for _ in range(6):
        images, labels, _ = next(flow)
        for i, (image, label) in enumerate(zip(images[..., 0], labels, strict=True)):
            for value in np.unique(image):
                share = (image == value).mean()
                np.testing.assert_allclose(label[int(value) - 1], share, atol=1e-6)
            other = np.argwhere(image != i + 1)
            if len(other):
                cut += 1
                sides = other.max(0) - other.min(0) + 1
                assert len(other) == sides.prod()
    assert cut > 10


def test_both_take_turns():
    flow, kinds = mixing_batch(mixup=1.0, cutmix=1.0), set()
    for _ in range(12):
        images = next(flow)[0]
        whole = np.allclose(images, images[:, :1, :1])
        kinds.add("mixup" if whole else "cutmix")
    assert kinds == {"mixup", "cutmix"}


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_cutmix_cuts_masks_too(data_format):
    images, masks, _, _ = scenes()
    masks = masks[..., None]
    if data_format == "channels_first":
        images, masks = (a.transpose(0, 3, 1, 2) for a in (images, masks))
    labels = np.eye(12, dtype="float32")
    generator = ImageDataGenerator(cutmix=1.0, data_format=data_format)
    flow = generator.flow(images, labels, masks=masks, seed=2)
    for _ in range(3):
        found, targets = next(flow)
        grey = found[..., 0] if data_format == "channels_last" else found[:, 0]
        mask = targets["masks"].reshape(grey.shape)
        np.testing.assert_array_equal(grey > 0, mask > 0)


@pytest.mark.parametrize(
    ("settings", "arguments", "words"),
    [
        ({"mixup": -1}, None, "mixup"),
        ({"mixup": 0.2}, {"y": np.arange(12)}, "needs labels of floats"),
        ({"cutmix": 1}, {}, "needs labels of floats"),
        ({"mixup": 0.2}, {"y": np.ones(12), "masks": 0}, "cannot mix masks"),
        ({"cutmix": 1}, {"y": np.ones(12), "boxes": 0}, "cannot mix boxes"),
        ({}, {"masks": np.zeros((12, 60, 81))}, "masks"),
        ({}, {"masks": np.full((12, 60, 80), 1 << 25)}, "below 2"),
        ({}, {"boxes": np.zeros((11, 1, 4))}, "same length"),
        ({}, {"boxes": [[[9, 9, 1, 10]]] * 12}, "right >= left"),
        ({}, {"boxes": {"boxes": [[[1, 1, 2, 2]]] * 12}}, "keys"),
        (
            {},
            {"boxes": {"boxes": [[[1, 1, 2, 2]]] * 12, "labels": [[1, 2]] * 12}},
            "one label a box",
        ),
        ({}, {"keypoints": np.zeros((12, 2))}, "keypoints"),
        ({}, {"boxes": 0, "min_visibility": 2}, "min_visibility"),
    ],
)
def test_bad_targets(settings, arguments, words):
    images, masks, boxes, _ = scenes()
    arguments = dict(arguments or {})
    for name, good in (("masks", masks), ("boxes", boxes)):
        if isinstance(arguments.get(name), int):
            arguments[name] = good
    with pytest.raises(ValueError, match=words):
        ImageDataGenerator(**settings).flow(images, **arguments)


def test_preview_of_arrays():
    images, *_ = scenes()
    generator = ImageDataGenerator(**MOVES, mixup=0.2)
    picture = generator.preview(images, n=4, seed=0)
    assert picture.shape == (122, 162, 3) and picture.dtype == np.uint8
    np.testing.assert_array_equal(picture, generator.preview(images, n=4, seed=0))
