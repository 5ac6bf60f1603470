"""Reports: every figure is there, names are escaped, nothing is loaded."""

import dataclasses
import html.parser
import json
import os

import pytest

from keras_strategies import export
from keras_strategies.export.convert import _report_page

NASTY = '<script>alert("x")</script>&'
ENTRY = {
    "shape": [None, 8, 8, 3],
    "dtype": "int8",
    "scale": 0.0078125,
    "zero_point": -1,
}
RESULT = export.ExportResult(
    path=f"folder/{NASTY.replace('/', '')}.tflite",
    quantization="int8",
    bytes=3_456_789,
    gzipped_bytes=2_345_678,
    signature={
        "inputs": {NASTY: ENTRY},
        "outputs": {"label": {"shape": [None, 10], "dtype": "float32"}},
    },
    ops={"CONV_2D": 35, NASTY: 2},
    tensor_types={
        "int8": {"tensors": 70, "bytes": 3_000_000},
        "int32": {"tensors": 9, "bytes": 30_000},
        "float32": {"tensors": 2, "bytes": 0},
    },
    verified=True,
    agreement=0.98765,
    max_difference=0.1234,
    mean_difference=0.0123,
    outputs={
        NASTY: {
            "kind": "top-1",
            "agreement": 0.98765,
            "max_difference": 0.1234,
            "mean_difference": 0.0123,
            "tolerance": None,
        }
    },
    samples=256,
    calibration_samples=100,
    latency_ms=1.2345,
    seconds=9.5,
    warnings=(f"Left in float32: {NASTY}.",),
)


class _Reader(html.parser.HTMLParser):
    """Texts, tags, attributes; and whether every tag is closed in order."""

    def __init__(self, page):
        super().__init__()
        self.texts, self.tags, self.attributes, self.open = [], [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_page(tmp_path):
    path = tmp_path / "report.html"
    assert RESULT.save_report(path) == str(path)
    assert os.listdir(tmp_path) == ["report.html"]
    page = path.read_text("utf-8")
    reader = _Reader(page)
    assert reader.open == []
    assert "script" not in reader.tags
    loading = {"src", "href", "action", "background"}
    assert not [name for name, _ in reader.attributes if name in loading]
    assert "url(" not in page and "@import" not in page
    text = "\n".join(reader.texts)
    # File name, input, output, operation and warning.
    assert text.count(NASTY) >= 4 and "<script" not in page
    for figure in ("3.46 MB", "2.35 MB", "0.9877", "0.123", "1.234", "256 samples"):
        assert figure in text, figure
    for figure in ("CONV_2D", "35", "3.00 MB", "int8 (?, 8, 8, 3)", "zero point -1"):
        assert figure in text, figure
    assert "calibration samples" in text and "100" in text and "9.5" in text
    # The warning stands above the tables.
    assert text.index("Before you use it") < text.index("Signature")
    assert "prefers-color-scheme: dark" in page and "viewport" in page


def test_later_fields_show():
    values = RESULT.to_dict() | {
        "calibration": {"method": "percentile", "moving_tensors": ["a<b"]},
        "floor": None,
        "search": [1, 2],
    }
    text = "\n".join(_Reader(_report_page.render(values)).texts)
    for shown in ("calibration: method", "percentile", '["a<b"]', "search", "[1, 2]"):
        assert shown in text, shown
    assert "floor" not in text


def test_unverified_and_without_warnings():
    result = dataclasses.replace(
        RESULT,
        verified=False,
        agreement=None,
        max_difference=None,
        mean_difference=None,
        outputs={},
        samples=0,
        latency_ms=None,
        warnings=(),
        ops={},
        tensor_types={},
    )
    text = "\n".join(_Reader(_report_page.render(result.to_dict())).texts)
    assert "not verified" in text
    assert "Before you use it" not in text and "Operations" not in text


def test_json(tmp_path):
    path = tmp_path / "report.JSON"
    RESULT.save_report(str(path))
    assert json.loads(path.read_text("utf-8")) == RESULT.to_dict()


def test_refused(tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.html or \.json"):
        RESULT.save_report(tmp_path / "report.pdf")
    with pytest.raises(FileNotFoundError, match="folder of `path`"):
        RESULT.save_report(tmp_path / "none" / "report.html")
    with pytest.raises(TypeError, match="`path` must be"):
        RESULT.save_report(None)
    assert os.listdir(tmp_path) == []
