"""The matrix as a table of Markdown, for docs/composition.md.

    python -m tests.composition.table

writes it into the page, between its two comments.
"""

import pathlib

from tests.composition import matrix

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "composition.md"
BEGIN, END = "<!-- table of optimizers -->", "<!-- end of table -->"
SHORT = {"tensorflow": "TF", "jax": "JAX", "torch": "Torch"}


def _text(row, column):
    marks = {}
    for backend in matrix.ALL:
        item = matrix.exception(row, column, backend)
        if item is not None:
            marks.setdefault(item.mark, []).append(backend)
    if not marks:
        return "="
    parts = []
    for mark, backends in marks.items():
        where = (
            "" if len(backends) == 3 else " " + ", ".join(SHORT[b] for b in backends)
        )
        parts.append(mark + where)
    return "; ".join(parts)


def render() -> str:
    """Returns the table: a line for each row, a column for each way of training."""
    names = [column.name for column in matrix.COLUMNS]
    lines = [f"| | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for row in matrix.ROWS:
        cells = " | ".join(_text(row, column) for column in matrix.COLUMNS)
        lines.append(f"| `{row.name}` | {cells} |")
    return "\n".join(lines)


def main() -> None:
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n\n{render()}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
