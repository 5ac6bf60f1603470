"""The base of all results: text, HTML, JSON, data frame, plot and file."""

import html
import io
import json
import sys

import matplotlib.figure
import numpy as np
import pytest
import rich.console

from keras_strategies._internal import reports
from keras_strategies._internal.reports import Column, Report


class SizeReport(Report):
    """Sizes of layers, with a total."""

    COLUMNS = (
        Column("layer", left=True),
        Column("shape"),
        Column("megabytes", "MB", ".2f"),
        Column("frozen"),
        Column("note", form=lambda value: value or "none", left=True),
        Column("absent"),
    )
    CHART = ("layer", "megabytes")

    def __init__(self, rows, warnings=()):
        self.rows, self.warnings = rows, list(warnings)

    @property
    def total(self):
        return sum(row["megabytes"] for row in self.rows if row["megabytes"])

    def _footer(self):
        return [f"total {self.total:.2f} MB"]

    def _summary(self):
        return {"total": self.total, "warnings": self.warnings}


class PlainReport(Report):
    """Without columns: they are made from the rows."""

    def __init__(self, rows):
        self.rows = rows


def report(**options):
    return SizeReport(
        [
            {
                "layer": "conv <1>",
                "shape": (3, 3, 8),
                "megabytes": 1.5,
                "frozen": False,
                "note": None,
            },
            {
                "layer": "head",
                "shape": (8, 2),
                "megabytes": None,
                "frozen": np.bool_(True),
                "note": "small",
            },
        ],
        **options,
    )


def test_text_has_headings_aligned_cells_and_the_footer():
    assert str(report()) == report().table()
    heading, rule, first, second, *footer = report().table().splitlines()
    assert heading.split() == ["layer", "shape", "MB", "frozen", "note"]
    assert set(rule) == {"─"}
    assert first.split() == ["conv", "<1>", "3x3x8", "1.50", "no", "none"]
    assert second.split() == ["head", "8x2", "-", "yes", "small"]
    assert footer == ["", "total 1.50 MB"]
    # Text stands on the left of its column and numbers on the right.
    assert first.index("conv") == second.index("head") == heading.index("layer")
    assert first.index("1.50") + 4 == second.index("- ") + 1 == heading.index("MB") + 2


def test_columns_without_a_value_in_any_row_are_left_out():
    assert "absent" not in report().table()
    rows = [{"layer": "a", "megabytes": 1.0}]
    assert SizeReport(rows).table().splitlines()[0].split() == ["layer", "MB"]
    assert SizeReport([]).table().splitlines()[0].split()[0] == "layer"


def test_without_columns_the_rows_say_what_there_is():
    rows = [
        {"name": "a", "count": 12345, "mean_value": 1 / 3, "flag": True},
        {"name": "b", "count": None, "mean_value": np.float32(2), "flag": False},
    ]
    heading, _, first, second = PlainReport(rows).table().splitlines()
    assert heading.split() == ["name", "count", "mean", "value", "flag"]
    assert first.split() == ["a", "12,345", "0.3333", "yes"]
    assert second.split() == ["b", "-", "2", "no"]


def test_a_long_cell_is_not_cut():
    text = reports.text_table(["a"], [["x" * 500]], [True])
    assert "x" * 500 in text


@pytest.mark.parametrize("width", [30, 80])
def test_a_terminal_that_is_narrow_cuts_neither_numbers_nor_headings(width):
    names = [f"difference {i} allowed" for i in range(6)]
    rows = [{name: str(1234567 + i) for i, name in enumerate(names)}]
    out = io.StringIO()
    rich.console.Console(file=out, width=width).print(PlainReport(rows))
    text = " ".join(out.getvalue().split())
    assert text.count("difference") == text.count("allowed") == 6
    assert all(value in text for value in rows[0].values())


@pytest.mark.parametrize("width", [40, 200])
def test_a_terminal_that_is_wide_enough_shows_a_table(width):
    out = io.StringIO()
    rows = [{"a number": 1234567.25, "another": 5}, {"a number": 1.0, "another": 6}]
    rich.console.Console(file=out, width=width).print(PlainReport(rows))
    assert out.getvalue().split("\n")[0].split() == ["a", "number", "another"]


def test_html_is_a_table_with_escaped_text():
    page = report()._repr_html_()
    assert page.count("<tr>") == 3
    assert "conv &lt;1&gt;" in page and "conv <1>" not in page
    assert "<p>total 1.50 MB</p>" in page


def test_dict_goes_into_json():
    data = report(warnings=["careful"]).to_dict()
    assert data == json.loads(json.dumps(data))
    assert data["rows"][0]["shape"] == [3, 3, 8]
    assert data["rows"][1]["frozen"] is True
    assert data["total"] == 1.5 and data["warnings"] == ["careful"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.5), 0.5),
        (np.arange(3), [0, 1, 2]),
        ({"a": (1, np.int64(2))}, {"a": [1, 2]}),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
        (np.array([1.0, -np.inf]), [1.0, "-inf"]),
        ({1: None}, {"1": None}),
        (np.dtype("int8"), "int8"),
    ],
)
def test_plain_values_are_those_of_json(value, expected):
    assert reports.plain(value) == expected
    json.dumps(reports.plain(value), allow_nan=False)


def test_data_frame_has_a_column_for_each_key():
    frame = report().to_dataframe()
    assert list(frame.columns) == ["layer", "shape", "megabytes", "frozen", "note"]
    assert list(frame["layer"]) == ["conv <1>", "head"]


def test_plot_draws_a_bar_for_each_row_on_the_given_axes():
    axes = matplotlib.figure.Figure().subplots()
    assert report().plot(ax=axes) is axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "conv <1>",
        "head",
    ]
    assert [bar.get_width() for bar in axes.patches] == [1.5, 0]
    assert axes.get_xlabel() == "megabytes"


def test_plot_makes_a_figure_of_its_own():
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    axes = report().plot()
    assert axes.figure.number in plt.get_fignums()
    plt.close(axes.figure)


def test_a_report_without_a_chart_says_so():
    with pytest.raises(NotImplementedError, match="PlainReport"):
        PlainReport([{"a": 1}]).plot(ax=matplotlib.figure.Figure().subplots())


def test_saved_json_is_the_dict(tmp_path):
    path = report().save_report(tmp_path / "sizes.json")
    assert path == str(tmp_path / "sizes.json")
    with open(path) as file:
        assert json.load(file) == report().to_dict()


def test_saved_page_stands_alone_and_has_table_totals_warnings_and_picture(tmp_path):
    path = report(warnings=["be <careful>"]).save_report(str(tmp_path / "sizes.HTML"))
    with open(path) as file:
        page = file.read()
    assert "<title>Size report</title>" in page
    assert html.escape("be <careful>") in page
    assert "conv &lt;1&gt;" in page and "data:image/png;base64," in page
    assert "total 1.50 MB" in page
    assert "<script" not in page and "http://" not in page and "https://" not in page


def test_page_of_a_report_without_a_chart_has_no_picture(tmp_path):
    path = PlainReport([{"a": 1}]).save_report(tmp_path / "plain.html")
    with open(path) as file:
        assert "data:image" not in file.read()


def test_page_without_matplotlib_has_no_picture(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    path = report().save_report(tmp_path / "sizes.html")
    with open(path) as file:
        page = file.read()
    assert "data:image" not in page and "total 1.50 MB" in page


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("sizes.txt", ValueError, "must end in .html or .json"),
        ("sizes", ValueError, "must end in .html or .json"),
        ("missing/sizes.html", FileNotFoundError, "folder of `path` must exist"),
        (3, TypeError, "`path` must be a str or PathLike"),
    ],
)
def test_bad_paths_are_refused_and_nothing_is_written(tmp_path, name, error, message):
    path = tmp_path / name if isinstance(name, str) else name
    with pytest.raises(error, match=message):
        report().save_report(path)
    assert not list(tmp_path.iterdir())


def test_an_existing_file_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "sizes.json"
    path.write_text("old" * 10_000)
    report().save_report(path)
    assert json.loads(path.read_text()) == report().to_dict()
    assert [item.name for item in tmp_path.iterdir()] == ["sizes.json"]
