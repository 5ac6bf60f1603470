"""Speed of an artifact, measured in a process of its own."""

import dataclasses
from typing import TYPE_CHECKING

from keras_strategies.export._common import FiguresReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True)
class BenchmarkResult(FiguresReport):
    """Times of one `.tflite` file on this machine's processor.

    Returned by `export.TFLiteModel.benchmark`. Printing it, or `table()`, shows the
    figures; `plot()` draws the times; `to_dict()` is ready for `json.dumps`. The
    median is the figure to compare; the smallest time is that of an undisturbed
    processor.

    Args:
        path: The measured file, as `str`.
        median_ms: Median time of one inference in milliseconds.
        p90_ms: 90th percentile of the times.
        min_ms: The smallest time.
        first_ms: Time to open the file and run it for the first time.
        runs: Number of timed inferences.
        batch_size: Samples in one inference.
        threads: Threads of the interpreter.
        xnnpack: Whether the XNNPACK kernels were used.
        peak_memory: Bytes by which opening and running raised the peak of the
            process's resident memory; `None` where the system does not tell.
        p99_ms: 99th percentile of the times; of fewer than 100 runs it is their
            largest.
        inputs: `"random"` or `"given"`.

    LiteRT's Python interpreter gives no times of single operations; on a device its
    `benchmark_model --enable_op_profiling=true` does.

    Example:

    ```python
    import keras
    from keras_strategies import export

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    export.to_tflite(model, "benchmark_example.tflite")
    result = export.TFLiteModel("benchmark_example.tflite").benchmark(runs=20)
    print(result.median_ms, result.peak_memory)
    ```
    """

    path: str
    median_ms: float
    p90_ms: float
    min_ms: float
    first_ms: float
    runs: int
    batch_size: int
    threads: int
    xnnpack: bool
    peak_memory: int | None
    p99_ms: float | None = None
    inputs: str = "random"

    def figures(self) -> list[tuple[str, str]]:
        """Returns the figures as pairs of a name and a text."""
        memory = "unknown"
        if self.peak_memory is not None:
            memory = f"{self.peak_memory / 2**20:.1f} MiB"
        return [
            ("file", self.path),
            ("median", f"{self.median_ms:.3f} ms"),
            ("90 % within", f"{self.p90_ms:.3f} ms"),
            *(
                [("99 % within", f"{self.p99_ms:.3f} ms")]
                if self.p99_ms is not None
                else []
            ),
            ("smallest", f"{self.min_ms:.3f} ms"),
            ("first", f"{self.first_ms:.3f} ms, with opening"),
            ("peak memory", memory),
            ("runs", f"{self.runs} of batch size {self.batch_size}"),
            ("inputs", self.inputs),
            ("threads", str(self.threads)),
            ("XNNPACK", "on" if self.xnnpack else "off"),
        ]

    def _draw(self, ax: "Axes") -> None:
        times = {
            "smallest": self.min_ms,
            "median": self.median_ms,
            "90 % within": self.p90_ms,
        }
        ax.barh(list(times), list(times.values()), color="#0b6e99")
        ax.invert_yaxis()
        ax.set_xlabel("time of one inference (ms)")
