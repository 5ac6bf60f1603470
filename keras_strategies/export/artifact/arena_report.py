"""Memory and operations of a file on a microcontroller."""

import dataclasses
from typing import TYPE_CHECKING

from keras_strategies.export._common import FiguresReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True)
class ArenaReport(FiguresReport):
    """What LiteRT for Microcontrollers needs of one `.tflite` file.

    Returned by `export.measure_arena`. Printing it, or `table()`, shows the figures;
    `plot()` draws flash and RAM; `to_dict()` is ready for `json.dumps`.

    Args:
        path: The file, as `str`.
        arena_bytes: Bytes of the tensor arena, the RAM that the interpreter takes.
        is_estimate: Whether `arena_bytes` is planned from the file, as the package
            `tflite-micro` is missing or cannot run it; then leave a reserve.
        model_bytes: Bytes of the file, which stays in flash.
        ops: Its operations and how often each occurs.
        unsupported: Operations that the interpreter for microcontrollers does not have.
        runs: Whether it ran there; `None` if that was not tried.
        error: What the interpreter said if it did not.

    Example:

    ```python
    import keras
    from keras_strategies import export

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    export.to_tflite(model, "arena_example.tflite")
    report = export.measure_arena("arena_example.tflite")
    print(report.arena_bytes, report.is_estimate, report.unsupported)
    ```
    """

    path: str
    arena_bytes: int
    is_estimate: bool
    model_bytes: int
    ops: dict[str, int]
    unsupported: list[str]
    runs: bool | None = None
    error: str = ""

    def figures(self) -> list[tuple[str, str]]:
        """Returns the figures as pairs of a name and a text."""
        origin = "estimated" if self.is_estimate else "measured by tflite-micro"
        runs = {None: "not tried", True: "yes", False: f"no: {self.error}"}
        return [
            ("file", self.path),
            ("tensor arena", f"{self.arena_bytes:,} bytes, {origin}"),
            ("model in flash", f"{self.model_bytes:,} bytes"),
            ("operations", ", ".join(self.ops)),
            ("not supported", ", ".join(self.unsupported) or "none"),
            ("runs", runs[self.runs]),
        ]

    def _draw(self, ax: "Axes") -> None:
        sizes = {"flash: model": self.model_bytes, "RAM: arena": self.arena_bytes}
        ax.barh(list(sizes), [size / 1024 for size in sizes.values()], color="#0b6e99")
        ax.invert_yaxis()
        ax.set_xlabel("KiB")
