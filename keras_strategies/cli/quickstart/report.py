"""Report of the quickstart: numbers as JSON, everything as one HTML page."""

import base64
import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from keras_strategies._internal.reports import rich_table

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = (
    ("name", "Model"),
    ("accuracy", "Accuracy"),
    ("parameters", "Weights"),
    ("sparsity", "Zeros"),
    ("bytes", "Bytes"),
    ("gzip_bytes", "Gzipped"),
    ("latency_ms", "1 image"),
    ("agreement", "Agrees"),
)


def cell_text(key: str, value: Any) -> str:
    """One value of a row as text; a dash where a figure has no meaning."""
    if value is None:
        return "-"
    if key in ("accuracy", "sparsity", "agreement"):
        return f"{value:.1%}" if key != "accuracy" else f"{value:.2%}"
    if key in ("parameters", "bytes", "gzip_bytes"):
        return f"{value:,}"
    if key == "latency_ms":
        return f"{value:.3f} ms"
    return str(value)


def gain_sentence(comparison: Mapping[str, Any]) -> str:
    """Summary of the gain of the strategies, with its interval."""
    gain, low, high = (100 * comparison["gain"][k] for k in ("mean", "low", "high"))
    seeds = len(comparison["seeds"])
    verdict = (
        "better than plain Keras beyond the noise of the seeds"
        if low > 0
        else "worse than plain Keras beyond the noise of the seeds"
        if high < 0
        else "not distinguishable from plain Keras with so few seeds"
    )
    return (
        f"With strategies: {gain:+.2f} points of test accuracy, mean of {seeds} seeds "
        f"(95 % interval {low:+.2f} to {high:+.2f}): {verdict}."
    )


def results_table(report: Mapping[str, Any]) -> "Table":
    """The closing table for the terminal."""
    return rich_table(
        [title for _, title in COLUMNS],
        [[cell_text(key, row[key]) for key, _ in COLUMNS] for row in report["rows"]],
        [key == "name" for key, _ in COLUMNS],
        padding=0,  # eight columns on a terminal of 80 characters
    )


def _html_table(header, rows):
    head = "".join(f"<th>{html.escape(title)}</th>" for title in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in row) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _figure(png, title, note):
    data = base64.b64encode(png).decode("ascii")
    return (
        f"<section><h2>{html.escape(title)}</h2><p>{html.escape(note)}</p>"
        f'<img alt="{html.escape(title)}" src="data:image/png;base64,{data}"></section>'
    )


STYLE = """
:root { --text: #1c2733; --paper: #fff; --line: #d7dde3; --faint: #5b6875;
  --accent: #0b6e99; --card: #f3f7f9; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --text: #e4e9ed; --paper: #14191e;
  --line: #36414b; --faint: #9aa7b2; --accent: #58b6dd; --card: #1d252c; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--text);
  background: var(--paper); max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: .2rem; line-height: 1.2; } h2 { margin-top: 2.2rem; }
.lead { font-size: 1.1rem; border-left: 4px solid var(--accent); padding-left: .8rem; }
.cards { display: grid; gap: .8rem; margin: 1.4rem 0;
  grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); }
.cards div { background: var(--card); border-radius: .5rem; padding: .8rem 1rem; }
.cards b { display: block; font-size: 1.5rem; color: var(--accent); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .6rem; border-bottom: 1px solid var(--line);
  text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
img { max-width: 100%; height: auto; background: #fff; border-radius: .3rem; }
footer { margin-top: 2.5rem; color: var(--faint); font-size: .85rem; }
"""


def headline_cards(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The figures at the top of the page: value and what it is."""
    gain = report["comparison"]["gain"]
    low, high = (100 * gain[name] for name in ("low", "high"))
    rows = {row["name"]: row for row in report["rows"]}
    small, large = rows["int8 .tflite"], rows["float32 .tflite"]
    return [
        (
            f"{100 * gain['mean']:+.1f} points",
            f"test accuracy gained by strategies, {low:+.1f} to {high:+.1f}",
        ),
        (f"{small['accuracy']:.1%}", "test accuracy of the int8 file"),
        (
            f"{large['bytes'] / small['bytes']:.1f} times",
            "smaller than the float32 file",
        ),
        (f"{small['agreement']:.1%}", "of its answers are those of the Keras model"),
    ]


def _seed_rows(comparison):
    rows = zip(
        comparison["seeds"], comparison["plain"], comparison["strategies"], strict=True
    )
    return [
        (str(seed), f"{plain:.2%}", f"{ours:.2%}", f"{100 * (ours - plain):+.2f}")
        for seed, plain, ours in rows
    ]


def render_page(
    report: Mapping[str, Any], figures: Sequence[tuple[bytes, str, str]]
) -> str:
    """The whole report as one HTML text without external references.

    Args:
        report: The dict that is written as report.json.
        figures: List of `(png bytes, title, note)`.
    """
    header = [title for _, title in COLUMNS]
    rows = [[cell_text(key, row[key]) for key, _ in COLUMNS] for row in report["rows"]]
    versions = ", ".join(f"{k} {v}" for k, v in report["versions"].items())
    seeds = _html_table(
        ("Seed", "Plain Keras", "With strategies", "Points gained"),
        _seed_rows(report["comparison"]),
    )
    cards = "".join(
        f"<div><b>{html.escape(value)}</b>{html.escape(text)}</div>"
        for value, text in headline_cards(report)
    )
    figure_html = "".join(_figure(*figure) for figure in figures)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>keras_strategies quickstart</title><style>{STYLE}</style></head><body>
<h1>From data to a verified .tflite</h1>
<p>{html.escape(report["data"]["description"])}</p>
<div class="cards">{cards}</div>
<p class="lead">{html.escape(report["summary"])}</p>
<div class="wide">{_html_table(header, rows)}</div>
<p>Accuracy is on the test images; for the .tflite files it and the agreement with
the pruned Keras model were measured by running the files in the LiteRT interpreter.
Bytes are those of the files, Keras's without optimizer; <em>1 image</em> is the median
time of one inference.</p>
<h2>Seed by seed</h2><div class="wide">{seeds}</div>
<p>The interval above covers the randomness of training, not the choice of the test
images: one image is {100 / report["data"]["test"]:.2f} points.</p>
{figure_html}
<footer>{html.escape(versions)} · {report["seconds"]:.0f} s ·
{html.escape(report["backend"])} backend</footer>
</body></html>
"""
