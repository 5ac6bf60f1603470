"""What an export produced, measured from the artifact."""

import dataclasses

from keras_strategies.export.convert import _report_page


@dataclasses.dataclass(frozen=True)
class ExportResult:
    """The figures of one exported `.tflite` file, measured from the file itself.

    Returned by `export.to_tflite`. Printing it, or `table()`, shows the main
    figures; `to_dict()` is ready for `json.dumps`; `save_report` writes a page.

    Args:
        path: The written file, as `str`.
        quantization: The mode or rules that were asked for, or that `"auto"` chose.
        bytes: Size of the file.
        gzipped_bytes: Size of the file under gzip, about what is downloaded.
        signature: `{"inputs": {name: {...}}, "outputs": {name: {...}}}`, each with
            `shape` (`None` for a free axis), `dtype`, and for integers of a
            quantized model `scale` and `zero_point`.
        ops: Operation name -> how often it occurs.
        tensor_types: Type name -> `{"tensors": count, "bytes": constant bytes}`;
            a buffer shared by several tensors is counted once.
        verified: Whether the artifact was run and compared. `False` only for an
            artifact with Flex operations, which `allow_flex=True` let through.
        agreement: Fraction of positions on which the artifact agrees with the
            Keras model, in [0, 1], the lowest over the outputs. `None` if not
            verified.
        max_difference: Largest absolute difference over all outputs.
        mean_difference: Mean absolute difference over all outputs.
        outputs: Output name -> its own `kind` (`"top-1"` or `"values"`),
            `agreement`, `max_difference`, `mean_difference` and `tolerance`.
        samples: Number of verification samples.
        calibration_samples: Number of samples that int8 ranges come from, else 0.
        latency_ms: Median time of one inference in milliseconds, one thread,
            XNNPACK on, on this machine's processor. `None` if not verified.
        seconds: Wall time of the whole export.
        calibration: How integer ranges were found: `method`, `samples`, `moving` (the
            share of tensors whose range grew by more than 5 % over the last quarter
            of the samples), `moving_tensors` and `settled`. `None` without
            calibration.
        metric: `metric`, `keras`, `artifact`, `drop` and `limit` where
            `max_metric_drop` was given, else `None`.
        search: What `"auto"` did: `objective`, `margin`, `chosen`, `candidates`,
            `search_samples`, `search_agreement`, `gate_samples` and
            `gate_agreement`. `None` for other modes.
        warnings: Sentences on what to know before using the artifact.

    Example:

    ```python
    import keras
    from keras_strategies import export

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    result = export.to_tflite(model, "result_example.tflite")
    print(result.bytes, result.agreement, result.ops)
    ```
    """

    path: str
    quantization: str | dict
    bytes: int
    gzipped_bytes: int
    signature: dict
    ops: dict
    tensor_types: dict
    verified: bool
    agreement: float | None
    max_difference: float | None
    mean_difference: float | None
    outputs: dict
    samples: int
    calibration_samples: int
    latency_ms: float | None
    seconds: float
    calibration: dict | None = None
    metric: dict | None = None
    search: dict | None = None
    warnings: tuple = ()

    def table(self):
        """Returns the main figures as text, one row each."""
        rows = [
            ("file", self.path),
            ("quantization", str(self.quantization)),
            ("size", f"{self.bytes:,} bytes ({self.gzipped_bytes:,} gzipped)"),
        ]
        for role in ("inputs", "outputs"):
            for name, entry in self.signature[role].items():
                rows.append((role[:-1], f"{name} {_tensor(entry)}"))
        if self.verified:
            rows += [
                ("agreement", f"{self.agreement:.4f} on {self.samples} samples"),
                ("max difference", f"{self.max_difference:.3g}"),
                ("mean difference", f"{self.mean_difference:.3g}"),
                ("latency", f"{self.latency_ms:.3f} ms"),
            ]
        else:
            rows.append(("agreement", "not verified"))
        rows += _more_rows(self)
        ops = ", ".join(f"{name} x{count}" for name, count in self.ops.items())
        rows.append(("operations", ops))
        rows += [("warning", text) for text in self.warnings]
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)

    def to_dict(self):
        """Returns every figure as a dict of JSON-ready values."""
        values = dataclasses.asdict(self)
        values["warnings"] = list(self.warnings)
        return values

    def save_report(self, path):
        """Writes every figure to `path`: `.html`, one page to look at, or `.json`.

        The page needs no network and no scripts. Returns the path as `str`.
        """
        return _report_page.write(path, self.to_dict())

    def __str__(self):
        return self.table()


def _more_rows(result):
    rows = []
    if result.metric:
        values = "{artifact:.4f}, Keras {keras:.4f}".format(**result.metric)
        rows.append((result.metric["metric"], values))
    if result.calibration:
        settled = "settled" if result.calibration["settled"] else "still moving"
        text = "{method}, {samples} samples, ranges ".format(**result.calibration)
        rows.append(("calibration", text + settled))
    if result.search:
        text = (
            "{chosen}: {search_agreement:.4f} on {search_samples} samples searched, "
            "{gate_agreement:.4f} on {gate_samples} held out"
        )
        rows.append(("search", text.format(**result.search)))
    return rows


def _tensor(entry):
    shape = ", ".join("?" if size is None else str(size) for size in entry["shape"])
    return f"{entry['dtype']} ({shape})"
