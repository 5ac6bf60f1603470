"""`ImageDataGenerator` against Keras's own, and what Keras's does not have."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import keras
import numpy as np
import pytest
from keras.src.legacy.preprocessing import image as legacy

from keras_strategies.augmentation import ImageDataGenerator

# Keras's class reads SciPy under a name that SciPy deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning")

EVERYTHING = {
    "rotation_range": 25,
    "width_shift_range": 0.2,
    "height_shift_range": 0.1,
    "shear_range": 15.0,
    "zoom_range": [0.7, 1.2],
    "horizontal_flip": True,
    "vertical_flip": True,
}


def photograph(height, width, channels=3, seed=0):
    """Smooth noise over the whole range, as float32 of whole numbers."""
    noise = np.random.default_rng(seed).random((height, width, channels))
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.5).reshape(noise.shape)
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return np.rint(smooth * 255).astype("float32")


def both(**settings):
    return ImageDataGenerator(**settings), legacy.ImageDataGenerator(**settings)


@pytest.mark.parametrize("channels", [1, 2, 3, 6])
@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("fill_mode", ["nearest", "reflect", "constant"])
def test_transform_is_that_of_keras(fill_mode, order, channels):
    settings = {"fill_mode": fill_mode, "interpolation_order": order, "cval": 9}
    ours, keras_own = both(**EVERYTHING, **settings)
    image = photograph(48, 48, channels)
    for seed in range(4):
        # With one seed the parameters are those of Keras's defect.
        parameters = keras_own.get_random_transform(image.shape, seed)
        expected = keras_own.apply_transform(image, parameters)
        np.testing.assert_allclose(
            ours.apply_transform(image, parameters), expected, atol=0.02
        )
        if order < 2:
            whole = ours.apply_transform(image.astype("uint8"), parameters)
            assert whole.dtype == np.uint8
            assert np.abs(whole - expected).mean() < 0.3


def test_wrap_has_the_period_of_the_image():
    image = photograph(20, 30)
    generator = ImageDataGenerator(fill_mode="wrap")
    moved = generator.apply_transform(image, {"tx": 37, "ty": -24})
    np.testing.assert_array_equal(moved, np.roll(image, (24, -37), (0, 1)))


def test_images_that_are_not_square_turn_about_their_centre():
    image = np.zeros((21, 41, 1), "float32")
    image[10, 20] = 255
    turn = {"theta": 90}
    turned = ImageDataGenerator().apply_transform(image, turn)
    assert np.unravel_index(turned.argmax(), turned.shape) == (10, 20, 0)
    ours = ImageDataGenerator(keras_compatible=True).apply_transform(image, turn)
    keras_own = legacy.ImageDataGenerator().apply_transform(image, turn)
    np.testing.assert_allclose(ours, keras_own, atol=0.02)
    assert np.abs(ours - turned).max() > 100


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_compatible_means_all_of_keras(data_format):
    settings = {**EVERYTHING, "data_format": data_format, "channel_shift_range": 30}
    if data_format == "channels_last":  # Keras's brightness takes no other
        settings["brightness_range"] = (0.5, 1.5)
    ours = ImageDataGenerator(**settings, keras_compatible=True)
    keras_own = legacy.ImageDataGenerator(**settings)
    image = photograph(30, 44)
    if data_format == "channels_first":
        image = image.transpose(2, 0, 1)
    for seed in range(6):
        drawn = ours.get_random_transform(image.shape, seed)
        assert drawn == keras_own.get_random_transform(image.shape, seed)
        expected = keras_own.random_transform(image, seed)
        # One level where a value is rounded down from either side.
        found = ours.random_transform(image, seed)
        assert np.abs(found - expected).max() <= 2
        assert np.abs(found - expected).mean() < 0.05


def test_height_shift_moves_up_and_down():
    generator = ImageDataGenerator(height_shift_range=[3], fill_mode="constant")
    image = photograph(16, 16)
    drawn = generator.get_random_transform(image.shape, seed=0)
    assert drawn["tx"] == 0 and abs(drawn["ty"]) == 3
    drawn["ty"] = 3
    moved = generator.apply_transform(image, drawn)
    np.testing.assert_array_equal(moved[:13], image[3:])
    batch = generator.flow(image[None].astype("uint8"), seed=1).next()
    expected = [np.roll(image, 3, 0), np.roll(image, -3, 0)]
    expected[0][:3] = expected[1][-3:] = 0
    assert any(np.array_equal(batch[0], e) for e in expected)


@pytest.mark.parametrize("shift", [0.25, 2.5, 3, [0.1, 0.3], [2, 5], (1, 4)])
def test_shift_ranges_draw_what_keras_draws(shift):
    generator = ImageDataGenerator(width_shift_range=shift)
    ours = [generator.get_random_transform((20, 40, 3), s)["tx"] for s in range(50)]
    keras_own = legacy.ImageDataGenerator(width_shift_range=shift)
    theirs = [keras_own.get_random_transform((20, 40, 3), s)["ty"] for s in range(50)]
    assert ours == theirs
    # The batches draw the same values or the same interval.
    maps = generator.flow(np.zeros((4, 20, 40, 3), "uint8"), seed=0)._draws(0, 0)[0]
    drawn = maps.matrices[:, 0, 2]
    if isinstance(shift, float):
        bound = shift * 40 if shift < 1 else shift
        assert 0.9 * bound < np.abs(drawn).max() <= bound
        assert abs(drawn.mean()) < 0.1 * bound
    else:
        assert {round(v, 6) for v in drawn} == {round(float(v), 6) for v in ours}


def test_flow_gives_the_transforms_of_its_draws():
    """The batch engine and `apply_transform` agree, photometric operations too."""
    settings = {**EVERYTHING, "channel_shift_range": 40, "brightness_range": (0.4, 2)}
    images = np.stack([photograph(50, 60, seed=s) for s in range(5)])
    generator = ImageDataGenerator(**settings, threads=2)
    for x in (images, images.astype("uint8")):
        flow = generator.flow(x, shuffle=False, seed=3, batch_size=5)
        batch, draws = flow[0], flow._draws(0, 0)[0]
        assert batch.dtype == np.float32
        for i, image in enumerate(batch):
            warped = cv2.warpAffine(
                x[i],
                draws.matrices[i],
                (60, 50),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            ).astype("float32")
            low, high = warped.min(), warped.max()
            shifted = np.clip(warped + draws.channel_shift[i], low, high)
            expected = np.clip(shifted * draws.brightness[i], 0, 255)
            # Half a level may be rounded either way, and is then brightened.
            assert np.abs(image - expected).max() < 2.01
            assert np.abs(image - expected).mean() < 0.01


@pytest.mark.parametrize(
    ("image", "factor", "expected"),
    [
        ([0.2, 0.4, 0.8], 1.5, [0.3, 0.6, 1.0]),
        ([20, 100, 200], 1.5, [30, 150, 255]),
        ([-1, 0, 1], 0.5, [-1, -0.5, 0]),
        ([-1, 0, 3], 1.5, [-1, 0.5, 3]),
    ],
)
def test_brightness_knows_the_range(image, factor, expected):
    x = np.asarray(image, "float32").reshape(1, 3, 1)
    done = ImageDataGenerator().apply_transform(x, {"brightness": factor})
    np.testing.assert_allclose(done.ravel(), expected, atol=1e-5)


def _quiet(make, **settings):
    with pytest.warns(UserWarning, match="overrides"):
        return make(**settings)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_statistics_and_normalization_are_those_of_keras(data_format):
    x = np.stack([photograph(6, 6, seed=s) for s in range(40)])
    x = x.transpose(0, 3, 1, 2) if data_format == "channels_first" else x
    base = {"data_format": data_format, "rescale": 1 / 255}
    names = ("mean", "std", "zca_whitening_matrix")
    options = [
        {"featurewise_center": True, "featurewise_std_normalization": True},
        {"samplewise_center": True, "samplewise_std_normalization": True},
        {"featurewise_center": True, "zca_whitening": True, "zca_epsilon": 1e-2},
        {"preprocessing_function": np.sqrt, "featurewise_center": True},
    ]
    for option in options:
        ours, keras_own = both(**base, **option)
        ours.fit(x.astype("uint8"))
        keras_own.fit(x)
        for name in names:
            found, expected = getattr(ours, name), getattr(keras_own, name)
            if expected is None:
                assert found is None
            else:
                size = max(1, np.abs(expected).max())
                np.testing.assert_allclose(found, expected, atol=1e-4 * size)
        flows = [g.flow(x, shuffle=False, batch_size=7) for g in (ours, keras_own)]
        np.testing.assert_allclose(flows[0][1], flows[1][1], atol=2e-3)
        one = [g.standardize(x[0].copy()) for g in (ours, keras_own)]
        np.testing.assert_allclose(*one, atol=2e-3)


def test_normalization_says_what_it_overrides_and_lacks():
    generator = _quiet(ImageDataGenerator, featurewise_std_normalization=True)
    assert generator.featurewise_center
    generator = _quiet(ImageDataGenerator, samplewise_std_normalization=True)
    assert generator.samplewise_center
    with pytest.warns(UserWarning) as caught:
        generator = ImageDataGenerator(
            zca_whitening=True, featurewise_std_normalization=True
        )
    assert len(caught) == 2 and not generator.featurewise_std_normalization
    generator = ImageDataGenerator(featurewise_center=True)
    with pytest.warns(UserWarning, match="hasn't been fit"):
        next(generator.flow(np.zeros((2, 4, 4, 3), "uint8")))


def test_fit_on_augmented_images():
    x = np.stack([photograph(8, 8, seed=s) for s in range(6)])
    generator = ImageDataGenerator(
        featurewise_center=True, width_shift_range=[8], fill_mode="constant", cval=50
    )
    generator.fit(x, augment=True, rounds=2, seed=0)
    np.testing.assert_allclose(generator.mean, 50)
    generator.fit(x)
    np.testing.assert_allclose(generator.mean.ravel(), x.mean((0, 1, 2)), rtol=1e-5)


def test_order_and_labels_are_those_of_keras():
    x = np.arange(10, dtype="float32").reshape(10, 1, 1, 1) * np.ones((1, 2, 2, 1))
    y, weight = np.arange(10) * 10, np.arange(10) / 10
    other = np.arange(10) + 100
    ours, keras_own = both(validation_split=0.3)
    for settings in (
        {"shuffle": False},
        {"seed": 4},
        {"seed": 4, "subset": "training", "ignore_class_split": True},
        {"shuffle": False, "subset": "validation", "ignore_class_split": True},
    ):
        flows = [
            g.flow(
                (x, [other, other]), y, sample_weight=weight, batch_size=4, **settings
            )
            for g in (ours, keras_own)
        ]
        assert len(flows[0]) == len(flows[1])
        for _ in range(2 * len(flows[0])):
            found, expected = (next(flow) for flow in flows)
            assert len(found) == len(expected) == 3
            np.testing.assert_array_equal(found[0][0], expected[0][0])
            np.testing.assert_array_equal(found[0][2], expected[0][2])
            np.testing.assert_array_equal(found[1], expected[1])
            # Keras gives later subsets the weights of the first samples.
            np.testing.assert_array_equal(found[2], found[1] / 100)


def test_batches_depend_on_seed_epoch_and_number_alone():
    x = np.stack([photograph(12, 12, seed=s) for s in range(10)]).astype("uint8")
    generator = ImageDataGenerator(**EVERYTHING)

    def epochs(flow, numbers=(0, 1, 2)):
        found = {}
        for epoch in range(2):
            for number in numbers:
                found[epoch, number] = flow[number]
            flow.on_epoch_end()
        return found

    first = epochs(generator.flow(x, seed=5, batch_size=4))
    backwards = epochs(generator.flow(x, seed=5, batch_size=4), (2, 0, 1))
    for key, batch in first.items():
        np.testing.assert_array_equal(batch, backwards[key])
    assert not np.array_equal(first[0, 0], first[1, 0])
    assert not np.array_equal(first[0, 0], generator.flow(x, seed=6, batch_size=4)[0])
    flow = generator.flow(x, seed=5, batch_size=4)
    for key in first:  # plain iteration goes through the same epochs
        np.testing.assert_array_equal(next(flow), first[key])
    flow.reset()
    slices = ImageDataGenerator(**EVERYTHING, threads=3)
    np.testing.assert_array_equal(slices.flow(x, seed=5, batch_size=4)[1], first[0, 1])
    keras.utils.set_random_seed(1)
    unseeded = generator.flow(x)[0]
    keras.utils.set_random_seed(1)
    np.testing.assert_array_equal(unseeded, generator.flow(x)[0])


def test_probability_leaves_the_other_images_alone():
    x = np.stack([photograph(12, 12, seed=s) for s in range(200)]).astype("uint8")
    generator = ImageDataGenerator(
        **EVERYTHING, brightness_range=(0.2, 0.3), probability=0.5
    )
    batch = next(generator.flow(x, seed=0, shuffle=False, batch_size=200))
    same = (batch == x).all((1, 2, 3))
    assert 60 < same.sum() < 140


def test_any_number_of_workers_sees_the_same_batches():
    x = np.stack([photograph(8, 8, seed=s) for s in range(24)]).astype("uint8")
    y = np.arange(24) % 2
    generator = ImageDataGenerator(**EVERYTHING, rescale=1 / 255)
    plain = [generator.flow(x, y, batch_size=3, seed=2)[i] for i in range(8)]
    flow = generator.flow(x, y, batch_size=3, seed=2)
    with ThreadPoolExecutor(4) as pool:
        made = pool.map(flow.__getitem__, range(8))
        for expected, found in zip(plain, made, strict=True):
            np.testing.assert_array_equal(found[0], expected[0])
            np.testing.assert_array_equal(found[1], expected[1])
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    batches = generator.flow(x, y, batch_size=8, seed=2, workers=3)
    history = model.fit(batches, epochs=2, validation_data=batches, verbose=0)
    assert np.isfinite(history.history["val_loss"]).all()


@pytest.mark.tensorflow
def test_steps_per_epoch_go_on_from_epoch_to_epoch(monkeypatch):
    """As in Keras 2: no epoch is cut short, no batch is left out."""
    flow = ImageDataGenerator().flow(np.ones((10, 4, 4, 1)), np.ones(10), batch_size=4)
    compute, seen = flow._compute, []
    monkeypatch.setattr(
        flow, "_compute", lambda *key: seen.append(key) or compute(*key)
    )
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    history = model.fit(flow, steps_per_epoch=10 // 4, epochs=4, verbose=0)
    assert int(model.optimizer.iterations) == 8 and len(history.history["mae"]) == 4
    order = [divmod(step, 3) for step in range(8)]
    assert [key for key in dict.fromkeys(seen) if key in order] == order
    seen.clear()
    model.fit(flow, epochs=1, verbose=0)
    epoch, _ = max(seen)  # one that has not begun yet, whole; Keras looks ahead before
    assert epoch > 2 and sorted(seen[-3:]) == [(epoch, 0), (epoch, 1), (epoch, 2)]


def test_as_dataset_goes_through_the_epochs():
    x = np.stack([photograph(8, 8, seed=s) for s in range(10)]).astype("uint8")
    generator = ImageDataGenerator(**EVERYTHING)
    flow = generator.flow(x, np.arange(10), batch_size=4, seed=1)
    dataset = flow.as_dataset()
    assert dataset.cardinality().numpy() == 3
    plain = generator.flow(x, np.arange(10), batch_size=4, seed=1)
    for _ in range(2):
        for images, labels in dataset.as_numpy_iterator():
            expected = next(plain)
            np.testing.assert_array_equal(images, expected[0])
            np.testing.assert_array_equal(labels, expected[1])


def test_pictures(tmp_path):
    x = np.stack([photograph(10, 12, seed=s) for s in range(5)]).astype("uint8")
    flow = ImageDataGenerator().flow(x, shuffle=False, batch_size=5)
    picture = flow.preview(5, columns=3)
    assert picture.shape == (22, 40, 3) and picture.dtype == np.uint8
    np.testing.assert_array_equal(picture[12:, 14:26], x[4])
    flow = ImageDataGenerator(rescale=1 / 255).flow(
        x, shuffle=False, save_to_dir=str(tmp_path), save_prefix="a", seed=0
    )
    next(flow)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 5 and files[0].name.startswith("a_0_")
    saved = keras.utils.img_to_array(keras.utils.load_img(files[2]))
    assert np.abs(saved - x[2]).max() <= 1.5
    with pytest.raises(FileNotFoundError, match="existing directory"):
        ImageDataGenerator().flow(x, save_to_dir=str(tmp_path / "none"))


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_type_of_the_batches(dtype):
    x = np.stack([photograph(10, 12, seed=s) for s in range(3)])
    settings = {"rotation_range": 9, "rescale": 1 / 255}
    exact = ImageDataGenerator(**settings).flow(x, seed=0)[0]
    found = ImageDataGenerator(**settings, dtype=dtype).flow(x, seed=0)[0]
    assert found.dtype == dtype
    np.testing.assert_allclose(found, exact, atol=1e-3)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"zoom_range": -0.1}, ValueError, "zoom_range"),
        ({"zoom_range": (0.5, 1, 2)}, ValueError, "two floats"),
        ({"zoom_range": (1.2, 0.8)}, ValueError, "lower, upper"),
        ({"rotation_range": -5}, ValueError, "rotation_range"),
        ({"rotation_range": "5"}, TypeError, "rotation_range"),
        ({"width_shift_range": [-1, 1]}, ValueError, "width_shift_range"),
        ({"brightness_range": 0.5}, ValueError, "two floats"),
        ({"fill_mode": "mirror"}, ValueError, "fill_mode"),
        ({"data_format": "channels"}, ValueError, "data_format"),
        ({"validation_split": 1.5}, ValueError, "validation_split"),
        ({"interpolation_order": 6}, ValueError, "interpolation_order"),
        ({"probability": 2}, ValueError, "probability"),
        ({"threads": 0}, ValueError, "threads"),
        ({"preprocessing_function": 3}, TypeError, "callable"),
    ],
)
def test_bad_settings(settings, error, words):
    with pytest.raises(error, match=words):
        ImageDataGenerator(**settings)


def test_bad_data():
    generator = ImageDataGenerator(validation_split=0.5)
    x = np.zeros((4, 6, 6, 3), "uint8")
    with pytest.raises(ValueError, match="rank 4"):
        generator.flow(x[0])
    with pytest.raises(ValueError, match="rank 4"):
        generator.fit(x[0])
    with pytest.raises(ValueError, match="same length"):
        generator.flow(x, [1, 2])
    with pytest.raises(ValueError, match="same length"):
        generator.flow((x, np.zeros(3)))
    with pytest.raises(ValueError, match="same length"):
        generator.flow(x, sample_weight=[1])
    with pytest.raises(ValueError, match="Invalid subset"):
        generator.flow(x, subset="test")
    with pytest.raises(ValueError, match="different number of classes"):
        generator.flow(x, [0, 0, 1, 1], subset="training")
    with pytest.raises(ValueError, match="batch_size"):
        generator.flow(x, batch_size=0)
    with pytest.raises(ValueError, match="Asked to retrieve element 1"):
        generator.flow(x)[1]
    with pytest.raises(ValueError, match="2D images"):
        generator.apply_transform(x, {})
    with pytest.warns(UserWarning, match="channels on axis 3"):
        generator.flow(x.transpose(0, 3, 1, 2))
