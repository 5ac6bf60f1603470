"""Which layer int8 hurts: planted culprits must be named, sound models left alone."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_strategies import export
from keras_strategies.export.debug import _diagnosis, _error_sums
from tests.export import models

pytestmark = pytest.mark.tensorflow
L = keras.layers


def _images(count=64):
    rng = np.random.default_rng(0)
    return rng.normal(size=(count, 12, 12, 3)).astype("float32")


def _culprit():
    """One channel of 'bad' is 1000x larger, which 'after' takes back."""
    model = keras.Sequential(
        [
            keras.Input((12, 12, 3), name="image"),
            L.Conv2D(16, 3, activation="relu", name="first"),
            L.Conv2D(16, 3, activation="relu", name="bad"),
            L.Conv2D(16, 3, activation="relu", name="after"),
            L.GlobalAveragePooling2D(),
            L.Dense(10, name="head"),
        ]
    )
    for name, index, factor in (("bad", np.s_[..., 3], 1e3), ("after", 3, 1e-3)):
        kernel, bias = model.get_layer(name).get_weights()
        kernel = kernel if name == "bad" else np.moveaxis(kernel, 2, 0)
        kernel[index] = np.abs(kernel[index]) * factor
        kernel = kernel if name == "bad" else np.moveaxis(kernel, 0, 2)
        model.get_layer(name).set_weights([kernel, bias])
    return model


@pytest.fixture(scope="module")
def culprit():
    keras.utils.set_random_seed(0)
    model = _culprit()
    return model, export.debug_quantization(model, _images())


@pytest.fixture(scope="module")
def sound():
    keras.utils.set_random_seed(0)
    model, shapes = models.convolutional()
    return export.debug_quantization(
        model, models.samples(shapes), sensitivity_layers=1
    )


def test_the_planted_channel_is_found(culprit):
    _, report = culprit
    row = report.worst(1)[0]
    assert row["layer"] == "bad" and row["alarm"] and row["channel"] == 3
    assert row["channel_ratio"] > 100 and row["channel_levels"] < 1
    # The overall ratio alone would say that all is well.
    assert row["channel_sqnr_db"] < 3 and row["sqnr_db"] > 30
    assert row["cumulative_channel_sqnr_db"] < 3 and row["cumulative_sqnr_db"] > 30
    assert "channel 3" in row["cause"] and "ReLU6" in row["fix"]
    assert {r["layer"] for r in report.rows if r["alarm"]} == {"bad", "after"}
    after = next(r for r in report.rows if r["layer"] == "after")
    assert "reads 'bad'" in after["cause"]


def test_leaving_the_culprit_in_float_is_measured_and_true(culprit, tmp_path):
    pytest.importorskip("litert_quantizer")
    model, report = culprit
    best = report.sensitivity[0]
    assert set(best["float_layers"]) == {"bad", "after"}
    assert best["error_ratio"] < 0.1 and best["agreement_gain"] > 0.5
    assert report.agreement < 0.3
    unharmful = next(e for e in report.sensitivity if e["layer"] == "first")
    assert unharmful["error_ratio"] > 0.9
    # The fix is an expression for to_tflite: it must work as it stands.
    fix = report.worst(1)[0]["fix"]
    excluded = fix[fix.index("[") : fix.index("]") + 1]
    result = export.to_tflite(
        model,
        tmp_path / "mixed.tflite",
        quantization="int8",
        exclude=eval(excluded),
        representative_data=_images(),
        max_loss=10.0,  # random weights: the outputs hardly vary
    )
    assert result.agreement == 1.0
    # The verdict on the whole int8 file, on samples of its own.
    verdict = report.verdicts["head"]
    assert not report.passed and verdict.loss > 2 * result.verdicts["head"].loss
    assert "20 of 64 samples" in report.verified_on and verdict.samples == 20
    assert "verdict, head: refused (regression)" in str(report)


def test_a_sound_model_gives_no_alarm(sound):
    assert sound.rows and not any(row["alarm"] for row in sound.rows)
    assert all(row["cause"] == row["fix"] == "" for row in sound.rows)
    assert "No layer is below" in sound.table()
    layers = {row["layer"] for row in sound.rows}
    # Fused activations and normalizations do not take their layer's place.
    assert {"conv2d", "conv2d_1", "dense", "dense_1"} <= layers
    computing = [row for row in sound.rows if row["sqnr_db"] < 120]
    assert all(30 < row["sqnr_db"] < 60 for row in computing)
    # Rounding alone: 1 / sqrt(12) = 0.289.
    assert all(0.15 < row["rmse_scale"] < 0.6 for row in computing)
    assert sound.agreement > 0.9 and sound.samples == 64


def test_errors_add_up(sound):
    rows = {(row["layer"], row["op"]): row for row in sound.rows}
    first = rows["conv2d", "CONV_2D"]
    assert first["cumulative_rmse"] == pytest.approx(first["rmse"], rel=0.05)
    last = rows["dense_1", "FULLY_CONNECTED"]
    assert last["cumulative_rmse"] > 1.2 * last["rmse"]


def test_outlier_samples_are_told_from_outlier_channels():
    keras.utils.set_random_seed(0)
    model, shapes = models.dense()
    samples = models.samples(shapes)
    samples["features"][3] *= 300
    report = export.debug_quantization(model, samples, sensitivity_layers=0)
    row = report.worst(1)[0]
    assert row["alarm"] and "Outlier samples" in row["cause"]
    assert 'calibration="percentile"' in row["fix"]
    assert report.sensitivity == ()
    mended = export.debug_quantization(
        model, samples, sensitivity_layers=0, calibration="percentile", percentile=98.0
    )
    assert mended.calibration["method"] == "percentile"
    assert mended.agreement > report.agreement


def test_report(culprit, tmp_path):
    _, report = culprit
    text = str(report)
    assert text.splitlines()[2].startswith("! bad")
    assert "float32 for bad, after" in text and "exclude=[" in text
    assert "... 4 more" in report.table(limit=1)
    values = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert len(values["rows"]) == len(report.rows)
    labels = [label.get_text() for label in report.plot().get_yticklabels()]
    assert labels[0] == "bad (conv_2d)" and len(labels) > 2
    assert len(report.plot(limit=2).get_yticklabels()) == 2
    page = Path(report.save_report(tmp_path / "report.html")).read_text("utf-8")
    assert "data:image/png" in page and "float32 for bad, after" in page
    assert "! bad" in report._repr_html_()
    with pytest.raises(ValueError, match="`n`"):
        report.worst(0)


def test_what_has_no_ranges_is_refused():
    model = keras.Sequential([keras.Input((6, 3), name="x"), L.LSTM(8), L.Dense(2)])
    data = np.random.default_rng(0).normal(size=(8, 6, 3))
    with pytest.raises(export.ExportError, match="unroll=True") as error:
        export.debug_quantization(model, data)
    assert "LSTM" in str(error.value) and error.value.reason == "conversion"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"quantization": "dynamic"}, "`quantization`"),
        ({"samples": 0}, "`samples`"),
        ({"sensitivity_layers": -1}, "`sensitivity_layers`"),
        ({"batch_size": 0}, "`batch_size`"),
        ({"time_limit": 0}, "`time_limit`"),
        ({"calibration": "mean"}, "`calibration`"),
        ({"data": np.zeros((0, 4))}, "`data`|`representative_data`"),
    ],
)
def test_arguments(arguments, message):
    given = {"data": np.ones((4, 4))} | arguments
    with pytest.raises(ValueError, match=message):
        export.debug_quantization(models.tiny(), **given)


def _row(**changes):
    row = {
        "layer": "body",
        "layers": ["body"],
        "readers": ["head"],
        "op": "CONV_2D",
        "tensor": "body",
        "number": 0,
        "reading": [1],
        "range": [-1.0, 1.0],
        "bulk": [-0.8, 0.8],
        "scale": 2 / 255,
        "rmse_scale": 0.3,
        "sqnr_db": 10.0,
        "channel_sqnr_db": 10.0,
        "channel": 0,
        "channel_ratio": 1.0,
        "channel_levels": 255.0,
        "sample_ratio": 1.0,
        "weight_ratio": 1.0,
    }
    return row | changes


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scale": 1.0}, "Few levels used"),
        ({"range": [-1e-6, 1e-6], "scale": 1.0}, "no finer scale"),
        ({"bulk": [-0.02, 0.02]}, "50x wider than the middle 99.9 %"),
        ({"weight_ratio": 40.0, "rmse_scale": 2.0}, "Outlier weights"),
        ({"op": "SOFTMAX"}, "prescribes"),
        ({"op": "RSQRT", "rmse_scale": 3.0}, "RSQRT is arithmetic"),
        ({}, "0.3 steps"),
    ],
)
def test_causes(changes, words):
    (row,) = _diagnosis.diagnose([_row(**changes)])
    assert row["alarm"] and words in row["cause"]
    assert "exclude=['^body$', '^head$']" in row["fix"]
    assert "number" not in row and "reading" not in row


def test_the_limit_of_an_alarm():
    row, *_ = _diagnosis.diagnose([_row(sqnr_db=20.0, channel_sqnr_db=20.0)])
    assert not row["alarm"]
    row, *_ = _diagnosis.diagnose([_row(sqnr_db=40.0, channel_sqnr_db=19.9)])
    assert row["alarm"]


def test_errors_of_an_operation_against_numpy():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(8, 5, 6)).astype("float32")
    difference = rng.normal(size=values.shape).astype("float32") / 10
    errors = _error_sums.ErrorSums()
    for start in (0, 4):
        errors.add(values[start : start + 4], difference[start : start + 4])
    assert errors.rmse() == pytest.approx(np.sqrt(np.mean(difference**2)), rel=1e-5)
    expected = 10 * np.log10((values**2).sum() / (difference**2).sum())
    assert errors.sqnr() == pytest.approx(expected, abs=1e-3)
    assert errors.max_error == pytest.approx(np.abs(difference).max())
    peaks = np.abs(values).reshape(8, -1).max(axis=1)
    assert errors.sample_ratio() == pytest.approx(peaks.max() / peaks.mean())
    nothing = _error_sums.ErrorSums()
    nothing.add(values, np.zeros_like(values))
    assert nothing.sqnr() == nothing.channel_sqnr() == 120.0
