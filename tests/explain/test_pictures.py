"""Overlays, figures and the pictures of a training."""

import keras
import numpy as np
import pytest
from keras import layers as kl

from keras_strategies import explain
from tests.explain.models import images


def test_an_overlay_has_the_color_where_the_map_is():
    image = np.full((1, 10, 10, 3), 100, "uint8")
    maps = np.zeros((1, 10, 10))
    maps[0, 2, 3] = 5
    found = explain.overlay(image, maps, alpha=1.0, colormap="gray")
    assert found.dtype == np.uint8 and found.shape == (1, 10, 10, 3)
    np.testing.assert_array_equal(found[0, 2, 3], 255)  # fully covered
    rest = np.ones((10, 10), bool)
    rest[2, 3] = False
    np.testing.assert_array_equal(found[0][rest], 100)
    half = explain.overlay(image, maps, alpha=0.5, colormap="gray")
    np.testing.assert_allclose(half[0, 2, 3], (100 + 255) / 2, atol=1)


def test_signs_have_two_colors():
    image = np.zeros((4, 4, 1))
    maps = np.zeros((4, 4, 1))
    maps[0, 0], maps[3, 3] = 1, -1
    found = explain.overlay(image, maps, alpha=1.0).astype(int)
    assert found.shape == (4, 4, 3)
    assert found[0, 0, 0] > found[0, 0, 2]  # red for
    assert found[3, 3, 2] > found[3, 3, 0]  # blue against


def test_one_pixel_does_not_outshine_the_rest():
    maps = np.ones((1, 20, 20))
    maps[0, 0, 0] = 1e6
    image = np.zeros((1, 20, 20, 1), "uint8")
    found = explain.overlay(image, maps, alpha=1.0, colormap="gray", percentile=90)
    assert found.min() == 255
    assert explain.overlay(image, maps, alpha=1.0, percentile=100)[0, 9, 9].max() < 5


def test_images_are_scaled_to_their_range():
    image = np.linspace(-1, 1, 16).reshape(1, 4, 4, 1)
    found = explain.overlay(image, np.zeros((1, 4, 4)))
    assert found.min() == 0 and found.max() == 255
    np.testing.assert_array_equal(found[..., 0], found[..., 2])


def test_what_does_not_fit_is_refused():
    image = images(2, 6)
    for maps, options, words in (
        (np.zeros((2, 5, 6)), {}, "samples, height and width"),
        (np.full((2, 6, 6), np.nan), {}, "finite"),
        (np.zeros((2, 6, 6)), {"alpha": 2}, "`alpha`"),
        (np.zeros((2, 6, 6)), {"percentile": 0}, "`percentile`"),
        (np.zeros((2, 6, 6)), {"colormap": "rainbows"}, "colormap"),
    ):
        with pytest.raises(ValueError, match=words):
            explain.overlay(image, maps, **options)
    with pytest.raises(ValueError, match="1 or 3"):
        explain.overlay(np.zeros((2, 6, 6, 4)), np.zeros((2, 6, 6)))
    with pytest.raises(ValueError, match="the samples of the inputs"):
        explain.plot_attributions(image, np.zeros((1, 6, 6)))
    with pytest.raises(ValueError, match="`labels`"):
        explain.plot_attributions(image, image, labels=["a"])
    with pytest.raises(ValueError, match="`names`"):
        explain.plot_attributions(np.ones((1, 2)), np.ones((1, 2)), names=["a"] * 3)
    with pytest.raises(ValueError, match="images, rows"):
        explain.plot_attributions(np.ones((1, 2, 2)), np.ones((1, 2, 2)))


def test_a_figure_has_a_row_a_sample_and_a_column_a_map():
    import matplotlib.pyplot as plt

    before, image = plt.get_fignums(), images(3, 6)
    figure = explain.plot_attributions(
        image, {"a_map": image, "other": image[..., 0]}, labels=["x", "y", "z"]
    )
    assert len(figure.axes) == 9
    assert [ax.get_title() for ax in figure.axes[:3]] == ["", "a map", "other"]
    assert [ax.get_ylabel() for ax in figure.axes[::3]] == ["x", "y", "z"]
    assert len(explain.plot_attributions(image, image, max_samples=1).axes) == 2
    assert plt.get_fignums() == before


def test_tables_and_texts_have_bars():
    rows = np.array([[1.0, -2.0, 0.5], [0.0, 1.0, 2.0]])
    figure = explain.plot_attributions(rows, rows, names=["a", "b", "c"])
    first = figure.axes[0]
    assert [bar.get_width() for bar in first.patches] == [1, -2, 0.5]
    assert [label.get_text() for label in first.get_yticklabels()] == ["a", "b", "c"]
    texts = [["good", "film"], ["so", "so", "la"]]
    figure = explain.plot_attributions(rows, rows, names=texts)
    assert [len(ax.patches) for ax in figure.axes] == [2, 3]


def _model():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            kl.Conv2D(3, 3, activation="relu"),
            kl.GlobalAveragePooling2D(),
            kl.Dense(2, activation="softmax"),
        ]
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def test_pictures_of_a_training(tmp_path):
    x, y = images(16, 8, 1), np.arange(16) % 2
    weights = []
    for with_pictures in (False, True):
        keras.utils.set_random_seed(0)
        model = _model()
        pictures = explain.ExplanationCallback(
            x[:2],
            method=["grad_cam", explain.saliency],
            directory=tmp_path / "maps",
            log_dir=tmp_path / "logs",
            frequency=2,
            labels=["a", "b"],
        )
        model.fit(
            x, y, epochs=4, verbose=0, callbacks=[pictures] if with_pictures else []
        )
        weights.append(model.get_weights())
    for a, b in zip(*weights, strict=True):  # it does not affect training
        np.testing.assert_allclose(a, b, rtol=1e-6)
    files = sorted(path.name for path in (tmp_path / "maps").iterdir())
    assert files == ["epoch_0002.png", "epoch_0004.png"]
    first, second = ((tmp_path / "maps" / f).read_bytes() for f in files)
    assert first[:4] == b"\x89PNG" and first != second
    assert _steps(tmp_path / "logs") == [1, 3]


def _steps(folder):
    from tensorflow.compat.v1.train import summary_iterator

    [path] = folder.iterdir()
    return [
        event.step
        for event in summary_iterator(str(path))
        for value in event.summary.value
        if value.tag == "explanations"
    ]


def test_a_layer_is_handed_on(tmp_path):
    model, x = _model(), images(4, 8, 1)
    pictures = explain.ExplanationCallback(
        x, 1, method="layer_cam", directory=tmp_path, layer="conv2d.*"
    )
    model.fit(x, np.ones(4), verbose=0, callbacks=[pictures])
    assert len(list(tmp_path.iterdir())) == 1


def test_bad_arguments_of_the_callback():
    x = images(2, 8, 1)
    for options, error, words in (
        ({"method": "grad_cm"}, ValueError, "must be one of"),
        ({"method": 3}, TypeError, "function or one of"),
        ({"method": []}, ValueError, "and a method"),
        ({"directory": None}, ValueError, "must be given"),
        ({"frequency": 0}, ValueError, "`frequency`"),
        ({"labels": ["a"]}, ValueError, "`labels`"),
        ({"directory": 3}, TypeError, "`directory`"),
    ):
        with pytest.raises(error, match=words):
            explain.ExplanationCallback(x, **options)
    with pytest.raises(ValueError, match="images or rows"):
        explain.ExplanationCallback(x[0, 0, 0])
