"""A result as one self-contained page (HTML) or as JSON."""

import html
import json
import os
import pathlib

from keras_strategies._internal import checks, files

# What has a place of its own; any other field is listed under "More".
_PLACED = (
    "path quantization bytes gzipped_bytes signature ops tensor_types verified "
    "agreement max_difference mean_difference outputs samples latency_ms warnings"
)
_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --line: #d0d7de;
  --page: #ffffff; --card: #f6f8fa; --bar: #0969da; --warn: #9a6700;
  --warnbg: #fff8c5; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9aa4af;
  --line: #30363d; --page: #0d1117; --card: #161b22; --bar: #4493f8;
  --warn: #e3b341; --warnbg: #2b2410; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 60rem; background: var(--page);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; margin: .5rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 1.8rem 0 .5rem; }
p { margin: .3rem 0; }
.soft { color: var(--soft); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr));
  gap: .6rem; margin: 1rem 0; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: .6rem .8rem; }
.card b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
.card span { color: var(--soft); font-size: .85rem; }
.warnings { background: var(--warnbg); border-left: 4px solid var(--warn);
  border-radius: 4px; padding: .5rem .8rem; margin: 1rem 0; }
.warnings strong { color: var(--warn); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th, td { text-align: left; padding: .3rem .6rem .3rem 0; vertical-align: top;
  border-bottom: 1px solid var(--line); overflow-wrap: break-word; }
th { color: var(--soft); font-weight: 600; white-space: nowrap; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums;
  white-space: nowrap; }
td.wide { width: 35%; min-width: 6rem; }
.bar { background: var(--bar); height: .8rem; border-radius: 3px; min-width: 1px;
  margin-top: .35rem; }
"""


def write(path, values):
    """Writes `values`, an `ExportResult` as a dict, by the suffix of `path`."""
    checks.instance("path", path, (str, os.PathLike))
    path = pathlib.Path(path)
    if path.suffix.lower() not in (".html", ".json"):
        checks.fail("`path` must end in .html or .json", path=str(path))
    if not path.parent.is_dir():
        rule = "The folder of `path` must exist"
        raise FileNotFoundError(checks.message(rule, {"path": str(path)}))
    if path.suffix.lower() == ".json":
        text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    else:
        text = page(values)
    files.replace(path, text.encode())
    return str(path)


def page(values):
    """Returns the HTML page: no scripts, nothing loaded from elsewhere."""
    name = pathlib.PurePath(values["path"]).name
    parts = [
        _headline(values),
        _warnings(values["warnings"]),
        _section("Signature", _signature(values["signature"])),
        _section("Agreement and differences to the Keras model", _agreement(values)),
        _section("Operations", _ops(values["ops"])),
        _section("Tensors", _tensors(values["tensor_types"])),
        _section("More", _more(values)),
    ]
    body = "\n".join(part for part in parts if part)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_text(name)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{_text(name)}</h1>
<p class="soft">{_text(values["quantization"])} &middot; {_text(values["path"])}</p>
{body}
</body>
</html>
"""


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
    items = (
        f'<div class="card"><b>{_text(value)}</b><span>{_text(label)}</span></div>'
        for value, label in cards
    )
    return f'<div class="cards">{"".join(items)}</div>'


def _warnings(warnings):
    if not warnings:
        return ""
    items = "".join(f"<p>{_text(text)}</p>" for text in warnings)
    return f'<div class="warnings"><strong>Before you use it</strong>{items}</div>'


def _signature(signature):
    rows = []
    for role in ("inputs", "outputs"):
        for name, entry in signature.get(role, {}).items():
            shape = ", ".join("?" if n is None else str(n) for n in entry["shape"])
            scale = ""
            if "scale" in entry:
                scale = f"{entry['scale']:.6g}, zero point {entry['zero_point']}"
            rows.append([role[:-1], name, f"{entry['dtype']} ({shape})", scale])
    return _table(["", "name", "type (shape)", "scale"], rows)


def _agreement(values):
    rows = [
        [
            name,
            entry["kind"],
            _Right(_number(entry["agreement"], ".4f")),
            _Right(_number(entry["max_difference"])),
            _Right(_number(entry["mean_difference"])),
        ]
        for name, entry in values["outputs"].items()
    ]
    heads = ["output", "compared by"]
    heads += [_Right(text) for text in ("agreement", "largest", "mean")]
    return _table(heads, rows)


def _ops(ops):
    most = max(ops.values(), default=1)
    ordered = sorted(ops.items(), key=lambda item: (-item[1], item[0]))
    rows = [[name, _Right(str(n)), _Bar(n / most)] for name, n in ordered]
    return _table(["operation", _Right("count"), ""], rows)


def _tensors(types):
    most = max([entry["bytes"] for entry in types.values()], default=0) or 1
    ordered = sorted(types.items(), key=lambda item: -item[1]["bytes"])
    rows = [
        [
            name,
            _Right(str(entry["tensors"])),
            _Right(_size(entry["bytes"])),
            _Bar(entry["bytes"] / most),
        ]
        for name, entry in ordered
    ]
    heads = ["type", _Right("tensors"), _Right("constants"), ""]
    return _table(heads, rows)


def _more(values):
    """Fields without a place of their own, also those of later versions."""
    rows = []
    for key, value in values.items():
        if key in _PLACED.split() or value is None or value in ({}, [], ""):
            continue
        if isinstance(value, dict):
            rows += [
                [f"{_words(key)}: {_words(k)}", _plain(v)] for k, v in value.items()
            ]
        else:
            rows.append([_words(key), _plain(value)])
    return _table(["", ""], rows)


def _words(key):
    return str(key).replace("_", " ")


def _plain(value):
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, str | int):
        return str(value)
    return json.dumps(value, ensure_ascii=False, default=str)


class _Right(str):
    """A cell that is set to the right, as numbers are."""


class _Bar(float):
    """A cell that is a bar of this fraction of the width."""


def _cell(value, tag="td"):
    if isinstance(value, _Bar):
        if not value:
            return '<td class="wide"></td>'
        width = min(100.0, 100 * value)
        return (
            f'<td class="wide"><div class="bar" style="width:{width:.1f}%"></div></td>'
        )
    kind = ' class="n"' if isinstance(value, _Right) else ""
    return f"<{tag}{kind}>{_text(value)}</{tag}>"


def _table(heads, rows):
    if not rows:
        return ""
    head = "".join(_cell(value, "th") for value in heads) if any(heads) else ""
    body = "\n".join(
        f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in rows
    )
    head = f"<thead><tr>{head}</tr></thead>" if head else ""
    return f'<div class="scroll"><table>{head}<tbody>\n{body}\n</tbody></table></div>'


def _section(title, content):
    return f"<h2>{_text(title)}</h2>\n{content}" if content else ""


def _text(value):
    return html.escape(str(value))


def _number(value, form=".3g"):
    return "unknown" if value is None else format(value, form)


def _size(count):
    for unit, size in (("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count} bytes"
