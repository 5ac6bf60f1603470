"""Distortions, crops, noise, blur and compression against OpenCV and formulas."""

import cv2
import keras
import numpy as np
import pytest

from keras_strategies import augmentation
from keras_strategies.augmentation._image.geometry import distortions
from keras_strategies.augmentation._image.quality.blur_ops import kernels

GEOMETRIC = {
    "RandomOpticalDistortion": lambda **a: augmentation.RandomOpticalDistortion(
        0.3, **a
    ),
    "RandomGridDistortion": lambda **a: augmentation.RandomGridDistortion(4, 0.6, **a),
    "RandomBoxSafeCrop": augmentation.RandomBoxSafeCrop,
    "RandomAffine": lambda **a: augmentation.RandomAffine(
        0.1, 0.1, 0.1, zoom_height_factor=0.2, flip_mode="horizontal", **a
    ),
}
PIXELS = {
    "RandomGaussianNoise": augmentation.RandomGaussianNoise,
    "RandomISONoise": augmentation.RandomISONoise,
    "RandomMotionBlur": lambda value_range, **a: augmentation.RandomMotionBlur(**a),
    "RandomJPEGCompression": augmentation.RandomJPEGCompression,
}


# One of each kind; the others are like them.
QUICK = ("RandomGridDistortion", "RandomISONoise", "RandomBoxDropout")


def _numpy(x):
    return keras.ops.convert_to_numpy(x)


def _tensor(x):
    return keras.ops.convert_to_tensor(x, "float32")


def _photograph(count=4, height=48, width=40):
    rng = np.random.default_rng(0)
    images = rng.random((count, height, width, 3)) * 255
    images = [cv2.GaussianBlur(image, (0, 0), 2) for image in images]
    images = np.stack(images)
    images = (images - images.min()) / (images.max() - images.min())
    return np.rint(images * 255).astype("float32")


def _spot(height=60, width=80, count=6):
    """Bright squares around points, with their boxes, masks and keypoints."""
    rng = np.random.default_rng(1)
    points = rng.uniform([20, 15], [width - 20, height - 15], (count, 2))
    points = points.round().astype(int)
    images = np.zeros((count, height, width, 3), "float32")
    for image, (x, y) in zip(images, points, strict=True):
        image[y - 3 : y + 3, x - 3 : x + 3] = 1.0
    boxes = np.concatenate([points - 3, points + 3], axis=1)[:, None].astype("float32")
    return {
        "images": images,
        "segmentation_masks": images[..., :1] * 7,
        "bounding_boxes": {"boxes": boxes, "labels": np.ones((count, 1), "float32")},
        "keypoints": np.concatenate(
            [points[:, None], np.full((count, 1, 1), 2)], axis=2
        ).astype("float32"),
    }


@pytest.mark.parametrize("name", GEOMETRIC)
def test_everything_follows(name):
    layer = GEOMETRIC[name](bounding_box_format="xyxy", seed=3)
    data = _spot()
    moved = keras.tree.map_structure(_numpy, layer(data))
    assert np.abs(moved["images"] - data["images"]).max() > 0.1
    for i in range(6):
        rows, columns = np.nonzero(moved["images"][i, ..., 0] > 0.5)
        left, top, right, bottom = moved["bounding_boxes"]["boxes"][i, 0]
        # A box is the outline of what is bright, and a bit more where that is turned.
        slack = 4 if name == "RandomAffine" else 1.5
        for low, high, pixels in ((left, right, columns), (top, bottom, rows)):
            assert -0.8 < pixels.min() - low < slack
            assert -0.8 < high - (pixels.max() + 1) < slack
        x, y, visible = moved["keypoints"][i, 0]
        assert visible == 2
        assert x == pytest.approx(columns.mean() + 0.5, abs=1.2)
        assert y == pytest.approx(rows.mean() + 0.5, abs=1.2)
        masked = moved["segmentation_masks"][i, ..., 0]
        assert set(np.unique(masked)) == {0, 7}
        assert ((masked == 7) != (moved["images"][i, ..., 0] > 0.5)).sum() < 25
    # The caller's arrays are as they were.
    np.testing.assert_array_equal(data["images"], _spot()["images"])
    still = layer(data, training=False)
    np.testing.assert_array_equal(_numpy(still["keypoints"]), data["keypoints"])


def test_what_leaves_the_image_is_not_visible():
    layer = augmentation.RandomAffine(translation_width_factor=(0.9, 0.9))
    moved = keras.tree.map_structure(
        _numpy, layer({k: v for k, v in _spot().items() if k != "bounding_boxes"})
    )
    x = _spot()["keypoints"][..., 0]
    np.testing.assert_allclose(moved["keypoints"][..., 0], x + 72, rtol=1e-5)
    assert (moved["keypoints"][..., 2] == np.where(x + 72 < 80, 2, 0)).all()
    plain = layer(
        {"images": _spot()["images"], "keypoints": _spot()["keypoints"][..., :2]}
    )
    assert _numpy(plain["keypoints"]).shape == (6, 1, 2)
    single = layer(
        {"images": _spot()["images"][0], "keypoints": _spot()["keypoints"][0]}
    )
    assert _numpy(single["keypoints"]).shape == (1, 3)
    with pytest.raises(ValueError, match="cannot follow a mosaic"):
        augmentation.RandomMosaic()({k: _spot()[k] for k in ("images", "keypoints")})
    with pytest.raises(ValueError, match="`keypoints` must be"):
        layer({"images": _spot()["images"], "keypoints": np.ones((6, 4))})


@pytest.mark.parametrize("k", [-0.3, -0.1, 0.05, 0.3])
def test_lens_is_that_of_opencv(k):
    height, width = 40, 60
    camera = np.array([[width, 0, width / 2], [0, height, height / 2], [0, 0, 1.0]])
    maps = cv2.initUndistortRectifyMap(
        camera, np.array([k, k, 0, 0, 0]), None, camera, (width, height), cv2.CV_32FC1
    )
    y, x = np.mgrid[:height, :width].reshape(2, 1, -1).astype("float32")
    settings = _tensor(np.zeros((1, 1))), height, width, (k, k)
    source = distortions.lens_source(_tensor(x), _tensor(y), *settings)
    for got, expected in zip(source, maps, strict=True):
        np.testing.assert_allclose(_numpy(got)[0], expected.ravel(), atol=1e-3)
    back = [_numpy(p) for p in distortions.lens_target(*source, *settings)]
    np.testing.assert_allclose(back, [x, y], atol=0.02)


def test_grid_lines_are_where_the_cells_end():
    numbers = np.random.default_rng(0).random((5, 8)).astype("float32")
    ends = 1 + 0.5 * (2 * numbers - 1)
    x = np.tile(np.linspace(0, 60, 31, dtype="float32"), (5, 1))
    y = np.tile(np.linspace(0, 40, 31, dtype="float32"), (5, 1))
    settings = _tensor(numbers), 40, 60, 4, 0.5
    source = distortions.grid_source(_tensor(x), _tensor(y), *settings)
    for i in range(5):
        for axis, size, part in ((0, 60, ends[i, :4]), (1, 40, ends[i, 4:])):
            lines = np.concatenate([[0], np.cumsum(part) / part.sum() * size])
            even = np.linspace(0, size, 5)
            expected = np.interp((x, y)[axis][i], even, lines)
            np.testing.assert_allclose(_numpy(source[axis])[i], expected, atol=1e-3)
    back = [_numpy(p) for p in distortions.grid_target(*source, *settings)]
    np.testing.assert_allclose(back, [x, y], atol=1e-3)


def test_crops_keep_every_box():
    data = _spot(count=40)
    two = np.concatenate([data["bounding_boxes"]["boxes"]] * 2, axis=1)
    two[:, 1] += 5
    two[:20, 1] = 500  # no box
    labels = np.ones((40, 2), "float32")
    labels[:20, 1] = -1
    boxes = {"boxes": two, "labels": labels}
    layer = augmentation.RandomBoxSafeCrop(bounding_box_format="xyxy", seed=1)
    moved = layer({"images": data["images"], "bounding_boxes": boxes})
    got = keras.tree.map_structure(_numpy, moved["bounding_boxes"])
    kept = labels >= 0
    np.testing.assert_array_equal(got["labels"] >= 0, kept)
    sizes = (got["boxes"][..., 2:] - got["boxes"][..., :2])[kept]
    assert (sizes > 5.9).all() and sizes.max() > 9  # none is cut, all grow
    none = {"boxes": two, "labels": -labels * 0 - 1}
    cropped = _numpy(
        layer({"images": data["images"], "bounding_boxes": none})["images"]
    )
    assert cropped.shape == data["images"].shape and np.isfinite(cropped).all()
    whole = augmentation.RandomBoxSafeCrop(0.0, bounding_box_format="xyxy")
    same = whole({"images": data["images"], "bounding_boxes": boxes})["images"]
    np.testing.assert_allclose(_numpy(same), data["images"], atol=1e-4)
    for give in ({"images": data["images"]}, data["images"]):
        with pytest.raises(ValueError, match="needs boxes"):
            layer(give)
    with pytest.raises(ValueError, match="`bounding_box_format` must be given"):
        augmentation.RandomBoxSafeCrop()(
            {"images": data["images"], "bounding_boxes": boxes}
        )


def test_holes_are_in_the_boxes():
    images = np.ones((50, 40, 50, 3), "float32")
    boxes = np.tile(
        np.array([[[5, 5, 25, 35], [30, 10, 40, 20], [0, 0, 50, 40.0]]]), (50, 1, 1)
    )
    labels = np.tile([[0, 1, -1.0]], (50, 1))
    for data_format in ("channels_last", "channels_first"):
        layer = augmentation.RandomBoxDropout(
            0.5,
            0.5,
            0.7,
            9.0,
            seed=1,
            bounding_box_format="xyxy",
            data_format=data_format,
        )
        first = data_format == "channels_first"
        given = images.transpose(0, 3, 1, 2) if first else images
        out = _numpy(
            layer(
                {"images": given, "bounding_boxes": {"boxes": boxes, "labels": labels}}
            )["images"]
        )
        hole = (out.transpose(0, 2, 3, 1) if first else out)[..., 0] == 9.0
        large, small = hole[:, 5:35, 5:25], hole[:, 10:20, 30:40]
        assert hole.sum() == large.sum() + small.sum()
        for part, size in ((large, 150), (small, 25)):
            areas = part.sum(axis=(1, 2))
            assert set(areas) == {0, size}
            assert 0.5 < (areas > 0).mean() < 0.9
            assert part.any(axis=0).mean() > 0.8  # at any place in it


def test_noise_has_the_deviation():
    x = np.full((60, 32, 32, 3), 100.0, "float32")
    layer = augmentation.RandomGaussianNoise(0.1, seed=1)
    noise = _numpy(layer(x)) - x
    assert noise.std() == pytest.approx(25.5, rel=0.02)
    strength = _numpy(augmentation.RandomGaussianNoise((0, 0.2))(x)).std(axis=(1, 2, 3))
    assert strength.min() < 6 and 40 < strength.max() < 52
    ramp = np.broadcast_to(
        np.linspace(0.2, 0.8, 4, dtype="float32")[:, None, None, None], (4, 200, 200, 3)
    )
    iso = augmentation.RandomISONoise(0.004, 0.02, (0, 1), seed=1)
    got = (_numpy(iso(ramp)) - ramp).std(axis=(1, 2, 3))
    np.testing.assert_allclose(
        got, np.sqrt(0.004 * ramp[:, 0, 0, 0] + 0.0004), rtol=0.03
    )
    for black in (
        augmentation.RandomGaussianNoise(1.0),
        augmentation.RandomISONoise(1.0, 1.0),
    ):
        clipped = _numpy(black(x))
        assert clipped.min() == 0 and clipped.max() == 255


def test_motion_blurs_along_a_line():
    kernel = _numpy(
        kernels(
            np.array([5.0, 5.0, 1.0], "float32"),
            np.array([0, np.pi / 2, 1.0], "float32"),
            5,
        )
    )
    row = np.zeros((5, 5))
    row[2] = 0.2
    np.testing.assert_allclose(kernel[0], row, atol=1e-6)
    np.testing.assert_allclose(kernel[1], row.T, atol=1e-6)
    np.testing.assert_allclose(
        kernel[2], np.outer(np.eye(5)[2], np.eye(5)[2]), atol=1e-6
    )
    any_kernel = _numpy(
        kernels(np.full(9, 6.5, "float32"), np.linspace(0, 3, 9, dtype="float32"), 7)
    )
    np.testing.assert_allclose(any_kernel.sum(axis=(1, 2)), 1, atol=1e-5)
    np.testing.assert_allclose(any_kernel, any_kernel[:, ::-1, ::-1], atol=1e-5)
    images = _photograph()
    got = _numpy(augmentation.RandomMotionBlur(5, 0.0)(images))
    expected = [cv2.blur(i, (5, 1), borderType=cv2.BORDER_REPLICATE) for i in images]
    np.testing.assert_allclose(got, expected, atol=1e-2)


@pytest.mark.parametrize(
    ("quality", "channels"),
    [(30, 1), (80, 3), *(pytest.param(q, 3, marks=pytest.mark.slow) for q in (15, 95))],
)
def test_compression_is_that_of_a_file(quality, channels):
    images = _photograph(2, 50, 41)[..., :channels]
    got = _numpy(augmentation.RandomJPEGCompression(quality)(images))
    for image, compressed in zip(images, got, strict=True):
        source = image.astype("uint8")[..., ::-1]
        _, data = cv2.imencode(".jpg", source, [cv2.IMWRITE_JPEG_QUALITY, quality])
        read = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
        expected = read.reshape(50, 41, channels)[..., ::-1].astype("float32")
        loss = np.abs(expected - image).mean()
        # Colors are rounded in another order.
        limit = 0.3 if channels == 1 else 0.12 * loss + 0.7
        assert np.abs(compressed - expected).mean() < limit
    scaled = augmentation.RandomJPEGCompression(quality, value_range=(-1, 1))
    np.testing.assert_allclose(
        _numpy(scaled(images / 127.5 - 1)), got / 127.5 - 1, atol=0.02
    )


@pytest.mark.parametrize("name", PIXELS)
def test_pixels_change_and_labels_do_not(name):
    images = _photograph() / 255
    make = PIXELS[name]
    layer = make(value_range=(0, 1), seed=3)
    first = _numpy(layer(images))
    assert (np.abs(first - images).max(axis=(1, 2, 3)) > 1e-3).all()
    assert first.min() >= 0 and first.max() <= 1.0001
    assert not np.array_equal(_numpy(layer(images)), first)
    np.testing.assert_array_equal(
        _numpy(make(value_range=(0, 1), seed=3)(images)), first
    )
    np.testing.assert_array_equal(_numpy(layer(images, training=False)), images)
    assert _numpy(layer(images[0])).shape == images[0].shape
    turned = make(value_range=(0, 1), seed=3, data_format="channels_first")
    got = _numpy(turned(images.transpose(0, 3, 1, 2)))
    if "Noise" not in name:  # whose numbers have the order of the pixels
        np.testing.assert_allclose(got.transpose(0, 2, 3, 1), first, atol=1e-3)


@pytest.mark.parametrize(
    "name",
    [
        name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
        for name in [*GEOMETRIC, *PIXELS, "RandomBoxDropout"]
    ],
)
def test_in_tf_data_on_every_backend(name):
    import tensorflow as tf

    options = {"seed": 4, "bounding_box_format": "xyxy"}
    options.update({"value_range": (0, 1)} if name in PIXELS else {})
    make = {**GEOMETRIC, **PIXELS, "RandomBoxDropout": augmentation.RandomBoxDropout}[
        name
    ]
    if name == "RandomMotionBlur" or name in PIXELS:
        options.pop("bounding_box_format")
    data = {k: v for k, v in _spot().items() if k != "keypoints" or name in GEOMETRIC}
    if name in PIXELS:
        data = {"images": data["images"]}

    def epochs():
        dataset = tf.data.Dataset.from_tensor_slices(data).batch(3)
        dataset = dataset.map(make(**options), num_parallel_calls=2)
        rows = [list(dataset.as_numpy_iterator()) for _ in range(2)]
        return [np.concatenate([batch["images"] for batch in row]) for row in rows]

    first = epochs()
    assert first[0].shape == data["images"].shape and not np.array_equal(*first)
    np.testing.assert_array_equal(epochs(), first)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: augmentation.RandomOpticalDistortion(0.5), "`factor` must be"),
        (lambda: augmentation.RandomGridDistortion(1), "`cells` must be"),
        (lambda: augmentation.RandomGridDistortion(4, 1.0), "`factor` must be"),
        (lambda: augmentation.RandomGridDistortion(fill_mode="x"), "`fill_mode` must"),
        (lambda: augmentation.RandomBoxSafeCrop(margin=-1), "`margin` must be"),
        (lambda: augmentation.RandomBoxDropout(1.5), "`height_factor` must be"),
        (lambda: augmentation.RandomGaussianNoise(2.0), "`stddev` must be"),
        (lambda: augmentation.RandomISONoise(-1), "`gain` must be"),
        (lambda: augmentation.RandomMotionBlur(30), "`length` must be"),
        (lambda: augmentation.RandomJPEGCompression(0), "`quality` must be"),
        (lambda: augmentation.RandomJPEGCompression(value_range=(1, 0)), "increasing"),
    ],
)
def test_bad_input(make, text):
    with pytest.raises(ValueError, match=text):
        make()
