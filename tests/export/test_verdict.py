"""The verdict on single outputs: kinds, damages that must be seen, and fine files."""

import json

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from keras_strategies.export.verify import _measure
from keras_strategies.export.verify._binary_measures import _average_precision
from keras_strategies.export.verify._calibrated_truth import (
    calibrated_answers,
    calibrated_classes,
    calibrated_values,
)
from keras_strategies.export.verify._class_measures import class_measures
from keras_strategies.export.verify._judging import judge
from keras_strategies.export.verify._output_kinds import output_spans
from keras_strategies.export.verify._value_measures import denominators, value_measures

L = keras.layers
RNG = np.random.default_rng(0)


def _judge(reference, actual, kind=None, labels=None, model=None, **settings):
    [spans] = output_spans(model, {"y": reference}, kind).values()
    return judge(reference, actual, spans, labels=labels, **settings)


def _classes(samples=300, classes=5, sharpness=4.0, seed=0):
    """Calibrated probabilities, and labels drawn from them."""
    rng = np.random.default_rng(seed)
    p = _measure.softmax(sharpness * rng.normal(size=(samples, classes)))
    labels = np.array([rng.choice(classes, p=row) for row in p])
    return p.astype("float32"), labels


def _rounded(values, low, high):
    """int8 of the range [low, high]."""
    step = (high - low) / 255
    return (np.round(values / step) * step).astype("float32")


# Kinds


def _model(*outputs, loss=None, inputs=None):
    model = keras.Model(inputs, list(outputs) if len(outputs) > 1 else outputs[0])
    if loss is not None:
        model.compile("sgd", loss)
    return model


@pytest.mark.parametrize(
    ("build", "loss", "kinds"),
    [
        (lambda x: L.Dense(3, activation="softmax")(x), None, ["probabilities"]),
        (lambda x: L.Dense(3)(x), None, ["regression"]),
        (
            lambda x: L.Dense(3)(x),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            ["logits"],
        ),
        # Compiled for probabilities but without the activation.
        (lambda x: L.Dense(3)(x), "categorical_crossentropy", ["logits"]),
        (lambda x: L.Dense(3, activation="log_softmax")(x), None, ["logits"]),
        (lambda x: L.Dense(3, activation="sigmoid")(x), None, ["binary_probabilities"]),
        # The loss is stronger than the layer: an autoencoder of pixels.
        (lambda x: L.Dense(3, activation="sigmoid")(x), "mse", ["regression"]),
        (lambda x: L.Dense(3, activation="softmax")(x), "mse", ["probabilities"]),
        (
            lambda x: L.Dense(3)(x),
            keras.losses.BinaryCrossentropy(from_logits=True),
            ["binary_logits"],
        ),
        (
            lambda x: L.Dense(2, activation="softmax")(x),
            "binary_crossentropy",
            ["probabilities"],
        ),
        (
            lambda x: L.Concatenate()(
                [
                    L.Rescaling(640.0)(L.Dense(4, activation="sigmoid")(x)),
                    L.Dense(1, activation="sigmoid")(x),
                    L.Dense(3, activation="softmax")(x),
                ]
            ),
            lambda y, p: keras.ops.mean(p),
            ["regression", "binary_probabilities", "probabilities"],
        ),
        (lambda x: L.UnitNormalization()(L.Dense(8)(x)), None, ["embedding"]),
        (lambda x: keras.ops.normalize(L.Dense(8)(x)), None, ["embedding"]),
        (lambda x: keras.ops.argmax(L.Dense(8)(x), -1), None, ["integer"]),
        (
            lambda x: L.Reshape((2, 3))(L.Dense(6, activation="sigmoid")(x)),
            None,
            ["binary_probabilities"],
        ),
        (
            lambda x: keras.Sequential([L.Dense(4), L.Softmax()])(x),
            None,
            ["probabilities"],
        ),
        (
            lambda x: L.TimeDistributed(L.Dense(4, activation="softmax"))(
                L.Reshape((2, 3))(L.Dense(6)(x))
            ),
            None,
            ["probabilities"],
        ),
    ],
)
def test_what_an_output_means(build, loss, kinds):
    inputs = keras.Input((5,))
    model = _model(build(inputs), loss=loss, inputs=inputs)
    x = RNG.normal(size=(20, 5)).astype("float32")
    reference = {"y": keras.ops.convert_to_numpy(model(x))}
    [spans] = output_spans(model, reference).values()
    assert [span.kind for span in spans] == kinds
    assert spans[-1].stop == (
        reference["y"].shape[-1] if reference["y"].ndim > 1 else 1
    )


def test_losses_of_several_outputs_and_what_the_user_says():
    inputs = keras.Input((5,))
    outputs = [L.Dense(3, name="kind")(inputs), L.Dense(2, name="value")(inputs)]
    model = keras.Model(inputs, outputs)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    reference = {"kind": RNG.normal(size=(9, 3)), "value": RNG.normal(size=(9, 2))}
    for losses in ([loss, "mse"], {"kind": loss, "value": "mse"}):
        model.compile("sgd", losses)
        spans = output_spans(model, reference)
        assert [entry[0].kind for entry in spans.values()] == ["logits", "regression"]
    said = {"value": [("binary_logits", 1), ("regression", 1)]}
    spans = output_spans(model, reference, said)["value"]
    assert [(span.kind, span.start, span.stop) for span in spans] == [
        ("binary_logits", 0, 1),
        ("regression", 1, 2),
    ]
    with pytest.raises(ValueError, match="must have 2 channels in all"):
        output_spans(model, reference, {"value": [("regression", 3)]})
    with pytest.raises(ValueError, match="must have output names as keys"):
        output_spans(model, reference, {"other": "regression"})


# Closed forms


def test_a_changed_answer_costs_what_keras_thinks_of_it():
    p = np.array([[0.9, 0.1], [0.5, 0.5], [0.3, 0.7], [0.2, 0.8]])
    q = np.array([[0.1, 0.9], [0.4, 0.6], [0.3, 0.7], [0.2, 0.8]])
    by_name = {m.name: m for m in class_measures(p, q, is_image=False)}
    # (0.9 - 0.1) / 4 answers; the tie costs nothing.
    assert by_name["accuracy"].value == pytest.approx(100 * 0.8 / 4 / 0.8)
    base = p.mean(axis=0)
    brier = 100 * np.square(p - q).sum(axis=1).mean() / (1 - np.square(base).sum())
    assert by_name["brier"].value == pytest.approx(brier / 1.2)
    labels = np.eye(2)[[1, 0, 1, 1]]
    hard = {m.name: m for m in class_measures(p, q, is_image=False, truth=labels)}
    # One answer becomes right, one wrong.
    assert hard["accuracy"].value == pytest.approx(0.0)


def test_values_are_measured_against_their_own_spread():
    reference = np.column_stack([np.arange(50.0), 1000 * np.arange(50.0)])
    actual = reference.copy()
    actual[:, 0] += 2.0
    measure = _measure.largest(value_measures(reference, actual))
    variance = np.arange(50.0).var()
    assert measure.value == pytest.approx(100 * 4 / variance / 1.2)
    assert measure.channel == 0


def test_equal_scores_are_one_threshold():
    sklearn = pytest.importorskip("sklearn.metrics")
    truth = (RNG.random((200, 3)) < 0.3).astype("float64")
    scores = np.round(RNG.random((200, 3)) * 6) / 6
    found = _average_precision(scores, truth)
    expected = [
        sklearn.average_precision_score(*pair)
        for pair in zip(truth.T, scores.T, strict=True)
    ]
    np.testing.assert_allclose(found, expected)


def test_many_equals_are_judged_as_a_whole():
    """A pixel of an autoencoder may lose more than the image."""
    pixels = RNG.random((300, 64))
    one = pixels.copy()
    one[:, 7] += 0.17 * pixels[:, 7].std()
    measures = value_measures(pixels, one, is_shared=True)
    assert _measure.largest(measures).value < 1
    assert _measure.largest(value_measures(pixels, one)).value > 1
    every = pixels + 0.17 * pixels.std()
    assert _measure.largest(value_measures(pixels, every, is_shared=True)).value > 1


def test_spread_of_channels_that_hardly_vary():
    pixels = RNG.random((200, 16))
    pixels[:, 0] *= 1e-3  # a dark corner, of the same scale as its neighbours
    pixels[:, 1] = 0.0
    pixels[:, 2:8] *= 0.1
    floor = 0.3 * np.median(pixels.std(axis=0))
    assert denominators(pixels, True)[[0, 1]] == pytest.approx([floor**2] * 2)
    # Of unknown units: who is ten times smaller than the median may be another thing.
    unknown = denominators(pixels)
    assert unknown[[0, 1]] == pytest.approx([pixels[:, 0].var(), floor**2])
    scales = np.logspace(0, 4, 10) * RNG.normal(size=(200, 10))
    assert denominators(scales)[:3] == pytest.approx(scales.var(axis=0)[:3])
    few = np.column_stack([pixels[:, 0], 640 * pixels[:, 9]])
    assert denominators(few)[0] == pytest.approx(few[:, 0].var())
    constant = np.full((10, 1), 5.0)
    assert denominators(constant) == pytest.approx([0.05**2])
    assert denominators(np.zeros((10, 1))) == pytest.approx([1.0])


# Damages


def test_a_score_beside_pixels_is_seen():
    boxes = 640 * RNG.random((300, 4))
    score = (RNG.random((300, 1)) > 0.5) * 0.9 + 0.05
    reference = np.hstack([boxes, score]).astype("float32")
    actual = reference.copy()
    actual[:, 4] = 0.5
    kind = [("regression", 4), ("binary_probabilities", 1)]
    verdict = _judge(reference, actual, kind)
    assert not verdict.passed and verdict.kind == "mixed"
    assert verdict.worst == "channel 4" and "constant" in verdict.reason
    # Also where nothing says what the channels are.
    verdict = _judge(reference, actual)
    assert not verdict.passed and verdict.worst == "channel 4"
    assert _judge(reference, reference + 0.3 * np.eye(5)[0]).passed


def test_a_class_that_is_gone_is_named():
    p, _ = _classes(400)
    q = p.copy()
    q[:, 3] = 0
    q /= q.sum(axis=1, keepdims=True)
    verdict = _judge(p, q, class_names=["a", "b", "c", "cat", "e"])
    assert not verdict.passed and verdict.worst == "class 3 'cat'"
    assert "class 3 'cat' is gone" in verdict.reason.lower()
    row = next(r for r in verdict.channels if r["class"] == "3 'cat'")
    assert row["recall"] == 0 and row["samples_in_file"] == 0


def test_an_erased_foreground_of_three_per_cent():
    masks = np.zeros((20, 16, 16, 1), "float32") + 0.02
    masks[:, 4:7, 4:7] = 0.97
    verdict = _judge(masks, np.full_like(masks, 0.02), "binary_probabilities")
    assert not verdict.passed
    classes = np.concatenate([1 - masks, masks], axis=-1)
    erased = np.broadcast_to([0.98, 0.02], classes.shape).astype("float32")
    verdict = _judge(classes, erased)
    assert not verdict.passed and "class 1" in verdict.reason.lower()
    integers = (masks[..., 0] > 0.5).astype("int32")
    assert not _judge(integers, np.zeros_like(integers)).passed
    assert not _judge(integers, np.zeros_like(integers), labels=integers).passed
    one = integers.copy()
    one[0, 0, 0] = 1
    assert _judge(integers, one).passed


def test_flattened_confidence_and_bias():
    p, _ = _classes(300)
    flat = 0.4 * p + 0.6 / p.shape[1]
    verdict = _judge(p, flat.astype("float32"))
    assert not verdict.passed and "Brier" in verdict.reason
    values = RNG.normal(size=(300, 2)).astype("float32")
    verdict = _judge(values, values + np.float32([0, 0.3]))
    assert not verdict.passed and "bias +0.3" in verdict.reason
    assert verdict.worst == "channel 1"


def test_logits_that_lost_their_order():
    logits = 3 * RNG.normal(size=(300, 10)).astype("float32")
    noise = RNG.normal(size=logits.shape).astype("float32")
    assert not _judge(logits, logits + 2 * noise, "logits").passed
    assert not _judge(logits, logits + 2 * noise).passed  # of an uncompiled model
    # An untrained classifier is all near ties: swapped outputs cost no answers.
    untrained = 0.02 * logits
    assert not _judge(untrained, untrained[:, ::-1], "logits").passed


def test_outliers_hide_nothing():
    values = RNG.standard_t(1.5, size=(400, 1)).astype("float32")
    values[0] = 1e4
    noise = 0.5 * RNG.normal(size=values.shape).astype("float32")
    verdict = _judge(values, values + noise)
    assert not verdict.passed and "central 99 %" in verdict.reason


def test_embeddings():
    raw = RNG.normal(size=(300, 16))
    unit = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype("float32")
    assert _judge(unit, unit).kind == "embedding"
    near = unit + 0.005 * RNG.normal(size=unit.shape).astype("float32")
    assert _judge(unit, near).passed
    far = unit + 0.4 * RNG.normal(size=unit.shape).astype("float32")
    assert not _judge(unit, far).passed
    classes = RNG.integers(0, 5, 300)
    assert _judge(unit, near, labels=classes).passed
    assert not _judge(unit, far, labels=classes).passed
    # Consistent with itself, but not with a gallery of the Keras model's.
    assert not _judge(unit, -unit).passed


def test_multi_label_order_and_rare_labels():
    p = _measure.sigmoid(3 * RNG.normal(size=(400, 6)) - 1).astype("float32")
    assert _judge(p, _rounded(p, 0, 1)).passed
    swapped = p[:, [1, 0, 2, 3, 4, 5]]
    assert not _judge(p, swapped).passed
    silent = p.copy()
    silent[:, 2] = np.minimum(silent[:, 2], 0.45)
    verdict = _judge(p, silent)
    assert not verdict.passed and "channel 2" in verdict.reason.lower()


# Fine files


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([20, 100, 300]), st.floats(0.5, 8))
def test_rounding_to_int8_passes(seed, samples, sharpness):
    p, labels = _classes(samples, sharpness=sharpness, seed=seed)
    assert _judge(p, _rounded(p, 0, 1)).loss < 0.5
    assert _judge(p, _rounded(p, 0, 1), labels=labels).passed
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(samples, 3)) * [1.0, 5.0, 0.2]
    columns = [_rounded(v, v.min(), v.max()) for v in values.T]
    values = values.astype("float32")
    assert _judge(values, np.column_stack(columns)).loss < 0.5


def test_labels_decide_for_values_near_the_limit():
    """An error of 3 % of the variance, which the labels say is none."""
    signal = RNG.normal(size=(500, 1))
    labels = signal + 0.3 * RNG.normal(size=signal.shape)
    reference = (signal + 0.3 * RNG.normal(size=signal.shape)).astype("float32")
    closer = (signal + 0.6 * (reference - signal)).astype("float32")
    assert not _judge(reference, closer).passed
    verdict = _judge(reference, closer, labels=labels)
    assert verdict.passed and verdict.judged_by == "labels"
    worse = (signal + 1.5 * (reference - signal)).astype("float32")
    assert not _judge(reference, worse, labels=labels).passed


def test_labels_refuse_what_they_show_beyond_doubt():
    """An undecided model that is nearly always right: its own word is too mild."""
    labels = RNG.integers(0, 2, 600)
    p = np.where(np.eye(2)[labels] > 0, 0.505, 0.495).astype("float32")
    q = p.copy()
    q[:60] = p[:60, ::-1]
    assert _judge(p, q, labels=None).loss < 1
    verdict = _judge(p, q, labels=labels)
    assert not verdict.passed and verdict.judged_by == "labels"


def test_calibration_by_labels_against_an_optimizer():
    """The posterior's mode, by Newton's method here and by BFGS there."""
    rng = np.random.default_rng(1)
    p, labels = _classes(400, classes=3, sharpness=2.0)
    scores = np.log(p.astype("float64"))
    sharp = _measure.softmax(2.0 * scores + [0.5, 0.0, -0.5])
    one_hot = np.eye(3)[labels]
    scores = np.log(np.clip(sharp, 1e-7, 1))
    scores -= scores.mean(axis=1, keepdims=True)

    def posterior(x):
        q = _measure.softmax(np.exp(x[0]) * scores + x[1:])
        prior = x[0] ** 2 / 0.5**2 + (x[1:] ** 2).sum() / 0.2**2
        return -np.log((q * one_hot).sum(axis=1)).sum() + prior / 2

    x = minimize(posterior, np.zeros(4)).x
    expected = _measure.softmax(np.exp(x[0]) * scores + x[1:])
    np.testing.assert_allclose(calibrated_classes(sharp, one_hot), expected, atol=1e-4)
    # The labels were drawn from `p`: it is found again but for the priors' pull.
    assert np.exp(x[0]) == pytest.approx(0.5, abs=0.12)

    yes = (rng.random((500, 2)) < p[rng.integers(0, 400, 500), :2]).astype("float64")
    answers = np.clip(0.2 + 0.5 * yes + 0.2 * rng.random((500, 2)), 0, 1)
    z = np.log(answers) - np.log1p(-answers)

    def channel_posterior(x, c):
        u = np.exp(x[0]) * z[:, c] + x[1]
        nll = (np.logaddexp(0, u) - yes[:, c] * u).sum()
        return nll + (x**2).sum() / 0.5**2 / 2

    found = calibrated_answers(answers, yes)
    for c in (0, 1):
        x = minimize(channel_posterior, np.zeros(2), args=(c,)).x
        expected = _measure.sigmoid(np.exp(x[0]) * z[:, c] + x[1])
        np.testing.assert_allclose(found[:, c], expected, atol=1e-4)


def test_values_are_corrected_by_a_line():
    rng = np.random.default_rng(2)
    truth = rng.normal(size=(500, 2))
    reference = truth * [1.0, 0.8] + [0.0, 5.0]
    corrected = calibrated_values(reference, truth * [1.0, 1.0] + [0.0, 5.3])
    # The second channel is off by a slope and by 0.3; without noise nothing is shrunk.
    np.testing.assert_allclose(corrected[:, 1], truth[:, 1] + 5.3, atol=1e-6)
    np.testing.assert_allclose(corrected[:, 0], truth[:, 0], atol=1e-6)
    # Of labels that are noise alone little is taken over.
    noise = calibrated_values(truth[:20], truth[:20] + 3 * rng.normal(size=(20, 2)))
    assert np.abs(noise - truth[:20]).max() < 0.5


def test_flattening_costs_an_overconfident_model_nothing():
    p, labels = _classes(300, sharpness=2.0)
    overconfident = _measure.softmax(1.8 * np.log(p.astype("float64")))
    flattened = _measure.softmax(1.1 * np.log(p.astype("float64")))
    assert not _judge(overconfident, flattened).passed
    verdict = _judge(overconfident, flattened, labels=labels)
    assert verdict.passed and verdict.judged_by == "labels"
    # And what a calibrated one loses is still seen.
    assert not _judge(p, _measure.softmax(0.6 * np.log(p)), labels=labels).passed


def test_shuffled_labels_clear_nothing():
    p, labels = _classes(300, sharpness=2.0)
    values = RNG.normal(size=(300, 2))
    damaged = values + [0.3, 0.0]
    for reference, actual, truth in (
        (p, _measure.softmax(0.6 * np.log(p)), RNG.permutation(labels)),
        (values, damaged, RNG.permutation(values)),
    ):
        verdict = _judge(reference, actual, labels=truth)
        assert not verdict.passed and verdict.judged_by == "Keras"
        assert any("same order" in note for note in verdict.notes)


def test_probabilities_are_judged_as_losses_scale_them():
    """Rows that no longer sum to one, and all of them halved."""
    p, _ = _classes(300, classes=20, sharpness=1.5)
    coarse = np.round(p * 7) / 7
    assert _judge(p, coarse).loss > _judge(p, coarse, kind="probabilities").limit
    assert not _judge(p, 0.5 * p, kind="probabilities").passed


def test_labels_that_do_not_fit_are_said():
    p, labels = _classes(50)
    verdict = _judge(p, p, labels=labels.reshape(25, 2))
    assert verdict.passed and "do not fit" in verdict.notes[0]


def test_verdict_as_text_dict_and_picture():
    p, _ = _classes(100)
    verdict = _judge(p, p[:, ::-1])
    assert str(verdict).startswith("refused (probabilities): ")
    values = verdict.to_dict()
    assert json.loads(json.dumps(values)) == values
    assert "picture" not in values and values["kind"] == "probabilities"
    figure = pytest.importorskip("matplotlib.figure").Figure()
    assert verdict.plot(figure.subplots()).get_xlabel() == "class in the file"
    x = RNG.normal(size=(50, 2)).astype("float32")
    ax = _judge(x, x).plot(pytest.importorskip("matplotlib.figure").Figure().subplots())
    assert "channel" in ax.get_xlabel() and ax.collections


@pytest.mark.parametrize(
    ("kind", "channels", "low", "match"),
    [
        ("logits", 1, -4, "two channels or more"),
        ("embedding", 1, -4, "two channels or more"),
        ("probabilities", 3, -4, 'Say "logits"'),
        ("binary_probabilities", 3, -4, 'Say "binary_logits"'),
        ("integer", 3, -4, 'Say "regression"'),
        ([("regression", 2), ("logits", 1)], 3, -4, "two channels or more"),
    ],
)
def test_a_meaning_that_the_values_contradict_is_refused(kind, channels, low, match):
    """It would hide any damage: the softmax of one class is always 1."""
    with pytest.raises(ValueError, match=match):
        _judge(RNG.uniform(low, 4, (50, channels)).astype("float32"), None, kind)


@pytest.mark.parametrize("kind", ["probabilities", "binary_probabilities"])
def test_what_is_no_probability_is_seen_where_keras_is_sure(kind):
    sure = np.eye(4, dtype="float32")[RNG.integers(0, 4, 300)]
    assert _judge(sure, sure, kind).passed
    for damaged in (10 * sure, 20 * sure - 10, sure - 0.4):
        assert not _judge(sure, damaged, kind).passed


def test_probabilities_of_another_sum_lose_nothing_where_none_changes():
    p = RNG.random((300, 4)).astype("float32")
    verdict = _judge(p, p, "probabilities", limit=0)
    assert verdict.passed and verdict.loss == 0
    assert verdict.reason.endswith("which is no loss.")
    changed = _judge(p, np.roll(p, 1, axis=1), "probabilities", limit=0)
    assert changed.reason.endswith("where no loss is allowed.")


def test_lengths_of_unit_embeddings_are_kept():
    x = RNG.normal(size=(200, 16))
    unit = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype("float32")
    assert _judge(unit, unit * 1.02, "embedding").passed
    for damaged in (unit * 3, unit * RNG.random((200, 1))):
        verdict = _judge(unit, damaged, "embedding")
        assert not verdict.passed and "lengths" in verdict.reason
    assert _judge(x, 3 * x, "embedding").passed  # compared by the cosine alone


def test_a_small_spread_counts_where_it_is_all_there_is():
    """An air pressure: its deviation is half a thousandth of its size."""
    pressure = 101325 + 50 * RNG.normal(size=(300, 1))
    assert _judge(pressure, pressure + 1, "regression").passed
    constant = np.full_like(pressure, 101325)
    assert "constant in the file" in _judge(pressure, constant, "regression").reason
    for damaged in (pressure + 25, pressure + 25 * RNG.normal(size=(300, 1))):
        assert not _judge(pressure, damaged, "regression").passed
    # Beside a channel that varies it may be one that never learned to.
    both = np.concatenate([pressure, RNG.normal(size=(300, 1))], 1)
    assert _judge(both, both + [[25, 0]], "regression").passed


@pytest.mark.parametrize(
    ("labels", "note"),
    [
        (np.full(300, np.nan), "hold NaN or infinity"),
        (np.full(300, -1), "classes from -1 to -1, the output 0 to 4"),
        (np.full(300, "cat"), "Labels of type"),
    ],
)
def test_labels_that_are_not_used_are_told_why(labels, note):
    p, _ = _classes()
    [text] = _judge(p, p, "probabilities", labels).notes
    assert note in text and "judged without them" in text
