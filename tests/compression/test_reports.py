"""Reports of compression as text, notebook table, data frame, picture and file."""

import json
import pathlib

import keras
import numpy as np
import pytest

from keras_strategies import compression, export
from tests.compression.common import mlp


def _pruned():
    model = mlp("adam")
    kernel = model.layers[0].kernel
    kernel.assign(np.where(np.arange(24) < 12, 0.0, keras.ops.convert_to_numpy(kernel)))
    return model


def _sparsity():
    return compression.sparsity_report(_pruned(), sizes=True)


def _clusters():
    model = mlp("adam")
    compression.cluster(model, 4)
    return compression.cluster_report(model)


def _ranges():
    aware = compression.quantize_aware(mlp())
    aware(np.ones((2, 12), "float32"), training=True)
    return compression.range_report(aware)


def _filters():
    model = mlp()
    return compression.filter_report(model, compression.prune_filters(model, 0.5))


def _flops():
    return compression.flops(mlp())


# Report, what its text says beside the rows, bars of its picture, a total.
REPORTS = {
    "sparsity": (_sparsity, ["384", "144", "37.50%", "sparse~"], 2, "zeros", 144),
    "clusters": (_clusters, ["384", "1,536", "huffman~"], 2, "parameters", 384),
    "ranges": (_ranges, ["activation", "weights"], 3, "unset", []),
    "filters": (_filters, ["384 > 256", "saved", "output"], 4, "macs", [384, 256]),
    "flops": (_flops, ["384", "MACs"], 2, "flops", 768),
}


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_says_the_same_in_every_form(name, tmp_path):
    make, words, bars, key, total = REPORTS[name]
    report = make()
    page = report._repr_html_()
    for word in words:
        assert word in str(report) and word.replace(">", "&gt;") in page, word
    frame = report.to_dataframe()
    assert len(frame) == len(report.rows)
    assert list(frame.columns) == list(report.rows[0])
    assert len(report.plot().patches) == bars

    path = report.save_report(tmp_path / "report.json")
    data = json.loads(pathlib.Path(path).read_text())
    assert data == report.to_dict() and data[key] == total
    assert len(data["rows"]) == len(report.rows)
    path = report.save_report(tmp_path / "report.html")
    text = pathlib.Path(path).read_text()
    assert "<img" in text and words[-1] in text


def test_ranges_are_drawn_where_they_lie():
    report = _ranges()
    rows = [row for row in report.rows if row["kind"] == "activation"]
    for bar, row in zip(report.plot().patches, rows, strict=True):
        assert bar.get_x() == pytest.approx(row["low"])
        assert bar.get_x() + bar.get_width() == pytest.approx(row["high"])


def test_reports_of_models_without_weights_are_empty():
    model = keras.Sequential([keras.Input((4,)), keras.layers.ReLU()])
    report = compression.sparsity_report(model, sizes=True)
    assert report.rows == [] and report.sparsity == 0.0 and report.zeros == 0
    assert report.dense_bytes is None and "total" in str(report)


@pytest.mark.parametrize("name", ["adaround", "correct_bias", "sensitivity"])
def test_the_rescue_is_that_of_export(name):
    assert getattr(compression, name) is getattr(export, name)
    assert name in dir(compression)
