"""HTML page of an `ExportResult`."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from keras_strategies._internal import html_page

# Fields with a section of their own; any other field is listed under "More".
_FIELDS_WITH_SECTION = [
    "path",
    "quantization",
    "bytes",
    "gzipped_bytes",
    "signature",
    "ops",
    "tensor_types",
    "verified",
    "agreement",
    "max_difference",
    "mean_difference",
    "outputs",
    "samples",
    "latency_ms",
    "warnings",
    "verdicts",
]


def render(values: Mapping[str, Any], picture: bytes | None = None) -> str:
    """Returns the HTML page: no scripts, nothing loaded from elsewhere.

    Args:
        values: The result as a dict.
        picture: The worst output as PNG. Defaults to `None`, without.
    """
    name = pathlib.PurePath(values["path"]).name
    parts = [
        _headline(values),
        html_page.warnings("Before you use it", values["warnings"]),
        html_page.section("Verdict", _verdicts(values, picture)),
        html_page.section("Signature", _signature(values["signature"])),
        html_page.section(
            "Agreement and differences to the Keras model", _agreement(values)
        ),
        html_page.section("Operations", _ops(values["ops"])),
        html_page.section("Tensors", _tensors(values["tensor_types"])),
        html_page.section("More", _more(values)),
    ]
    return html_page.page(name, [values["quantization"], values["path"]], parts)


def _headline(values):
    cards = [(_size(values["bytes"]), f"{_size(values['gzipped_bytes'])} gzipped")]
    if values["verified"]:
        samples = f"agreement on {values['samples']} samples"
        cards.append((_number(values["agreement"], ".4f"), samples))
        cards.append((_number(values["max_difference"]), "largest difference"))
    else:
        cards.append(("not verified", "agreement with the Keras model"))
    if values["latency_ms"] is not None:
        cards.append((f"{values['latency_ms']:.3f} ms", "median latency, one thread"))
    return html_page.cards(cards)


def _signature(signature):
    rows = []
    for role in ("inputs", "outputs"):
        for name, entry in signature.get(role, {}).items():
            shape = ", ".join("?" if n is None else str(n) for n in entry["shape"])
            scale = ""
            if "scale" in entry:
                scale = f"{entry['scale']:.6g}, zero point {entry['zero_point']}"
            rows.append([role[:-1], name, f"{entry['dtype']} ({shape})", scale])
    return html_page.table(["", "name", "type (shape)", "scale"], rows)


def _verdicts(values, picture):
    rows = [
        [name, "passed" if v["passed"] else "refused", v["kind"], v["reason"]]
        for name, v in values["verdicts"].items()
    ]
    table = html_page.table(["output", "verdict", "meaning", ""], rows)
    details = [_channels(name, v) for name, v in values["verdicts"].items()]
    image = "" if picture is None else html_page.image(picture, "the worst output")
    return table + "".join(details) + image if rows else ""


def _channels(name, verdict):
    """The worst channels or classes of an output, as a table."""
    rows = verdict["channels"][:8]
    if not rows:
        return ""
    heads = list(rows[0])
    rows = [row for row in rows if list(row) == heads]
    cells = [
        [row[heads[0]], *(html_page.Right(_plain(row[head])) for head in heads[1:])]
        for row in rows
    ]
    titles = [f"{name}: {heads[0]}"]
    titles += [html_page.Right(_words(head)) for head in heads[1:]]
    return html_page.table(titles, cells)


def _agreement(values):
    rows = [
        [
            name,
            entry["kind"],
            html_page.Right(_number(entry["agreement"], ".4f")),
            html_page.Right(_number(entry["max_difference"])),
            html_page.Right(_number(entry["mean_difference"])),
        ]
        for name, entry in values["outputs"].items()
    ]
    heads = ["output", "compared by"]
    heads += [html_page.Right(text) for text in ("agreement", "largest", "mean")]
    return html_page.table(heads, rows)


def _ops(ops):
    largest = max(ops.values(), default=1)
    ordered = sorted(ops.items(), key=lambda item: (-item[1], item[0]))
    rows = [
        [name, html_page.Right(str(n)), html_page.Bar(n / largest)]
        for name, n in ordered
    ]
    return html_page.table(["operation", html_page.Right("count"), ""], rows)


def _tensors(types):
    largest = max([entry["bytes"] for entry in types.values()], default=0) or 1
    ordered = sorted(types.items(), key=lambda item: -item[1]["bytes"])
    rows = [
        [
            name,
            html_page.Right(str(entry["tensors"])),
            html_page.Right(_size(entry["bytes"])),
            html_page.Bar(entry["bytes"] / largest),
        ]
        for name, entry in ordered
    ]
    heads = ["type", html_page.Right("tensors"), html_page.Right("constants"), ""]
    return html_page.table(heads, rows)


def _more(values):
    """Fields without a section of their own, also those of later versions."""
    rows = []
    for key, value in values.items():
        if key in _FIELDS_WITH_SECTION or value is None or value in ({}, [], ""):
            continue
        if isinstance(value, dict):
            rows += [
                [f"{_words(key)}: {_words(k)}", _plain(v)] for k, v in value.items()
            ]
        else:
            rows.append([_words(key), _plain(value)])
    return html_page.table(["", ""], rows)


def _words(key):
    return str(key).replace("_", " ")


def _plain(value):
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "-"
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, str | int):
        return str(value)
    return json.dumps(value, ensure_ascii=False, default=str)


def _number(value, form=".3g"):
    return "unknown" if value is None else format(value, form)


def _size(count):
    for unit, size in (("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count} bytes"
