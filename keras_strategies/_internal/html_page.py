"""Parts of a self-contained HTML page: no scripts, nothing loaded from elsewhere."""

import base64
import html

STYLE = """
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
td.n, th.n { text-align: right; padding-right: 1rem; font-variant-numeric: tabular-nums;
  white-space: nowrap; }
td.wide { width: 35%; min-width: 6rem; }
td:last-child:not(.n, .wide) { min-width: 12rem; }
.bar { background: var(--bar); height: .8rem; border-radius: 3px; min-width: 1px;
  margin-top: .35rem; }
img { max-width: 100%; height: auto; background: #ffffff; border-radius: 8px; }
.plot img { min-width: 38rem; }
pre { overflow-x: auto; background: var(--card); border: 1px solid var(--line);
  border-radius: 8px; padding: .6rem .8rem; font-size: .82rem; }
details { margin: .4rem 0; }
"""


def page(title, subtitle, parts):
    """The whole page; empty parts are left out."""
    body = "\n".join(part for part in parts if part)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{text(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{text(title)}</h1>
<p class="soft">{" &middot; ".join(text(part) for part in subtitle)}</p>
{body}
</body>
</html>
"""


def cards(pairs):
    """The headline: pairs of a value and what it is."""
    items = (
        f'<div class="card"><b>{text(value)}</b><span>{text(label)}</span></div>'
        for value, label in pairs
    )
    return f'<div class="cards">{"".join(items)}</div>'


def warnings(title, lines):
    if not lines:
        return ""
    items = "".join(f"<p>{text(line)}</p>" for line in lines)
    return f'<div class="warnings"><strong>{text(title)}</strong>{items}</div>'


def image(png: bytes, description: str, is_plot: bool = False) -> str:
    """A picture; a plot stays readable on a narrow screen, where it scrolls."""
    data = base64.b64encode(png).decode("ascii")
    tag = f'<img alt="{text(description)}" src="data:image/png;base64,{data}">'
    return f'<div class="scroll plot">{tag}</div>' if is_plot else tag


class Right(str):
    """A cell that is set to the right, as numbers are."""


class Bar(float):
    """A cell that is a bar of this fraction of the width."""


def _cell(value, tag="td"):
    if isinstance(value, Bar):
        if not value:
            return '<td class="wide"></td>'
        width = min(100.0, 100 * value)
        return (
            f'<td class="wide"><div class="bar" style="width:{width:.1f}%"></div></td>'
        )
    kind = ' class="n"' if isinstance(value, Right) else ""
    return f"<{tag}{kind}>{text(value)}</{tag}>"


def table(heads, rows):
    if not rows:
        return ""
    head = "".join(_cell(value, "th") for value in heads) if any(heads) else ""
    body = "\n".join(
        f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in rows
    )
    head = f"<thead><tr>{head}</tr></thead>" if head else ""
    return f'<div class="scroll"><table>{head}<tbody>\n{body}\n</tbody></table></div>'


def section(title, content):
    return f"<h2>{text(title)}</h2>\n{content}" if content else ""


def text(value):
    return html.escape(str(value))
