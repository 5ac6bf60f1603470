"""Report of what each layer alone costs in few bits."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from keras_strategies._internal import checks
from keras_strategies._internal.reports import Column, Report


class SensitivityReport(Report):
    """The result of `sensitivity`: a table, most sensitive layer first.

    `print(report)` shows the table, `report.plot()` a bar for each layer, and
    `report.choose(...)` an assignment of bits within a budget.

    Attributes:
        rows: One dict a layer: `layer`, `type`, `parameters` (of its kernel), for each
            of the numbers of bits `loss_<bits>` (what is lost if this layer alone has
            so many) and `bytes_<bits>`.
        bits: The numbers of bits.
        unit: What `loss` is: `"relative squared error"` of the outputs, or the name of
            the metric whose worsening it is.
        all_layers: `{bits: loss}` with all layers in so many bits.
        skipped: Names of the layers with kernels that were not measured.
    """

    CHART: ClassVar[tuple[str, str] | None] = ("layer", "loss")

    def __init__(
        self,
        rows: Sequence[Mapping[str, Any]],
        bits: Sequence[int],
        unit: str,
        all_layers: Mapping[int, float],
        skipped: Sequence[str] = (),
    ) -> None:
        self.rows: Sequence[Mapping[str, Any]] = rows
        self.bits: Sequence[int] = bits
        self.unit: str = unit
        self.all_layers: Mapping[int, float] = all_layers
        self.skipped: Sequence[str] = skipped

    def choose(
        self, *, max_loss: float | None = None, max_bytes: int | None = None
    ) -> dict[str, int | None]:
        """Returns the bits of each layer within a budget; `None` is float32.

        Losses of layers are added, which is right to first order while they are
        small: check the result on data. From float32 (for `max_loss`) or from the
        fewest bits (for `max_bytes`) the layer is moved whose step costs least loss for
        the bytes it saves, as long as the budget holds.

        Args:
            max_loss: Largest sum of losses, in `unit`. Defaults to `None`.
            max_bytes: Most bytes of all kernels together. Defaults to `None`.

        Raises:
            ValueError: If not exactly one budget is given, or no assignment keeps to
                it.
        """
        if (max_loss is None) == (max_bytes is None):
            checks.fail(
                "Exactly one of `max_loss` and `max_bytes` must be given",
                max_loss=max_loss,
                max_bytes=max_bytes,
            )
        if max_loss is not None:
            checks.real("max_loss", max_loss, low=0)
            return self._shrink(lambda loss, size: loss <= max_loss)
        limit = checks.integer("max_bytes", max_bytes, low=1)
        least = sum(row[f"bytes_{min(self.bits)}"] for row in self.rows)
        if limit < least:
            checks.fail(
                "`max_bytes` must be at least what the fewest bits take",
                max_bytes=limit,
                least=least,
            )
        return self._shrink(lambda loss, size: True, limit)

    def quantization(self, bits: Mapping[str, int | None]) -> dict[str, str]:
        """The `quantization` of `to_tflite` for an assignment of `choose`.

        Args:
            bits: `{layer: 8, 4 or None}`.
        """
        modes = {8: "int8", 4: "int4_weights"}
        unknown = sorted({b for b in bits.values() if b is not None} - set(modes))
        if unknown:
            checks.fail("LiteRT has weights of 8 or 4 bits", bits=unknown)
        return {
            f"(^|/){re.escape(name)}$": modes[number]
            for name, number in bits.items()
            if number is not None
        }

    def _shrink(self, fits, limit=None):
        """Moves layers to fewer bits while it fits, or until the size is the limit."""
        levels: list[int | None] = [None, *sorted(self.bits, reverse=True)]
        place = {row["layer"]: 0 for row in self.rows}
        rows = {row["layer"]: row for row in self.rows}
        loss, size = 0.0, sum(4 * row["parameters"] for row in self.rows)
        blocked: set[str] = set()
        while limit is None or size > limit:
            moves = []
            for name, level in place.items():
                if name in blocked or level + 1 == len(levels):
                    continue
                more, saved = _step(rows[name], levels[level], levels[level + 1])
                moves.append((more / saved, name, more, saved))
            if not moves:
                break
            _, name, more, saved = min(moves)
            if not fits(loss + more, size - saved):
                blocked.add(name)
                continue
            place[name] += 1
            loss, size = loss + more, size - saved
        return {name: levels[level] for name, level in place.items()}

    def _columns(self) -> tuple[Column, ...]:
        columns = [Column("layer", left=True), Column("type", left=True)]
        columns.append(Column("parameters", form=","))
        for number in self.bits:
            columns.append(Column(f"loss_{number}", f"loss, {number} bits", form=".3g"))
            columns.append(Column(f"bytes_{number}", f"bytes, {number}", form=","))
        return tuple(columns)

    def _footer(self) -> Sequence[str]:
        losses = ", ".join(f"{b} bits: {v:.3g}" for b, v in self.all_layers.items())
        lines = [f"Loss is {self.unit}. All layers at once: {losses}."]
        if self.skipped:
            lines.append(f"Not measured: {', '.join(self.skipped)}.")
        return lines

    def _summary(self) -> dict[str, Any]:
        return {
            "unit": self.unit,
            "bits": list(self.bits),
            "all_layers": {str(b): v for b, v in self.all_layers.items()},
            "skipped": list(self.skipped),
        }

    def _draw(self, ax):
        names = [row["layer"] for row in self.rows]
        height = 0.8 / len(self.bits)
        for number, bits in enumerate(self.bits):
            places = [i + number * height for i in range(len(names))]
            values = [max(row[f"loss_{bits}"], 0.0) for row in self.rows]
            ax.barh(places, values, height, label=f"{bits} bits")
        ax.set_yticks(range(len(names)), names)
        ax.invert_yaxis()
        ax.set_xlabel(self.unit)
        ax.legend(frameon=False)


def _step(row, old, new):
    """`(loss added, bytes saved)` by a move to fewer bits."""
    before = 0.0 if old is None else max(row[f"loss_{old}"], 0.0)
    size = 4 * row["parameters"] if old is None else row[f"bytes_{old}"]
    more = max(row[f"loss_{new}"], 0.0) - before
    return max(more, 0.0), max(size - row[f"bytes_{new}"], 1)
