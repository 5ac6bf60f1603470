"""The pure functions against SciPy, NumPy and Keras's own layers."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from scipy import ndimage

from keras_strategies.augmentation._common import affine_maps as affine

SCIPY_MODES = {
    "constant": "grid-constant",
    "nearest": "nearest",
    "reflect": "reflect",
    "wrap": "grid-wrap",
}
HEIGHT, WIDTH = 7, 10
NEUTRAL = dict(zip(affine.PARAMETERS, [0, 0, 0, 0, 0, 1, 1, 1, 1], strict=True))


def _numpy(x):
    return ops.convert_to_numpy(x)


def _images(batch=6, channels=2):
    rng = np.random.default_rng(0)
    shape = (batch, HEIGHT, WIDTH, channels)
    return rng.uniform(0, 255, shape).astype("float32")


def _parameters(batch=6, **columns):
    values = {**NEUTRAL, **columns}
    rows = [np.broadcast_to(values[name], batch) for name in affine.PARAMETERS]
    return ops.array(np.stack(rows, axis=1).astype("float32"))


def _warped(images, parameters, **options):
    maps = affine.affine_maps(parameters, HEIGHT, WIDTH)
    return _numpy(affine.warp(ops.array(images), maps, **options))


def _matrices(maps):
    rows = np.stack([_numpy(m) for m in maps], axis=1).astype("float64")
    last = np.broadcast_to([[[0.0, 0.0, 1.0]]], (len(rows), 1, 3))
    return np.concatenate([rows.reshape(-1, 2, 3), last], axis=1)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("fill_mode", SCIPY_MODES)
def test_warp_reads_what_scipy_reads(fill_mode, interpolation):
    images = _images()
    rng = np.random.default_rng(1)
    # From mild maps to ones that read five images away.
    maps = rng.normal(0, 0.7, (6, 6)).astype("float32") + [1, 0, 0, 0, 1, 0]
    maps[:, [2, 5]] *= np.array([[1], [1], [5], [5], [25], [25]])
    maps = maps.astype("float32")
    got = affine.warp(
        ops.array(images),
        tuple(ops.array(column) for column in maps.T),
        interpolation=interpolation,
        fill_mode=fill_mode,
        fill_value=30.0,
    )
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype("float32")
    for image, out, m in zip(images, _numpy(got), maps, strict=True):
        places = [m[3] * x + m[4] * y + m[5], m[0] * x + m[1] * y + m[2]]
        for channel in range(image.shape[-1]):
            expected = ndimage.map_coordinates(
                image[..., channel],
                places,
                order=int(interpolation == "bilinear"),
                mode=SCIPY_MODES[fill_mode],
                cval=30.0,
            )
            np.testing.assert_allclose(out[..., channel], expected, atol=0.05)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float16", "float32"])
@pytest.mark.parametrize("fill_mode", SCIPY_MODES)
def test_neutral_parameters_change_nothing_in_any_dtype(fill_mode, dtype):
    images = _images().astype(dtype)
    for interpolation in ("nearest", "bilinear"):
        got = _warped(
            images, _parameters(), fill_mode=fill_mode, interpolation=interpolation
        )
        assert got.dtype == dtype
        np.testing.assert_array_equal(got, images)


def _rotation(x):
    layer = keras.layers.RandomRotation((-0.3, 0.4), fill_mode="nearest", seed=1)
    drawn = layer.get_random_transformation(x)
    return layer, drawn, {"angle": np.deg2rad(_numpy(drawn["angle"]))}


def _translation(x):
    layer = keras.layers.RandomTranslation(0.3, 0.4, fill_mode="nearest", seed=1)
    drawn = layer.get_random_transformation(x)
    right, down = _numpy(drawn["translations"]).T
    return layer, drawn, {"width_shift": right / WIDTH, "height_shift": down / HEIGHT}


def _shear(x):
    layer = keras.layers.RandomShear(0.3, 0.2, fill_mode="nearest", seed=1)
    drawn = layer.get_random_transformation(x)
    shear_x, shear_y = _numpy(drawn["shear_factor"]).T
    return layer, drawn, {"shear_x": shear_x, "shear_y": shear_y}


def _zoom(x):
    layer = keras.layers.RandomZoom(0.4, 0.3, fill_mode="nearest", seed=1)
    drawn = layer.get_random_transformation(x)
    zooms = {k: _numpy(drawn[k])[:, 0] for k in ("height_zoom", "width_zoom")}
    return layer, drawn, zooms


def _flip(mode):
    def make(x):
        layer = keras.layers.RandomFlip(mode, seed=1)
        drawn = layer.get_random_transformation(x)
        sign = np.where(_numpy(drawn["flips"])[:, 0, 0, 0], -1, 1)
        return layer, drawn, {f"{mode}_flip": sign}

    return make


@pytest.mark.parametrize(
    "make",
    [_rotation, _translation, _shear, _zoom, _flip("horizontal"), _flip("vertical")],
    ids=["rotation", "translation", "shear", "zoom", "horizontal", "vertical"],
)
def test_each_operation_alone_is_the_one_of_keras(make):
    images = _images()
    layer, drawn, columns = make(ops.array(images))
    expected = _numpy(layer.transform_images(ops.array(images), drawn))
    got = _warped(images, _parameters(**columns), fill_mode="nearest")
    assert np.abs(expected - images).max() > 5  # it did something
    np.testing.assert_allclose(got, expected, atol=0.02)


_fraction = st.floats(-0.5, 0.5)


@settings(max_examples=20, deadline=None)
@given(st.tuples(*[_fraction] * 7), st.sampled_from([-1, 1]), st.sampled_from([-1, 1]))
def test_all_operations_are_the_product_in_the_order_of_the_stack(
    values, flip_x, flip_y
):
    angle, down, right, shear_x, shear_y, zoom_y, zoom_x = values
    zoom_x, zoom_y = 1 + zoom_x, 1 + zoom_y
    got = _matrices(
        affine.affine_maps(
            _parameters(
                1,
                angle=angle,
                height_shift=down,
                width_shift=right,
                shear_x=shear_x,
                shear_y=shear_y,
                height_zoom=zoom_y,
                width_zoom=zoom_x,
                horizontal_flip=flip_x,
                vertical_flip=flip_y,
            ),
            HEIGHT,
            WIDTH,
        )
    )[0]
    centre = np.array([[1, 0, (WIDTH - 1) / 2], [0, 1, (HEIGHT - 1) / 2], [0, 0, 1]])
    around = lambda m: centre @ m @ np.linalg.inv(centre)  # noqa: E731
    cos, sin = np.cos(angle), np.sin(angle)
    expected = (
        around(np.diag([flip_x, flip_y, 1]))
        @ around(np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]))
        @ np.array([[1, 0, -right * WIDTH], [0, 1, -down * HEIGHT], [0, 0, 1]])
        @ np.array([[1, shear_x, 0], [shear_y, 1, 0], [0, 0, 1]])
        @ around(np.diag([zoom_x, zoom_y, 1]))
    )
    np.testing.assert_allclose(got, expected, atol=2e-4)


def test_inverse_maps_go_back():
    columns = {"angle": 0.4, "shear_x": 0.2, "height_zoom": 1.5, "width_shift": 0.3}
    maps = affine.affine_maps(_parameters(1, **columns), HEIGHT, WIDTH)
    back = _matrices(affine.invert_maps(maps))
    np.testing.assert_allclose(_matrices(maps) @ back, [np.eye(3)], atol=1e-4)


def _draw(n=4000, **options):
    settings = {
        "rotation": (-0.1, 0.25),
        "shift": ((-0.2, 0.1), (0.0, 0.3)),
        "shear": ((0.1, 0.2), (0.3, 0.4)),
        "zoom": ((-0.5, 0.0), (0.0, 0.5)),
        "flip_mode": None,
        "lock_zoom": False,
    }
    uniform = np.random.default_rng(0).uniform(size=(n, 10)).astype("float32")
    drawn = affine.draw_parameters(ops.array(uniform), **{**settings, **options})
    return dict(zip(affine.PARAMETERS, _numpy(drawn).T, strict=True))


@pytest.mark.parametrize(
    ("name", "lower", "upper"),
    [
        ("angle", -0.2 * np.pi, 0.5 * np.pi),
        ("height_shift", -0.2, 0.1),
        ("width_shift", 0.0, 0.3),
        ("height_zoom", 0.5, 1.0),
        ("width_zoom", 1.0, 1.5),
    ],
)
def test_draws_are_uniform_in_their_range(name, lower, upper):
    values = (_draw()[name] - lower) / (upper - lower)
    assert -1e-5 <= values.min() < 0.01
    assert 0.99 < values.max() <= 1 + 1e-5
    assert np.median(values) == pytest.approx(0.5, abs=0.04)


def test_both_shears_have_their_size_and_one_common_sign():
    drawn = _draw()
    x, y = drawn["shear_x"], drawn["shear_y"]
    assert np.abs(x).min() >= 0.1 and np.abs(x).max() <= 0.2 + 1e-6
    assert np.abs(y).min() + 1e-6 >= 0.3 and np.abs(y).max() <= 0.4 + 1e-6
    np.testing.assert_array_equal(np.sign(x), np.sign(y))
    assert (x > 0).mean() == pytest.approx(0.5, abs=0.04)


def test_flips_are_fair_and_independent():
    both = _draw(flip_mode="horizontal_and_vertical")
    x, y = both["horizontal_flip"], both["vertical_flip"]
    for flips in (x, y, x * y):
        assert set(flips) == {-1.0, 1.0}
        assert flips.mean() == pytest.approx(0.0, abs=0.06)
    assert set(_draw(flip_mode="horizontal")["vertical_flip"]) == {1.0}
    assert set(_draw()["horizontal_flip"]) == {1.0}


def test_locked_zoom_keeps_the_aspect_ratio():
    drawn = _draw(lock_zoom=True)
    np.testing.assert_array_equal(drawn["height_zoom"], drawn["width_zoom"])
