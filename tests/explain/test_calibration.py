"""Calibration against scikit-learn, and temperatures that are the right ones."""

import keras
import numpy as np
import pytest
from keras import layers as kl
from scipy.special import expit, softmax

from keras_strategies import explain
from keras_strategies.explain._calibration import errors
from tests.explain.models import images, moved, segmentation, subclassed


class Fixed:
    """A model that gives what it was given."""

    def predict(self, x, batch_size=None, verbose=0):
        return x


def _probabilities(count=3000, classes=4, sharpness=2.0, seed=0):
    """Probabilities that are too sure, with labels drawn by the right ones."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(count, classes)) * 1.5
    right = softmax(logits, axis=-1)
    labels = (right.cumsum(axis=1) > random.random((count, 1))).argmax(axis=1)
    return logits, softmax(sharpness * logits, axis=-1), right, labels


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_curves_as_scikit_learn(strategy):
    from sklearn.calibration import calibration_curve

    _, said, _, labels = _probabilities()
    report = explain.calibration(
        Fixed(), (said, labels), bins=10, strategy=strategy, resamples=50
    )
    for k in range(4):
        frequency, probability = calibration_curve(
            labels == k, said[:, k], n_bins=10, strategy=strategy
        )
        curve = report.curves[str(k)]
        np.testing.assert_allclose(curve["frequency"], frequency)
        np.testing.assert_allclose(curve["probability"], probability)
    frequency, probability = calibration_curve(
        said.argmax(1) == labels, said.max(1), n_bins=10, strategy=strategy
    )
    np.testing.assert_allclose(report.curves["all"]["frequency"], frequency)


def test_scores_as_scikit_learn():
    from sklearn.metrics import accuracy_score, log_loss

    _, said, _, labels = _probabilities()
    report = explain.calibration(Fixed(), (said, np.eye(4)[labels]), resamples=50)
    assert report.log_loss == pytest.approx(log_loss(labels, said))
    assert report.accuracy == accuracy_score(labels, said.argmax(axis=1))
    brier = ((said - np.eye(4)[labels]) ** 2).sum(axis=1).mean()
    assert report.brier_score == pytest.approx(brier)


def test_the_error_by_hand():
    said = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.65, 0.35]])
    report = explain.calibration(Fixed(), (said, [0, 1, 1, 0]), bins=2, resamples=50)
    # All confidences are in the upper bin: mean .7625, three of four right.
    assert report.error == pytest.approx(abs(0.75 - 0.7625))
    report = explain.calibration(Fixed(), (said, [0, 1, 1, 0]), bins=5, resamples=50)
    # Bins (.6, .8]: .8, .7, .65 with two of three right; (.8, 1]: .9, right.
    assert report.error == pytest.approx((abs(2 - 2.15) + abs(1 - 0.9)) / 4)


def test_overconfidence_is_seen_and_right_probabilities_are_not_blamed():
    blamed = []
    for seed in range(20):
        _, said, right, labels = _probabilities(600, seed=seed)
        bad = explain.calibration(Fixed(), (said, labels), resamples=100)
        good = explain.calibration(Fixed(), (right, labels), resamples=100)
        assert bad.is_miscalibrated and bad.confidence > bad.accuracy
        assert bad.interval[0] > 0 and bad.interval[0] <= bad.error
        blamed.append(good.is_miscalibrated)
    assert sum(blamed) <= 4  # 5 % of the twenty is one


def test_the_interval_has_the_error_in_it():
    """The error of many samples, by the intervals of few."""
    _, said, _, labels = _probabilities(100_000, seed=99)
    true = explain.calibration(Fixed(), (said, labels), resamples=50).error
    inside = []
    for seed in range(40):
        _, said, _, labels = _probabilities(500, seed=seed)
        low, high = explain.calibration(
            Fixed(), (said, labels), level=0.9, resamples=200
        ).interval
        inside.append(low <= true <= high)
    assert np.mean(inside) >= 0.75


def test_labels_of_their_own_and_one_output():
    random = np.random.default_rng(0)
    right = random.random((2000, 3))
    labels = (random.random((2000, 3)) < right).astype(int)
    report = explain.calibration(Fixed(), (right, labels), resamples=100)
    assert not report.is_miscalibrated and len(report.rows) == 3
    assert report.accuracy == ((right > 0.5) == labels).mean()
    one = explain.calibration(Fixed(), (right[:, :1], labels[:, 0]), resamples=50)
    assert len(one.rows) == 1
    assert one.error == pytest.approx(
        explain.calibration(Fixed(), (right[:, 0], labels[:, 0]), resamples=50).error
    )
    # Three sigmoids and class numbers: each class against all others.
    numbers = labels.argmax(axis=1)
    several = explain.calibration(Fixed(), (right, numbers), resamples=50)
    np.testing.assert_allclose(
        [row["frequency"] for row in several.rows], np.bincount(numbers) / 2000
    )


def test_logits_are_taken_for_what_they_are():
    logits, _, right, labels = _probabilities()
    found = explain.calibration(Fixed(), (logits, labels), resamples=50)
    expected = explain.calibration(Fixed(), (right, labels), resamples=50)
    assert found.error == pytest.approx(expected.error)
    with pytest.raises(ValueError, match="from_logits=True"):
        explain.calibration(Fixed(), (logits, labels), from_logits=False)


def test_tables_pictures_and_batches():
    _, said, _, labels = _probabilities(200)
    report = explain.calibration(
        Fixed(), (said, labels), class_names=["a", "b", "c", "d"], resamples=50
    )
    text = str(report)
    assert "expected calibration error" in text and "more than right prob" in text
    assert len(report.plot().lines) == 6
    assert report.to_dict()["is_miscalibrated"] is True
    pairs = [(said[:120], labels[:120]), (said[120:], labels[120:])]
    assert explain.calibration(Fixed(), iter(pairs), resamples=50).error == (
        pytest.approx(report.error)
    )


def test_bad_data():
    _, said, _, labels = _probabilities(50)
    model = Fixed()
    for data, error, words in (
        ((said, labels + 1), ValueError, r"integers in \[0, 3\]"),
        ((said, labels[:-1]), ValueError, "must fit the outputs"),
        ((said, np.full((50, 4), 0.5)), ValueError, "0 or 1"),
        (said, TypeError, "must be a tuple"),
        ([], TypeError, "must be a tuple"),
        ((said * np.nan, labels), ValueError, "finite"),
    ):
        with pytest.raises(error, match=words):
            explain.calibration(model, data)
    for options in (
        {"bins": 0},
        {"strategy": "width"},
        {"level": 1},
        {"resamples": 3},
        {"class_names": ["a"]},
    ):
        with pytest.raises(ValueError):
            explain.calibration(model, (said, labels), **options)
    with pytest.raises(TypeError, match="a TFLiteModel or a path"):
        explain.calibration(labels, (said, labels))
    with pytest.raises(ValueError, match="must end in"):
        explain.calibration("model.h5", (said, labels))


def _classifier(end, factor=3.0):
    """A model whose logits are `factor` times the right ones."""
    inputs = keras.Input((4,))
    model = keras.Model(inputs, end(inputs))
    kernel, bias = model.get_weights()
    model.set_weights([factor * np.eye(4), factor * np.full(4, 0.2)])
    return model


ENDS = {
    "inside": lambda x: kl.Dense(4, activation="softmax")(x),
    "behind": lambda x: kl.Activation("softmax")(kl.Dropout(0.1)(kl.Dense(4)(x))),
    "operation": lambda x: keras.ops.softmax(kl.Dense(4)(x)),
    "logits": lambda x: kl.Dense(4)(x),
}


@pytest.mark.parametrize("end", list(ENDS))
def test_the_temperature_is_found_and_inside(end):
    logits, _, _, labels = _probabilities(4000)
    # The bias is the same for each class: it does not matter for softmax.
    model = _classifier(ENDS[end])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = model.get_weights()
    copy, temperature = explain.temperature_scaling(
        model, (logits, labels), return_temperature=True
    )
    assert temperature == pytest.approx(3.0, rel=0.05)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    found, expected = (m.predict(logits[:50], verbose=0) for m in (copy, model))
    if end == "logits":
        np.testing.assert_allclose(found * temperature, expected, rtol=1e-4)
    else:
        scaled = softmax((3 * logits[:50] + 0.6) / temperature, axis=-1)
        np.testing.assert_allclose(found, scaled, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(found.argmax(1), expected.argmax(1))
    assert copy.compiled and copy.output_names == model.output_names
    worse, better = (
        explain.calibration(m, (logits, labels), resamples=50).error
        for m in (model, copy)
    )
    assert better < worse / 3


def test_no_temperature_is_better():
    """Its loss is the least among many, by brute force."""
    logits, _, _, labels = _probabilities(1000)
    from keras_strategies.explain._calibration.labelled import Labelled
    from keras_strategies.explain._calibration.temperature import best_temperature

    best = best_temperature(Labelled(2.5 * logits, labels, "softmax"))

    def loss(t):
        return errors.log_loss(softmax(2.5 * logits / t, axis=-1), labels, "softmax")

    grid = np.exp(np.linspace(-1, 2, 400))
    assert loss(best) <= min(loss(t) for t in grid) + 1e-9


def test_labels_of_their_own_share_a_temperature():
    random = np.random.default_rng(0)
    logits = random.normal(size=(4000, 3)) * 2
    labels = (random.random((4000, 3)) < expit(logits)).astype(int)
    model = keras.Sequential([keras.Input((3,)), kl.Dense(3, activation="sigmoid")])
    model.set_weights([2.5 * np.eye(3), np.zeros(3)])
    copy, temperature = explain.temperature_scaling(
        model, (logits, labels), return_temperature=True
    )
    assert temperature == pytest.approx(2.5, rel=0.06)
    scaled = expit(2.5 * logits[:9] / temperature)
    np.testing.assert_allclose(copy.predict(logits[:9], verbose=0), scaled, rtol=1e-4)


def test_other_kinds_of_models(tmp_path):
    model = moved(subclassed())
    x = images(60, seed=4) * np.linspace(-4, 4, 60)[:, None, None, None]
    logits = np.log(model.predict(x, verbose=0))
    random, soft = np.random.default_rng(0), softmax(logits / 2, axis=-1)
    y = np.array([random.choice(3, p=row / row.sum()) for row in soft])
    copy = explain.temperature_scaling(model, (x, y))
    before, after = (np.log(m.predict(x, verbose=0)) for m in (model, copy))
    ratio = (before[:, 1] - before[:, 2]) / (after[:, 1] - after[:, 2])
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-2)
    model, x = moved(segmentation()), 8 * images(6, 8, 1)
    said = model.predict(x, verbose=0)[..., 1]
    y = (np.random.default_rng(0).random((6, 8, 8)) < said).astype(int)
    copy = explain.temperature_scaling(model, (x, y))
    report = explain.calibration(copy, (x, y), resamples=50)
    assert report.log_loss <= explain.calibration(model, (x, y), resamples=50).log_loss
    copy.save(tmp_path / "scaled.keras")
    again = explain.calibration(str(tmp_path / "scaled.keras"), (x, y), resamples=50)
    assert again.error == pytest.approx(report.error, abs=1e-6)


def test_what_cannot_be_scaled():
    logits, _, _, labels = _probabilities(100)
    inputs = keras.Input((4,))
    x = kl.BatchNormalization()(kl.Dense(4)(inputs))
    with pytest.raises(ValueError, match="must end in a Dense"):
        explain.temperature_scaling(keras.Model(inputs, x), (logits, labels))
    dense = kl.Dense(4)
    with pytest.raises(ValueError, match="called once"):
        explain.temperature_scaling(
            keras.Model(inputs, dense(dense(inputs))), (logits, labels)
        )
    model = _classifier(ENDS["inside"])
    with pytest.raises(ValueError, match="between 1/50 and 50"):
        explain.temperature_scaling(model, (logits, logits.argmax(axis=1)))
    with pytest.raises(ValueError, match="one class a sample"):
        explain.temperature_scaling(model, (logits, np.ones((100, 4), int)))
    with pytest.raises(TypeError, match="`model` must be a"):
        explain.temperature_scaling(Fixed(), (logits, labels))


def test_weights_outside_of_layers_are_refused():
    class Bare(keras.Model):
        """Ends in a dropout, which returns its argument, that no layer has made."""

        def __init__(self):
            super().__init__()
            self.kernel = self.add_weight(shape=(4, 4))
            self.dropout = kl.Dropout(0.5)

        def call(self, inputs, training=False):
            return self.dropout(inputs @ self.kernel, training=training)

    logits, _, _, labels = _probabilities(100)
    model = Bare()
    model(logits[:1])
    with pytest.raises(ValueError, match="must end in a Dense"):
        explain.temperature_scaling(model, (logits, labels))


@pytest.mark.tensorflow
def test_int8_files_are_measured(tmp_path):
    from keras_strategies import export

    logits, _, _, labels = _probabilities(600)
    x = logits.astype("float32")
    model = _classifier(ENDS["inside"])
    path = tmp_path / "model.tflite"
    export.to_tflite(model, path, quantization="int8", representative_data=x[:200])
    report = explain.calibration(str(path), (x, labels), resamples=50)
    expected = explain.calibration(model, (x, labels), resamples=50)
    assert report.error == pytest.approx(expected.error, abs=0.03)
    assert report.is_miscalibrated
