"""The base of every result that is shown as a table: text, HTML, JSON, data frame."""

import dataclasses
import html
import io
import json
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from keras_strategies._internal import checks, html_page
from keras_strategies._internal.optional import require
from keras_strategies._internal.storage import files

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from rich.console import Group
    from rich.table import Table

# Wider than any table: text is for files and pipes as well as for terminals.
_WIDTH = 10_000


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        key: Key of the row dicts.
        title: Its heading. Defaults to the key with spaces.
        form: A format specification such as `".3g"`, or a function from the value to
            its text.
        left: Whether text stands on the left; numbers stand on the right.
    """

    key: str
    title: str | None = None
    form: str | Callable[[Any], str] = ""
    left: bool = False

    @property
    def heading(self) -> str:
        return self.key.replace("_", " ") if self.title is None else self.title

    def cell(self, row: Mapping[str, Any]) -> str:
        """The text of this column for one row; `-` for what is not known."""
        value = row.get(self.key)
        if callable(self.form):
            return self.form(value)
        return "-" if value is None else _formatted(value, self.form)


def _formatted(value, form):
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return "x".join(str(side) for side in value)
    return format(value, form) if form and not isinstance(value, str) else str(value)


def rich_table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    left: Sequence[bool],
    *,
    wrap: bool = False,
    padding: int = 1,
) -> "Table":
    """Builds a table of text; without any heading it has no heading line.

    Args:
        headings: Headings of the columns.
        rows: Texts of the cells.
        left: Whether a column stands on the left.
        wrap: Whether columns may be wrapped, as on a terminal: one that is not would
            be cut where the terminal ends, and a number with it.
        padding: Spaces on either side of a cell, beside those between columns.
    """
    # Imported here: the package is imported far more often than a table is shown.
    import rich.box
    import rich.table
    import rich.text

    table = rich.table.Table(
        box=rich.box.SIMPLE_HEAD,
        padding=(0, padding),
        pad_edge=False,
        show_edge=False,
        show_header=any(headings),
    )
    for heading, is_left in zip(headings, left, strict=True):
        table.add_column(
            rich.text.Text(heading),
            justify="left" if is_left else "right",
            no_wrap=not wrap,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(rich.text.Text(str(cell)) for cell in row))
    return table


class TerminalTable:
    """A table for `rich.print` that a narrow terminal does not cut.

    Where headings and numbers do not fit side by side, each row is a block of lines,
    a heading and a value in each.

    Args:
        headings: Headings of the columns.
        rows: Texts of the cells.
        left: Whether a column stands on the left.
    """

    def __init__(
        self,
        headings: Sequence[str],
        rows: Sequence[Sequence[str]],
        left: Sequence[bool],
    ):
        self._headings, self._rows, self._left = headings, rows, left

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        import rich.measure

        table = rich_table(self._headings, self._rows, self._left, wrap=True)
        wide = options.update_width(10_000)
        needed = rich.measure.Measurement.get(console, wide, table).minimum
        if needed <= options.max_width or not any(self._headings):
            yield table
            return
        for row in self._rows:
            pairs = list(zip(self._headings, row, strict=True))
            yield rich_table(["", ""], pairs, [True, True], wrap=True)
            yield ""


def text_table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[bool]
) -> str:
    """Aligns rows of text under headings."""
    import rich.console

    out = io.StringIO()
    console = rich.console.Console(
        file=out, width=_WIDTH, color_system=None, force_terminal=False
    )
    console.print(rich_table(headings, rows, left))
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip().splitlines())


class Report:
    """A result with rows: shown as text, in a notebook, as a picture or as a file.

    Subclasses have `rows`, a list of dicts of equal keys, name their `COLUMNS` and
    what `plot` draws, and add properties for totals.
    """

    COLUMNS: ClassVar[tuple[Column, ...]] = ()
    #: Keys of the label and of the value of each bar that `plot` draws.
    CHART: ClassVar[tuple[str, str] | None] = None

    rows: Sequence[Mapping[str, Any]]

    def _columns(self) -> tuple[Column, ...]:
        """The columns to show: those with a value in some row."""
        if self.COLUMNS:
            keys = {key for row in self.rows for key in row}
            return tuple(c for c in self.COLUMNS if c.key in keys) or self.COLUMNS
        keys = dict.fromkeys(key for row in self.rows for key in row)
        return tuple(
            Column(key, form=_default_form, left=self._is_text(key)) for key in keys
        )

    def _is_text(self, key):
        values = [row.get(key) for row in self.rows]
        return any(isinstance(value, str) for value in values)

    def _shown_rows(self) -> Sequence[Mapping[str, Any]]:
        """The rows of the table; subclasses add totals here."""
        return self.rows

    def _footer(self) -> Sequence[str]:
        """Lines below the table."""
        return ()

    def _summary(self) -> dict[str, Any]:
        """Totals and other figures beside the rows, for `to_dict` and the page."""
        return {}

    def _warnings(self) -> Sequence[str]:
        return tuple(getattr(self, "warnings", ()))

    def table(self) -> str:
        """Returns the rows as text, aligned under headings."""
        text, footer = text_table(*self._cells()), list(self._footer())
        return "\n".join([text, "", *footer] if footer else [text])

    def _cells(self, rows: Sequence[Mapping[str, Any]] | None = None) -> Any:
        """Headings, texts of the rows, and which columns stand on the left."""
        columns, rows = self._columns(), self._shown_rows() if rows is None else rows
        return (
            [column.heading for column in columns],
            [[column.cell(row) for column in columns] for row in rows],
            [column.left for column in columns],
        )

    def __rich__(self) -> "Group":
        """The table and what is below it, for `rich.print`."""
        import rich.console
        import rich.text

        lines = [rich.text.Text(line) for line in self._footer()]
        return rich.console.Group(TerminalTable(*self._cells()), *lines)

    def __str__(self) -> str:
        return self.table()

    def _repr_html_(self) -> str:
        return f"<div>{self._html_table()}{self._html_footer()}</div>"

    def _html_table(self):
        columns = self._columns()
        cells = [
            [c.cell(row) if c.left else html_page.Right(c.cell(row)) for c in columns]
            for row in self._shown_rows()
        ]
        heads = [c.heading if c.left else html_page.Right(c.heading) for c in columns]
        return html_page.table(heads, cells)

    def _html_footer(self):
        return "".join(f"<p>{html.escape(line)}</p>" for line in self._footer() if line)

    def to_dict(self) -> dict[str, Any]:
        """Returns the rows and totals as a dict that `json.dumps` takes."""
        return plain({"rows": [dict(row) for row in self.rows], **self._summary()})

    def to_dataframe(self) -> "pandas.DataFrame":
        """Returns the rows as a Pandas data frame."""
        owner = f"`{type(self).__name__}.to_dataframe`"
        return require("pandas", owner).DataFrame([dict(row) for row in self.rows])

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draws the result; returns the Matplotlib `Axes`.

        Args:
            ax: The `Axes` to draw on. Defaults to those of a new figure.
        """
        axes = ax
        if axes is None:
            owner = f"`{type(self).__name__}.plot`"
            pyplot = require("matplotlib.pyplot", owner)
            size = self._figure_size()
            axes = pyplot.subplots(layout="constrained", figsize=size)[1]
        self._draw(axes)
        return axes

    def _figure_size(self) -> tuple[float, float]:
        return (7.0, max(2.0, 0.8 + 0.25 * len(self.rows)))

    def _draw(self, ax: "Axes") -> None:
        """Draws one bar a row, the first on top."""
        if self.CHART is None:
            raise NotImplementedError(f"{type(self).__name__} has no picture.")
        label, value = self.CHART
        names = [str(row[label]) for row in self.rows]
        heights = [row[value] or 0 for row in self.rows]
        ax.barh(range(len(names)), heights, color="#0b6e99")
        ax.set_yticks(range(len(names)), names)
        ax.invert_yaxis()
        ax.set_xlabel(value.replace("_", " "))

    def save_report(self, path: str | os.PathLike[str]) -> str:
        """Writes the result to `path`: `.html`, one self-contained page, or `.json`.

        The page needs no network and no scripts; it has the picture where Matplotlib
        is installed. Returns the path as `str`.
        """
        target = report_path(path)
        if target.suffix.lower() == ".json":
            text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n"
        else:
            text = self._page()
        files.replace(target, text.encode())
        return str(target)

    def _page(self) -> str:
        title = self._title()
        cards = [
            (_default_form(value), key.replace("_", " "))
            for key, value in self._summary().items()
            if isinstance(value, str | bool | int | float)
        ]
        parts = [
            html_page.cards(cards) if cards else "",
            html_page.warnings("Before you rely on it", self._warnings()),
            html_page.section("Table", self._html_table()),
            self._html_footer(),
            self._pictures(title),
        ]
        return html_page.page(title, [], parts)

    def _title(self) -> str:
        words = "".join(f" {c}" if c.isupper() else c for c in type(self).__name__)
        return words.strip().capitalize()

    def _pictures(self, title: str) -> str:
        """The sections of the page with what `_draw` draws."""
        return self._picture("Picture", title)

    def _picture(self, heading: str, description: str) -> str:
        """A section with the picture, or nothing where there is none."""
        try:
            module = require("matplotlib.figure", "the picture of a report")
        except ImportError:
            return ""
        figure = module.Figure(figsize=self._figure_size(), layout="constrained")
        try:
            self._draw(figure.subplots())
        except NotImplementedError:
            return ""
        data = io.BytesIO()
        figure.savefig(data, format="png", dpi=110)
        image = html_page.image(data.getvalue(), description, is_plot=True)
        return html_page.section(heading, image)


def report_path(path: str | os.PathLike[str]) -> pathlib.Path:
    """Checks the path of a report: its suffix, and that its folder exists."""
    checks.instance("path", path, (str, os.PathLike))
    target = pathlib.Path(path)
    if target.suffix.lower() not in (".html", ".json"):
        checks.fail("`path` must end in .html or .json", path=str(target))
    if not target.parent.is_dir():
        rule = "The folder of `path` must exist"
        raise FileNotFoundError(checks.message(rule, {"path": str(target)}))
    return target


def _default_form(value):
    if value is None:
        return "-"
    if isinstance(value, float | np.floating):
        return f"{value:.4g}"
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return f"{value:,}"
    return _formatted(value, "")


def plain(value: Any) -> Any:
    """Turns NumPy values, tuples and infinities into what JSON knows."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return str(value)
