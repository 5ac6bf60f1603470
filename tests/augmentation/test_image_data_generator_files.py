"""`flow_from_directory` and `flow_from_dataframe` against Keras's own."""

import itertools
import warnings

import cv2
import keras
import numpy as np
import pytest
from keras.src.legacy.preprocessing import image as legacy

from keras_strategies.augmentation import ImageDataGenerator
from keras_strategies.augmentation._generator.reading import Reader, jpeg_layout

# Keras's class reads SciPy under a name that SciPy deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning")


def photograph(height, width, seed=0):
    noise = np.random.default_rng(seed).random((height, width, 3))
    smooth = cv2.GaussianBlur(noise, (0, 0), 2)
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return np.rint(smooth * 255).astype("uint8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three classes with pictures of several sizes and formats."""
    root = tmp_path_factory.mktemp("pictures")
    forms = itertools.cycle(["png", "jpg", "bmp", "JPEG", "ppm"])
    for label, name in enumerate(("cat", "dog", "owl")):
        (root / name / "more").mkdir(parents=True)
        for i in range(4 + label):
            picture = photograph(30 + 7 * i, 40 + 5 * label, seed=10 * label + i)
            place = root / name / ("more" if i == 2 else ".")
            cv2.imwrite(str(place / f"{i}.{next(forms)}"), picture)
        (root / name / "notes.txt").write_text("no picture")
    return root


@pytest.fixture
def quiet():
    keras.config.disable_interactive_logging()
    yield
    keras.config.enable_interactive_logging()


def same(found, expected):
    found, expected = (keras.tree.flatten(batch) for batch in (found, expected))
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape and one.dtype == other.dtype
        # Grey values of two decoders may round apart.
        np.testing.assert_allclose(one, other, atol=1.01)


def both(method, source, generator=None, **settings):
    flows = []
    for module in (ImageDataGenerator, legacy.ImageDataGenerator):
        flow = getattr(module(**(generator or {})), method)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            flows.append(flow(source(module), **settings))
    return flows


@pytest.mark.parametrize(
    "settings",
    [
        {"shuffle": False},
        {"seed": 3, "class_mode": "sparse"},
        {"class_mode": None, "color_mode": "grayscale", "shuffle": False},
        {"class_mode": "input", "color_mode": "rgba", "seed": 1},
        {"class_mode": "binary", "classes": ["owl", "cat"], "shuffle": False},
        {"subset": "training", "shuffle": False},
        {"subset": "validation", "seed": 0},
        {"keep_aspect_ratio": True, "shuffle": False},
    ],
)
def test_directory_is_read_as_keras_reads_it(folder, quiet, settings):
    ours, keras_own = both(
        "flow_from_directory",
        lambda _: str(folder),
        {"validation_split": 0.3, "rescale": 0.5},
        target_size=(24, 36),
        batch_size=4,
        **settings,
    )
    for name in ("filenames", "filepaths", "class_indices", "num_classes"):
        assert getattr(ours, name) == getattr(keras_own, name)
    for name in ("samples", "image_shape", "target_size", "class_mode"):
        assert getattr(ours, name) == getattr(keras_own, name)
    np.testing.assert_array_equal(ours.classes, keras_own.classes)
    np.testing.assert_array_equal(ours.labels, keras_own.labels)
    assert len(ours) == len(keras_own)
    for _ in range(len(ours) + 1):
        same(next(ours), next(keras_own))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "box", "lanczos"])
def test_other_interpolations_are_close_to_pillow(folder, quiet, interpolation):
    ours, keras_own = both(
        "flow_from_directory",
        lambda _: folder,
        target_size=(20, 20),
        interpolation=interpolation,
        shuffle=False,
        class_mode=None,
    )
    assert np.abs(next(ours) - next(keras_own)).mean() < 4


def test_large_jpegs_are_shrunk_while_they_are_decoded(tmp_path):
    picture = cv2.GaussianBlur(photograph(640, 480), (0, 0), 6)
    path = str(tmp_path / "large.jpg")
    cv2.imwrite(path, picture)
    data = (tmp_path / "large.jpg").read_bytes()
    assert jpeg_layout(data)[:2] == (640, 480)
    assert Reader((75, 60), "rgb", "box")._reduction(jpeg_layout(data)) == 8
    assert Reader((300, 300), "rgb", "box")._reduction(jpeg_layout(data)) == 1
    assert Reader((80, 60), "rgb", "nearest")._reduction(jpeg_layout(data)) == 1
    for mode in ("rgb", "grayscale", "rgba"):
        found = Reader((75, 60), mode, "box")(path).astype(float)
        loaded = keras.utils.load_img(path, mode, (75, 60), "box")
        assert np.abs(found - keras.utils.img_to_array(loaded)).mean() < 1.5


def test_deep_grey_pictures_keep_their_values(tmp_path, quiet):
    (tmp_path / "a").mkdir()
    deep = (photograph(12, 12)[..., 0].astype("uint16") * 200) + 7
    cv2.imwrite(str(tmp_path / "a" / "deep.png"), deep)
    flow = ImageDataGenerator().flow_from_directory(
        tmp_path, target_size=(12, 12), color_mode="grayscale", class_mode=None
    )
    np.testing.assert_array_equal(next(flow)[0, ..., 0], deep)


@pytest.mark.parametrize("mode", ["grayscale", "rgb", "rgba"])
def test_deep_colors_are_read_in_8_bits(tmp_path, quiet, mode):
    deep = photograph(12, 12).astype("uint16") * 257
    cv2.imwrite(str(tmp_path / "deep.png"), deep)
    cv2.imwrite(str(tmp_path / "flat.png"), (deep >> 8).astype("uint8"))
    read = Reader((12, 12), mode)
    deep, flat = (read(tmp_path / f"{n}.png").astype(int) for n in ("deep", "flat"))
    # Two ways to weigh the three colors round apart.
    np.testing.assert_allclose(deep, flat, atol=mode == "grayscale")


@pytest.mark.parametrize("mode", ["grayscale", "rgb", "rgba"])
@pytest.mark.parametrize("dtype", ["float32", "int32", "float64"])
def test_wide_tiff_files_keep_their_values(tmp_path, quiet, mode, dtype):
    values = np.random.default_rng(0).normal(0, 1000, (8, 9)).astype(dtype)
    (tmp_path / "a").mkdir()
    assert cv2.imwrite(str(tmp_path / "a" / "0.tif"), values)
    flow = ImageDataGenerator().flow_from_directory(
        tmp_path, target_size=(8, 9), color_mode=mode, class_mode=None
    )
    batch = next(flow)
    for channel in range(1 if mode == "grayscale" else 3):
        np.testing.assert_allclose(batch[0, ..., channel], values, rtol=1e-6)
    colors = np.random.default_rng(0).normal(0, 1, (8, 9, 3)).astype("float32")
    cv2.imwrite(str(tmp_path / "a" / "0.tif"), colors)
    flow.reset()
    if mode == "rgb":
        np.testing.assert_allclose(next(flow)[0], colors[..., ::-1], rtol=1e-6)


def test_a_class_without_a_folder_has_no_images(folder, quiet):
    generator = ImageDataGenerator()
    with pytest.warns(UserWarning, match="no folder for the class 'cow'"):
        flow = generator.flow_from_directory(
            folder, target_size=(8, 8), classes=["cow", "cat"]
        )
    assert flow.class_indices == {"cow": 0, "cat": 1} and flow.num_classes == 2
    np.testing.assert_array_equal(next(flow)[1], [[0, 1]] * 4)


def table(folder):
    names = sorted(str(p.relative_to(folder)) for p in folder.rglob("*.*"))
    names = [name for name in names if not name.endswith("txt")]
    count = len(names)
    label = [name.partition("/")[0] for name in names]
    return {
        "filename": names,
        "class": label,
        "both": [[c, "owl"] if i % 2 else c for i, c in enumerate(label)],
        "two": ["x" if i % 2 else "y" for i in range(count)],
        "number": [float(i) for i in range(count)],
        "point": [[i, 2 * i] for i in range(count)],
        "weight": [i / 10 for i in range(count)],
    }


DATAFRAME_SETTINGS = [
    {"shuffle": False},
    {"class_mode": "sparse", "seed": 2, "weight_col": "weight"},
    {"class_mode": "binary", "y_col": "two", "shuffle": False},
    {"y_col": "both", "shuffle": False},
    {"y_col": "both", "classes": ["owl", "cat"], "shuffle": False},
    {"classes": ["dog", "cat"], "class_mode": "sparse", "shuffle": False},
    {"class_mode": "raw", "y_col": "number", "subset": "training", "shuffle": False},
    {"class_mode": "raw", "y_col": ["number", "weight"], "shuffle": False},
    {"class_mode": "multi_output", "y_col": ["number", "point"], "seed": 1},
    {"class_mode": "input", "subset": "validation", "shuffle": False},
    {"class_mode": None, "shuffle": False, "validate_filenames": False},
]


@pytest.mark.parametrize("settings", DATAFRAME_SETTINGS)
def test_dataframe_is_read_as_keras_reads_it(folder, quiet, settings):
    pandas = pytest.importorskip("pandas")
    columns = table(folder)
    # A missing file and one that is no picture.
    if settings.get("validate_filenames", True):
        columns = {name: [*column, *column[:2]] for name, column in columns.items()}
        columns["filename"][-2:] = ["cat/none.png", "cat/notes.txt"]
    ours, keras_own = both(
        "flow_from_dataframe",
        lambda _: pandas.DataFrame(columns),
        {"validation_split": 0.3},
        directory=str(folder),
        target_size=(24, 36),
        batch_size=4,
        **settings,
    )
    assert ours.filenames == keras_own.filenames
    assert getattr(ours, "class_indices", 0) == getattr(keras_own, "class_indices", 0)
    assert len(ours) == len(keras_own)
    for _ in range(len(ours) + 1):
        same(next(ours), next(keras_own))


def test_a_dict_of_columns_is_a_dataframe(folder, quiet):
    columns = table(folder)
    flow = ImageDataGenerator().flow_from_dataframe(
        columns,
        folder,
        y_col="both",
        weight_col="weight",
        target_size=(10, 10),
        shuffle=False,
    )
    images, labels, weights = next(flow)
    assert images.shape == (15, 10, 10, 3)
    expected = [{"cat", "owl"}, {"dog", "owl"}]
    names = np.array(list(flow.class_indices))
    assert set(names[labels[1] == 1]) == expected[0]
    assert set(names[labels[5] == 1]) == expected[1]
    np.testing.assert_array_equal(weights, columns["weight"])


def test_prefetched_and_plain_batches_are_the_same(folder, quiet):
    generator = ImageDataGenerator(rotation_range=20, horizontal_flip=True)
    settings = {"target_size": (16, 16), "batch_size": 4, "seed": 1}
    ahead = generator.flow_from_directory(folder, **settings)
    plain = generator.flow_from_directory(folder, **settings)
    for _ in range(2):
        for i in range(len(plain)):
            same(next(ahead), plain[i])
        plain.on_epoch_end()
    assert len(ahead._futures) <= ahead.prefetch
    next(ahead)
    ahead.reset()
    plain.reset()
    for _ in range(2):
        same(next(ahead), plain[ahead.batch_index - 1])


@pytest.fixture
def damaged(tmp_path):
    """Six pictures of which three cannot be decoded."""
    (tmp_path / "a").mkdir()
    for i in range(6):
        path = tmp_path / "a" / f"{i}.{'png' if i % 2 else 'jpg'}"
        cv2.imwrite(str(path), photograph(30, 30, seed=i))
        if i in (2, 3):
            path.write_bytes(path.read_bytes()[:-20])
    (tmp_path / "a" / "4.jpg").write_bytes(b"")
    return tmp_path


def test_a_damaged_file_is_named(damaged, quiet):
    flow = ImageDataGenerator().flow_from_directory(damaged, shuffle=False)
    with pytest.raises(OSError, match=r"2\.jpg' is cut off"):
        next(flow)
    with pytest.raises(OSError, match=r"4\.jpg' is damaged"):
        Reader((9, 9))(str(damaged / "a" / "4.jpg"))


def test_damaged_files_are_skipped_and_listed(damaged, quiet, tmp_path):
    pictures = tmp_path / "out"
    pictures.mkdir()
    settings = {"target_size": (30, 30), "shuffle": False, "class_mode": "input"}
    generator = ImageDataGenerator(horizontal_flip=True, threads=2)
    flow = generator.flow_from_directory(
        damaged, on_error="skip", classes=["a"], save_to_dir=pictures, **settings
    )
    with pytest.warns(UserWarning, match="It is skipped") as caught:
        images, again = flow[0]
    assert len(caught) == 1
    assert len(images) == len(again) == 3
    assert flow.skipped == ["a/2.jpg", "a/3.png", "a/4.jpg"]
    saved = sorted(path.name.split("_")[1] for path in pictures.iterdir())
    assert saved == ["0", "1", "5"]
    whole = generator.flow_from_directory(damaged, classes=["a"], **settings)
    for name in ("2.jpg", "3.png", "4.jpg"):
        cv2.imwrite(str(damaged / "a" / name), photograph(30, 30))
    whole._root = flow._root
    np.testing.assert_array_equal(images, whole[0][0][[0, 1, 5]])
    with pytest.raises(OSError, match="No file of a batch"):
        small = {**settings, "batch_size": 1}
        (damaged / "a" / "0.jpg").write_bytes(b"x")
        with pytest.warns(UserWarning, match="It is skipped"):
            generator.flow_from_directory(
                damaged, classes=["a"], on_error="skip", **small
            )[0]


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"class_mode": "multi_output"}, ValueError, "Invalid class_mode"),
        ({"subset": "test"}, ValueError, "Invalid subset"),
        ({"subset": "validation"}, ValueError, "No image was found for subset"),
        ({"color_mode": "hsv"}, ValueError, "color_mode"),
        ({"interpolation": "cubic"}, ValueError, "interpolation"),
        ({"target_size": 20}, ValueError, "target_size"),
        ({"on_error": "ignore"}, ValueError, "on_error"),
    ],
)
def test_bad_directories(folder, quiet, settings, error, words):
    with pytest.raises(error, match=words):
        ImageDataGenerator().flow_from_directory(folder, **settings)


def test_empty_and_missing_directories(tmp_path, quiet):
    with pytest.raises(ValueError, match="No image was found in the folders"):
        ImageDataGenerator().flow_from_directory(tmp_path)
    with pytest.raises(FileNotFoundError):
        ImageDataGenerator().flow_from_directory(tmp_path / "none")


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"class_mode": "other_mode"}, ValueError, "Invalid class_mode"),
        ({"class_mode": "multi_output"}, TypeError, "must be a list"),
        ({"class_mode": "binary"}, ValueError, "3 classes"),
        ({"class_mode": "binary", "classes": ["a"]}, ValueError, "1 class"),
        ({"y_col": "number"}, TypeError, "string, list or tuple"),
        ({"y_col": "both", "class_mode": "sparse"}, TypeError, "must be strings"),
        ({"x_col": "number"}, TypeError, "x_col=number must be strings"),
        ({"y_col": "nothing"}, KeyError, "lacks the columns"),
        ({"weight_col": "class"}, TypeError, "must be numeric"),
    ],
)
def test_bad_dataframes(folder, quiet, settings, error, words):
    with pytest.raises(error, match=words):
        ImageDataGenerator().flow_from_dataframe(table(folder), folder, **settings)


def test_dataframe_warns(folder, quiet):
    generator, columns = ImageDataGenerator(), table(folder)
    with pytest.warns(UserWarning, match="`classes` will be ignored"):
        generator.flow_from_dataframe(columns, folder, class_mode=None, classes=["cat"])
    with (
        pytest.warns(UserWarning, match="15 invalid image filename"),
        pytest.warns(UserWarning, match="No row of the dataframe"),
    ):
        generator.flow_from_dataframe(columns, folder / "cat")
    with pytest.warns(DeprecationWarning, match="has_ext"):
        generator.flow_from_dataframe(columns, folder, has_ext=True)
    with pytest.warns(DeprecationWarning, match="other"):
        generator.flow_from_dataframe(
            columns, folder, class_mode="other", y_col="number"
        )


@pytest.mark.parametrize("settings", [{"classes": ["cow"]}, {"subset": "validation"}])
def test_dataframe_without_rows_has_no_batch(folder, quiet, settings):
    with pytest.warns(UserWarning, match="No row of the dataframe"):
        flow = ImageDataGenerator().flow_from_dataframe(
            table(folder), folder, **settings
        )
    assert flow.n == len(flow) == len(flow.filenames) == len(list(flow)) == 0
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])
    model.compile(loss="mse")
    uses = (model.fit, model.evaluate, model.predict)
    for use in (*uses, type(flow).preview, type(flow).as_dataset):
        with pytest.raises(ValueError, match="No row of the dataframe"):
            use(flow)


def test_it_says_what_it_found(folder, capsys):
    ImageDataGenerator().flow_from_directory(folder)
    assert capsys.readouterr().out == "Found 15 images belonging to 3 classes.\n"
    ImageDataGenerator().flow_from_dataframe(table(folder), folder)
    found = "Found 15 validated image filenames belonging to 3 classes.\n"
    assert capsys.readouterr().out == found
