"""The operations of TrivialAugmentWide against Pillow's."""

import numpy as np
import pytest
from keras import ops
from PIL import Image, ImageEnhance, ImageOps

from keras_strategies.augmentation import TrivialAugmentWide
from keras_strategies.augmentation._image.color.trivial_augment_ops import (
    OPERATIONS,
    augment,
)

BINS = 31


def _photo():
    """Smooth in part, noisy in part, as photographs are."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:40, :48]
    image = np.stack([4 * y + x, 200 - 3 * x, 90 + 50 * np.sin(x / 5)], axis=-1)
    image[:, 30:] += rng.integers(-40, 40, (40, 18, 3))
    return np.clip(image, 5, 240).astype("uint8")


def _pillow(name, photo, strength, step, amount):
    image = Image.fromarray(photo)
    enhance = {
        "brightness": ImageEnhance.Brightness,
        "color": ImageEnhance.Color,
        "contrast": ImageEnhance.Contrast,
        "sharpness": ImageEnhance.Sharpness,
    }
    width, height = image.size
    shear = 0.99 * amount
    nearest = Image.Resampling.NEAREST
    if name in enhance:
        image = enhance[name](image).enhance(strength)
    elif name == "posterize":
        image = ImageOps.posterize(image, 8 - round(6 * step))
    elif name == "solarize":
        image = ImageOps.solarize(image, 255 * (1 - step))
    elif name == "auto_contrast":
        image = ImageOps.autocontrast(image)
    elif name == "equalize":
        image = ImageOps.equalize(image)
    elif name == "rotate":
        image = image.rotate(135 * amount, nearest)
    elif name.startswith("shear"):
        # Pillow reads at the middle of a pixel: half a row more than from its index.
        data = (1, shear, -shear / 2, 0, 1, 0)
        if name == "shear_y":
            data = (1, 0, 0, shear, 1, -shear / 2)
        image = image.transform((width, height), Image.Transform.AFFINE, data, nearest)
    return np.asarray(image).astype("float32")


def _all(bin_, sign, low=None, **changes):
    """Every operation of one strength on the photograph, as one batch."""
    count = len(OPERATIONS)
    uniform = np.zeros((count, 3), "float32")
    uniform[:, 0] = (np.arange(count) + 0.5) / count
    uniform[:, 1] = (bin_ + 0.5) / BINS
    uniform[:, 2] = 0.25 if sign < 0 else 0.75
    images = np.repeat(_photo()[None], count, axis=0).astype("float32")
    if low is not None:
        images = images / 127.5 + low
    settings = {"value_range": (0, 255), "interpolation": "nearest", "fill_value": 0.0}
    settings.update(changes)
    out = augment(images, uniform, BINS, **settings)
    return dict(zip(OPERATIONS, ops.convert_to_numpy(out), strict=True))


@pytest.mark.parametrize(("bin_", "sign"), [(30, 1), (13, -1), (0, 1)])
def test_each_operation_is_that_of_pillow(bin_, sign):
    got, photo = _all(bin_, sign), _photo()
    step = bin_ / (BINS - 1)
    amount = sign * step
    np.testing.assert_array_equal(got["identity"], photo)
    for name, image in got.items():
        if name.startswith("translate"):
            continue
        expected = _pillow(name, photo, 1 + 0.99 * amount, step, amount)
        # Pillow rounds to whole grey levels, in between too.
        apart = np.abs(image - expected) > 1.5
        assert apart.mean() < 0.02, f"{name}: {apart.mean():.3f} of the pixels"


def test_translation_is_up_to_32_pixels():
    photo = _photo()
    for sign in (1, -1):
        got = _all(30, sign)
        right = np.zeros_like(photo)
        down = np.zeros_like(photo)
        if sign > 0:
            right[:, 32:], down[32:] = photo[:, :-32], photo[:-32]
        else:
            right[:, :-32], down[:-32] = photo[:, 32:], photo[32:]
        np.testing.assert_allclose(got["translate_x"], right, atol=1e-3)
        np.testing.assert_allclose(got["translate_y"], down, atol=1e-3)


def test_every_image_has_its_own_operation():
    images = np.repeat(_photo()[None], 64, axis=0)
    out = ops.convert_to_numpy(TrivialAugmentWide(seed=0)(images))
    assert len({image.tobytes() for image in np.round(out)}) > 35
    assert out.min() >= 0 and out.max() <= 255


def test_masks_and_boxes_follow_the_geometry():
    photo = np.zeros((64, 40, 48, 3), "float32")
    photo[:, 15:25, 18:30] = 255
    data = {
        "images": photo,
        "segmentation_masks": (photo[..., 0] > 0).astype("uint8") * 3,
        "bounding_boxes": {
            "boxes": np.repeat([[[18.0, 15.0, 30.0, 25.0]]], 64, axis=0),
            "labels": np.ones((64, 1)),
        },
    }
    out = TrivialAugmentWide(seed=1, bounding_box_format="xyxy")(data)
    masks = ops.convert_to_numpy(out["segmentation_masks"])
    assert masks.dtype == np.uint8 and set(np.unique(masks)) == {0, 3}
    assert len({mask.tobytes() for mask in masks}) > 15
    boxes = ops.convert_to_numpy(out["bounding_boxes"]["boxes"])[:, 0]
    names = ops.convert_to_numpy(out["bounding_boxes"]["labels"])[:, 0]
    for mask, box, name in zip(masks, boxes, names, strict=True):
        rows, columns = np.nonzero(mask)
        if name > 0 and len(rows):
            seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert (box[:2] <= np.array(seen[:2]) + 0.6).all()
            assert (box[2:] >= np.array(seen[2:]) - 0.6).all()


@pytest.mark.parametrize("low", [0.0, -1.0])
def test_the_range_of_values_is_only_a_unit(low):
    """Values from `low` to `low + 2` give the pictures of 0 to 255."""
    got = _all(20, 1, low, value_range=(low, low + 2), fill_value=low)
    for name, image in _all(20, 1).items():
        apart = np.abs((got[name] - low) * 127.5 - image) > 1.5
        assert apart.mean() < 0.01, name
