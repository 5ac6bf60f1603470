"""Measures of faithfulness: closed forms, and methods that deserve their marks."""

import keras
import numpy as np
import pytest
from keras import layers as kl

from keras_strategies import explain
from keras_strategies.explain._evaluation import measures
from tests.explain.models import images, reference, reference_input


def linear(side=6):
    """A score that two pixels make."""
    model = keras.Sequential([keras.Input((side, side, 1)), kl.Flatten(), kl.Dense(1)])
    weights = np.zeros((side, side), "float32")
    weights[1, 1], weights[4, 3] = 3, 1
    model.set_weights([weights.reshape(-1, 1), np.zeros(1)])
    return model, weights


X = np.ones((2, 6, 6, 1), "float32")


def test_curves_of_a_linear_model_by_hand():
    """Deletion takes 3, then 1, then nothing; insertion the other way."""
    model, weights = linear()
    maps = np.tile(weights, (2, 1, 1))
    report = explain.evaluate(
        model,
        X,
        methods={"exact": maps, "worst": -maps},
        metrics=["insertion", "deletion"],
        steps=36,
        blur=0.0,
        baseline=0.0,
    )
    curve = report.curves["deletion"]["exact"]
    np.testing.assert_allclose(curve[:3], [4, 1, 0])
    assert (curve[3:] == 0).all() and len(curve) == 37
    worst = report.curves["deletion"]["worst"]
    np.testing.assert_allclose(worst[-3:], [4, 3, 0])
    rows = {row["method"]: row for row in report.rows}
    assert list(rows) == ["exact", "worst", "random"]
    assert rows["exact"]["deletion"] == pytest.approx((4 / 2 + 1) / 36)
    # Nothing is blurred: the inserted image is the image.
    assert rows["exact"]["insertion"] == pytest.approx(4)
    assert rows["exact"]["deletion"] < rows["random"]["deletion"] < 4


def test_insertion_begins_with_a_blurred_image():
    model, weights = linear()
    x = np.zeros((1, 6, 6, 1), "float32")
    x[0, 1, 1, 0] = 1
    report = explain.evaluate(
        model, x, methods={"exact": weights[None]}, metrics="insertion", blur=50.0
    )
    curve = report.curves["insertion"]["exact"]
    assert curve[0] == pytest.approx(4 / 36, rel=0.3) and curve[-1] == 3


def test_infidelity_of_a_linear_model_is_nothing():
    model, weights = linear()
    wrong = np.roll(weights, 1, axis=1)
    report = explain.evaluate(
        model,
        X,
        methods={"exact": np.tile(7 * weights, (2, 1, 1)), "wrong": [wrong, wrong]},
        metrics=["infidelity"],
        batch_size=7,
    )
    rows = {row["method"]: row["infidelity"] for row in report.rows}
    assert rows["exact"] == pytest.approx(0, abs=1e-6)
    assert 0.8 < rows["wrong"] <= 1


def test_infidelity_as_captum():
    """The figures of Captum 0.9.0 for the gradient and these 64 draws of noise."""
    model, x = reference(), reference_input()
    noise = np.random.default_rng(0).normal(size=(64, 4, 4, 1)).astype("float32") * 0.1
    gradient = explain.saliency(model, x, 1, absolute=False)
    products = (noise * gradient).sum(axis=(1, 2, 3))[None]
    before = model.predict(x, verbose=0)[0, 1]
    after = model.predict(x - noise, verbose=0)[:, 1]
    differences = (before - after)[None].astype("float64")
    plain = measures.infidelity(products, differences, scaled=False)
    assert plain[0] == pytest.approx(1.3617e-05, rel=0.01)
    scaled = measures.infidelity(products, differences) * (differences**2).mean()
    assert scaled[0] == pytest.approx(1.0835e-05, rel=0.01)


def test_pointing_game_and_equal_values():
    model, weights = linear()
    masks = np.zeros((2, 6, 6), bool)
    masks[0, 1, 1] = masks[1, 0, 0] = True
    report = explain.evaluate(
        model,
        X,
        methods={"exact": np.tile(weights, (2, 1, 1)), "flat": np.zeros((2, 6, 6))},
        metrics=["pointing_game"],
        masks=masks,
    )
    rows = {row["method"]: row["pointing_game"] for row in report.rows}
    assert rows["exact"] == 0.5 and rows["flat"] == pytest.approx(1 / 36)


def test_equal_values_are_ordered_by_chance():
    random = np.random.default_rng(0)
    ranks = measures.ranks_of_positions(np.zeros((200, 10)), random)
    assert np.abs(ranks.mean(axis=0) - 4.5).max() < 1
    ranks = measures.ranks_of_positions(np.array([[0.1, 3, -2, 1]]), random)
    np.testing.assert_array_equal(ranks, [[2, 0, 3, 1]])


def test_rank_correlation_is_spearmans():
    from scipy.stats import spearmanr

    a, b = np.random.default_rng(0).normal(size=(2, 3, 20))
    expected = [spearmanr(abs(x), abs(y))[0] for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(measures.rank_correlation(a, b), expected)
    assert measures.rank_correlation(np.ones((1, 4)), b[:1, :4])[0] == 0


def _network():
    return keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            kl.Conv2D(6, 3, activation="relu"),
            kl.Conv2D(6, 3, activation="relu"),
            kl.Flatten(),
            kl.Dense(3, activation="softmax"),
        ]
    )


def test_random_weights_change_a_map_that_depends_on_them():
    model, x = _network(), images(3)
    before = model.get_weights()

    def edges(model, inputs, target, **options):
        """What a map must not be: the same for any weights."""
        return np.abs(np.gradient(np.asarray(inputs).mean(axis=-1), axis=1))

    report = explain.evaluate(
        model, x, methods=["saliency", edges], metrics=["randomization"]
    )
    rows = {row["method"]: row.get("randomization") for row in report.rows}
    assert rows["edges"] == pytest.approx(1)
    assert abs(rows["saliency"]) < 0.6
    assert rows["random"] is None
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_weights_come_back_after_an_error():
    model, x = _network(), images(1)
    before = model.get_weights()
    calls = []

    def fails(model, inputs, target, **options):
        calls.append(model.get_weights()[0])
        if len(calls) > 1:
            raise RuntimeError("stop")
        return np.asarray(inputs)

    with pytest.raises(RuntimeError, match="stop"):
        explain.evaluate(model, x, methods=fails, metrics=["randomization"])
    assert np.abs(calls[0] - calls[1]).max() > 0
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_report_of_everything():
    model, x = _network(), images(2)
    masks = np.zeros((2, 12, 12), bool)
    masks[:, :6] = True
    report = explain.evaluate(
        model, x, methods=["saliency", "eigen_cam"], masks=masks, steps=3
    )
    assert [row["method"] for row in report.rows] == ["saliency", "eigen_cam", "random"]
    for row in report.rows[:2]:
        assert len(row) == 6 and all(np.isfinite(v) for v in list(row.values())[1:])
    text = str(report)
    assert "pointing game (+)" in text and "better than `random`" in text
    assert len(report.to_dict()["curves"]["insertion"]["saliency"]) == 4
    assert len(report.plot().lines) == 6
    again = explain.evaluate(
        model, x, methods=["saliency", "eigen_cam"], masks=masks, steps=3, batch_size=5
    )
    for a, b in zip(report.rows, again.rows, strict=True):
        assert a.keys() == b.keys()
        for key in set(a) - {"method"}:
            assert a[key] == pytest.approx(b[key], abs=1e-4), key


def test_tables_are_measured_too():
    model = keras.Sequential([keras.Input((5,)), kl.Dense(1, use_bias=False)])
    model.set_weights([np.array([[4.0], [2], [1], [-1], [-2]])])
    report = explain.evaluate(
        model, np.ones((2, 5)), methods="grad_times_input", steps=5
    )
    exact, chance = report.rows
    np.testing.assert_allclose(
        report.curves["insertion"]["grad_times_input"], [0, 4, 6, 7, 6, 4]
    )
    assert exact["insertion"] > chance["insertion"]
    # Of a linear model at ones gradient times input is the gradient.
    assert exact["infidelity"] == pytest.approx(0, abs=1e-6)


def test_bad_arguments():
    model, _ = linear()
    for options, words in (
        ({"methods": "grad_cm"}, "must be one of"),
        ({"methods": {"random": X[..., 0]}}, "none `random`"),
        ({"methods": {"a": np.zeros((2, 3, 3))}}, "shape of the inputs"),
        ({"metrics": ["area"]}, "must be one of"),
        ({"metrics": ["pointing_game"]}, "needs `masks`"),
        ({"masks": np.zeros((2, 6, 6))}, "must have an object"),
        ({"steps": 0}, "`steps`"),
        ({"noise": 0}, "`noise`"),
    ):
        with pytest.raises(ValueError, match=words):
            explain.evaluate(model, X, **options)


PATCHES = np.stack(
    [np.kron(np.eye(2), np.ones((2, 2))), np.kron(1 - np.eye(2), np.ones((2, 2)))]
)


def planted(seed, count, side=20):
    """Noise with one of two patches somewhere, its class and where it is."""
    random = np.random.default_rng(seed)
    x = 0.15 * random.random((count, side, side, 1))
    y = random.integers(0, 2, count)
    masks = np.zeros((count, side, side), bool)
    for image, label, mask in zip(x, y, masks, strict=True):
        row, column = random.integers(0, side - 4, 2)
        part = (slice(row, row + 4), slice(column, column + 4))
        image[part] += PATCHES[label][..., None]
        mask[part] = True
    return x.astype("float32"), y, masks


def trained(seed):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((20, 20, 1)),
            kl.Conv2D(8, 4, padding="same", activation="relu"),
            kl.Conv2D(8, 3, padding="same", activation="relu"),
            kl.GlobalMaxPooling2D(),
            kl.Dense(2, activation="softmax"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["acc"]
    )
    x, y, _ = planted(seed, 600)
    model.fit(x, y, batch_size=50, epochs=8, verbose=0)
    return model


LOCAL = {
    "saliency": {},
    "grad_times_input": {},
    "integrated_gradients": {"points": 16},
    "smooth_grad": {"samples": 8},
    "grad_cam_plus_plus": {},
    "layer_cam": {},
    "score_cam": {},
    "occlusion": {"window": 4, "stride": 2},
    "rise": {"masks": 800},
    "grad_cam": {},
}


@pytest.mark.slow
def test_a_planted_patch_is_found_by_every_map():
    shares = {name: [] for name in LOCAL}
    for seed in range(5):
        model = trained(seed)
        x, y, masks = planted(100 + seed, 40)
        assert model.evaluate(x, y, verbose=0)[1] > 0.95
        # A pixel beyond the patch is as near as the kernels reach.
        wide = np.zeros_like(masks)
        for dy in range(-2, 3):
            for dx in range(-2, 3):
                wide |= np.roll(masks, (dy, dx), axis=(1, 2))
        for name, options in LOCAL.items():
            method = getattr(explain, name)
            maps = method(model, x, y, **options)
            maps = np.abs(maps).sum(axis=-1) if maps.ndim == 4 else maps
            shares[name].append(measures.hits(maps, wide).mean())
    found = {name: float(np.mean(values)) for name, values in shares.items()}
    assert min(found.values()) >= 0.95, found
