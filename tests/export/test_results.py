"""Results of exports: one set of views, as text, table, data frame, picture, file."""

import dataclasses
import json

import pytest

from keras_strategies import export
from tests.export.test_report import RESULT

OUTPUTS = {
    "label": {
        "kind": "top-1",
        "agreement": 0.875,
        "max_difference": 0.25,
        "mean_difference": 0.01,
        "tolerance": None,
    },
    "<score>": {
        "kind": "values",
        "agreement": 1.0,
        "max_difference": 0.5,
        "mean_difference": 0.02,
        "tolerance": 0.15,
    },
}
SIGNATURE = {
    "inputs": {"x": {"shape": [None, 4], "dtype": "float32"}},
    "outputs": {"loss": {"shape": [], "dtype": "float32"}},
}
ROW = {
    "layer": "body",
    "layers": ["body"],
    "readers": ["head"],
    "op": "CONV_2D",
    "tensor": "body",
    "shape": [None, 8, 8, 4],
    "range": [-1.0, 1.5],
    "bulk": [-0.8, 0.8],
    "scale": 0.0078,
    "zero_point": 0,
    "rmse": 0.1,
    "rmse_scale": 12.8,
    "max_error": 0.4,
    "sqnr_db": 12.0,
    "channel_sqnr_db": 10.0,
    "cumulative_rmse": 0.1,
    "cumulative_sqnr_db": 11.0,
    "cumulative_channel_sqnr_db": 9.0,
    "channel": 2,
    "channel_ratio": 30.0,
    "channel_levels": 8.0,
    "sample_ratio": 1.0,
    "weight_ratio": 1.0,
    "alarm": True,
    "cause": "Outlier channel.",
    "fix": "Scale it.",
}
SOUND = ROW | {"layer": "head", "alarm": False, "cause": "", "fix": "", "sqnr_db": 40.0}
RESULTS = {
    "export": RESULT,
    "comparison": export.ComparisonResult(
        path="a.tflite",
        samples=8,
        agreement=0.875,
        max_difference=0.5,
        mean_difference=0.015,
        outputs=OUTPUTS,
    ),
    "benchmark": export.BenchmarkResult(
        path="a.tflite",
        median_ms=1.5,
        p90_ms=2.0,
        min_ms=1.25,
        first_ms=20.0,
        runs=50,
        batch_size=1,
        threads=2,
        xnnpack=True,
        peak_memory=3 * 2**20,
    ),
    "quantization": export.QuantizationReport(
        rows=(ROW, SOUND),
        sensitivity=(
            {
                "layer": "body",
                "tensor": "body",
                "float_layers": ["body", "head"],
                "agreement": 1.0,
                "agreement_gain": 0.125,
                "error": 0.01,
                "error_ratio": 0.1,
            },
        ),
        agreement=0.875,
        error=0.1,
        outputs=OUTPUTS,
        samples=8,
        calibration={"method": "minmax", "samples": 8, "moving": 0.0, "settled": True},
        bytes=1000,
        seconds=2.0,
        warnings=("Read <this>.",),
    ),
    "trainable": export.TrainableResult(
        path="a.tflite",
        bytes=1000,
        gzipped_bytes=500,
        signatures={"train": SIGNATURE},
        ops={"ADD": 3},
        variables={"head_kernel": [4, 2]},
        state=["head_kernel"],
        optimizer={"kind": "SGD", "learning_rate": 0.01},
        batch_size=16,
        infer_difference=1e-7,
        loss_difference=0.0,
        weight_difference=1e-5,
        weight_change=0.1,
        train_ms=0.5,
        seconds=2.0,
        warnings=("Read <this>.",),
    ),
}
ALL = pytest.mark.parametrize("result", RESULTS.values(), ids=RESULTS)


@ALL
def test_every_field_is_in_the_dict_and_in_the_json(result, tmp_path):
    values = result.to_dict()
    assert list(values) == [field.name for field in dataclasses.fields(result)]
    path = tmp_path / "result.json"
    assert result.save_report(path) == str(path)
    assert json.loads(path.read_text("utf-8")) == values


@ALL
def test_text_and_notebook_table(result):
    text, html = str(result), result._repr_html_()
    assert text == result.table()
    assert "<script" not in html and "<this>" not in html and "<score>" not in html
    for warning in result.to_dict().get("warnings", ()):
        assert f"warning: {warning}" in text


@ALL
def test_page(result, tmp_path):
    page = tmp_path / "result.html"
    result.save_report(page)
    text = page.read_text("utf-8")
    assert text.startswith("<!DOCTYPE html>") and "<this>" not in text
    with pytest.raises(ValueError, match=r"must end in \.html or \.json"):
        result.save_report(tmp_path / "result.pdf")


@ALL
def test_data_frame(result):
    pandas = pytest.importorskip("pandas")
    frame = result.to_dataframe()
    assert len(frame) == len(result.rows)
    both = pandas.concat([frame, frame])
    assert list(both.columns) == list(result.rows[0])


@ALL
def test_picture(result):
    matplotlib = pytest.importorskip("matplotlib.figure")
    ax = matplotlib.Figure().subplots()
    assert result.plot(ax=ax) is ax
    assert ax.patches and ax.get_xlabel()


def test_single_figures_are_one_row():
    [row] = RESULT.rows
    assert row["bytes"] == RESULT.bytes and row["agreement"] == RESULT.agreement
    assert "ops" not in row and "outputs" not in row
    figures = dict(RESULTS["benchmark"].figures())
    assert figures["median"] == "1.500 ms" and figures["peak memory"] == "3.0 MiB"


def test_a_comparison_has_a_row_for_each_output():
    result = RESULTS["comparison"]
    assert [row["output"] for row in result.rows] == ["label", "<score>"]
    lines = result.table().splitlines()
    assert lines[0].split()[:3] == ["output", "compared", "by"]
    assert lines[2].split() == ["label", "top-1", "0.8750", "0.25", "0.01", "-"]
    assert "agreement 0.8750 on 8 samples" in lines[-2]


def test_the_worst_layers_come_first_with_their_fix():
    report = RESULTS["quantization"]
    lines = report.table().splitlines()
    assert lines[2].startswith("! body") and lines[3].startswith("  head")
    assert "body: Outlier channel. Scale it." in lines
    float_layers = "float32 for body, head: agreement 1.0000 (+0.1250), error x0.10"
    assert float_layers in lines
    assert "... 1 more" in report.table(limit=1)
    labels = [label.get_text() for label in report.plot(limit=1).get_yticklabels()]
    assert labels == ["body (conv_2d)"]
