"""`.tflite` file as a model: inference, scores, timing and contents."""

import collections
import os
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies.export._common import (
    ExportError,
    sample_data,
    validate_time_limit,
)
from keras_strategies.export._worker import sandbox
from keras_strategies.export.artifact import (
    _contents,
    _flatbuffer,
    _interpreter,
    _metadata,
    _model_inputs,
    _opening,
    _scoring,
)
from keras_strategies.export.artifact.benchmark_result import BenchmarkResult

# Fewest timed inferences where a time is asked for.
_MIN_RUNS = 50


class TFLiteModel:
    """A `.tflite` file as a model: NumPy arrays in, NumPy arrays out.

    Use it to see what the phone will compute: the same `predict` and `evaluate` as
    on a Keras model, on any number of samples, with integer inputs and outputs
    converted by their scale `s` and zero point `z`, `real = s * (integer - z)`. It
    also times the file in a process of its own and lists its contents.

    The file is read once. Before this process opens it, the interpreter runs it once
    in a process of its own (about 0.3 s), since damaged files can crash it; the same
    bytes are not checked twice. Works on every Keras backend, without TensorFlow.

    An artifact of free batch size runs `batch_size` samples at once; one of fixed
    size runs as often as needed, the last batch filled up and cut.

    Reference: [LiteRT signatures](https://ai.google.dev/edge/litert/models/signatures).

    Args:
        path: The file, as `str` or path. It may come from any converter. Without
            signatures its inputs and outputs are named by their tensors.
        threads: Threads of the interpreter, in [1, 256]. Defaults to 1.
        dequantize: Whether quantized inputs and outputs hold real numbers. `False`
            takes and gives the raw integers. Defaults to `True`.

    Raises:
        FileNotFoundError: There is no such file.
        ExportError: The file is damaged or no `.tflite` file (reason `"load"`), or
            needs operations that no Python runtime has (`"flex"`).

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import export

    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, activation="softmax")]
    )
    export.to_tflite(model, "open_example.tflite")

    artifact = export.TFLiteModel("open_example.tflite")
    x, y = np.random.default_rng(0).random((10, 4)), np.zeros(10)
    print(artifact.predict(x, verbose=0).shape)  # (10, 3)
    print(artifact.evaluate(x, y, verbose=0))
    print(artifact.ops(), artifact.sparsity()["total"])
    ```
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        threads: int = 1,
        dequantize: bool = True,
    ) -> None:
        self.threads: int = checks.integer("threads", threads, low=1, high=256)
        self.dequantize: bool = checks.boolean("dequantize", dequantize)
        self.path: str
        self.path, self._content = _opening.read_file(path)
        self._parsed = _opening.parse_runnable(self._content, self.path)
        self._signatures = _flatbuffer.signatures(self._parsed)
        self._runner = _interpreter.Runner(
            self._content, threads=self.threads, dequantize=self.dequantize
        )

    @property
    def signatures(self) -> dict[str, Any]:
        """Signature name -> `{"inputs": {name: {...}}, "outputs": {name: {...}}}`.

        Each tensor has `shape` (`None` for a free axis), `dtype`, and if quantized
        `scale` and `zero_point`. A file without signatures has one called `""`.
        """
        return self._signatures

    @property
    def default_signature(self) -> str:
        """Name of the signature that `predict` runs.

        `"serving_default"`, else `"infer"`, else the only one.
        """
        names = list(self._signatures)
        for name in _metadata.INFERENCE_SIGNATURES:
            if name in names:
                return name
        if len(names) > 1:
            rule = "The artifact must have a signature to predict with"
            fix = 'Use run("name", ...).'
            checks.fail(rule, fix=fix, signatures=names)
        return names[0]

    @property
    def metadata(self) -> dict[str, Any] | None:
        """The metadata that `to_tflite(metadata=...)` wrote, or `None`."""
        return _metadata.read(self._content)

    def __call__(self, inputs: Any) -> Any:
        """Returns the outputs for one batch of any number of samples."""
        return self.predict(inputs, batch_size=None, verbose=0)

    def predict(
        self, x: Any, batch_size: int | None = 32, verbose: str | int = "auto"
    ) -> Any:
        """Returns the outputs for `x`: an array, or a dict if there are several.

        Args:
            x: An array, samples first; for several inputs a dict by name, or a list
                in the order of `signatures` if no two could be swapped unnoticed;
                or an iterable of batches (`tf.data.Dataset`,
                `keras.utils.PyDataset`) of inputs or `(inputs, targets, ...)`.
                Numbers are cast where at most digits of a float are lost.
            batch_size: Samples at once for an artifact of free batch size, at least
                1; `None` means all samples of an array. Defaults to 32.
            verbose: 0 is silent, 1 and `"auto"` show a progress bar, 2 one line.
                Defaults to `"auto"`.
        """
        batches = self._predict_batches(x, None, None, (), batch_size, verbose)
        outputs = sample_data.join_samples([outputs for outputs, _, _ in batches])
        return next(iter(outputs.values())) if len(outputs) == 1 else outputs

    def evaluate(
        self,
        x: Any,
        y: Any = None,
        metrics: Any = ("accuracy",),
        batch_size: int | None = 32,
        verbose: str | int = "auto",
        sample_weight: Any = None,
    ) -> dict[str, Any]:
        """Returns `{metric name: float}` over all samples.

        Args:
            x: Inputs as for `predict`; batches are `(inputs, targets)` or
                `(inputs, targets, weights)`.
            y: Targets, samples first; for several outputs a dict by output name.
                Defaults to `None`: they are in the batches of `x`.
            metrics: A Keras metric, its name or function, or a list of these; for
                several outputs a dict by output name. `"accuracy"` is resolved by
                the shapes, as in `Model.compile`. Given objects are reset first.
                Defaults to `("accuracy",)`.
            batch_size: As for `predict`. Defaults to `32`.
            verbose: As for `predict`. Defaults to `"auto"`.
            sample_weight: One weight for each sample. Defaults to `None`.
        """
        _, _, slots = self._slots()
        scorer = _scoring.Scorer(metrics, [slot.name for slot in slots])
        scored = [slot for slot in slots if slot.name in scorer.names]
        batches = self._predict_batches(
            x, y, sample_weight, scored, batch_size, verbose
        )
        for outputs, targets, weights in batches:
            scorer.update(targets, outputs, weights)
        return scorer.result()

    def run(self, signature: str, /, **inputs: Any) -> dict[str, np.ndarray]:
        """Returns the outputs of one run of `signature` as a dict by name.

        For artifacts with several signatures, such as `train`, `infer`, `save` and
        `restore`: variables keep their values from run to run. Inputs are given in
        the shapes of the signature, without batching.

        Args:
            signature: A key of `signatures`.
            **inputs: Its inputs by name.
        """
        checks.choice("signature", signature, list(self._signatures))
        _, slots, _ = self._slots(signature)
        arrays = _model_inputs.by_slot_name("inputs", inputs, slots)
        feed = {
            slot.name: _model_inputs.fit_to_slot(
                "inputs", arrays[slot.name], slot, batched=False
            )
            for slot in slots
        }
        return self._infer(feed, signature)

    def ops(self) -> collections.Counter[str]:
        """Returns a `collections.Counter` of operation names."""
        return collections.Counter(_flatbuffer.count_ops(self._parsed))

    def tensors(self) -> list[dict[str, Any]]:
        """Returns a list of dicts, one for each tensor of the file.

        Keys: `graph`, `name`, `dtype`, `shape`, `bytes` (of constant data),
        `scales` (more than one: quantized per channel) and `constant`.
        """
        return _contents.list_tensors(self._parsed)

    def sparsity(self) -> dict[str, Any]:
        """Returns `{"total": fraction, "tensors": {name: fraction}}` of zeros.

        Of the constant float and quantized tensors with two axes or more; an
        integer is zero if it stands for 0. `total` is `None` if there are none.
        """
        return _contents.measure_sparsity(self._parsed)

    def benchmark(
        self,
        runs: int | None = None,
        threads: int = 1,
        xnnpack: bool = True,
        warmup: int = 10,
        batch_size: int | None = None,
        inputs: Any = None,
        min_seconds: float = 1.0,
        time_limit: float = 300.0,
    ) -> BenchmarkResult:
        """Times the file in a fresh process and returns a `BenchmarkResult`.

        Random inputs have 16 entries on free axes other than the batch. The times of
        some models depend on the values: give real `inputs` then.

        Args:
            runs: Timed inferences, in [1, 1e6]. Defaults to `None`, as many as
                `min_seconds` take, at least 50.
            threads: Threads of the interpreter, in [1, 256]. Defaults to 1.
            xnnpack: Use the XNNPACK kernels, as devices do. Defaults to `True`.
            warmup: Inferences before timing, in [0, 1e6]. Defaults to 10.
            batch_size: Samples in one inference, at least 1. Defaults to `None`:
                the artifact's own, or 1 if that is free.
            inputs: Real inputs in the forms of `predict`; the first `batch_size`
                samples are used. Defaults to `None`, random ones.
            min_seconds: Shortest time to measure for where `runs` is `None`, at least
                0. Short models need many runs for a steady percentile. Defaults to 1.
            time_limit: Seconds for the whole process, in (0, 1e6]. Defaults to 300.
        """
        threads = checks.integer("threads", threads, low=1, high=256)
        checks.boolean("xnnpack", xnnpack)
        fixed_size = self._fixed_batch_size()
        size = checks.integer("batch_size", batch_size, low=1, optional=True)
        if fixed_size is not None and size not in (None, fixed_size):
            rule = f"`batch_size` must be {fixed_size} or None for this artifact"
            checks.fail(rule, batch_size=batch_size)
        checks.integer("runs", runs, low=1, high=10**6, optional=True)
        checks.real("min_seconds", min_seconds, low=0)
        settings: dict[str, Any] = {
            "threads": threads,
            "xnnpack": xnnpack,
            "batch_size": size or fixed_size or 1,
        }
        feed = None
        if inputs is not None:
            feed = self._first_feed(inputs, settings["batch_size"])
        measured = sandbox.benchmark(
            self._content,
            self.path,
            validate_time_limit(time_limit),
            signature=self.default_signature or None,
            warmup=checks.integer("warmup", warmup, low=0, high=10**6),
            runs=runs or _MIN_RUNS,
            seconds=0.0 if runs else min_seconds,
            feed=feed,
            **settings,
        )
        times = 1e3 * np.array(measured["times"])
        return BenchmarkResult(
            path=self.path,
            median_ms=float(np.median(times)),
            p90_ms=float(np.percentile(times, 90)),
            min_ms=float(times.min()),
            first_ms=1e3 * measured["first"],
            peak_memory=measured["peak_memory"],
            p99_ms=float(np.percentile(times, 99)),
            runs=len(times),
            inputs="random" if inputs is None else "given",
            **settings,
        )

    def _first_feed(self, inputs, size):
        """Returns the arrays of the first batch, as the interpreter takes them."""
        signature, slots, _ = self._slots()
        chunk = next(
            _model_inputs.split_into_chunks(
                inputs, None, None, slots, (), size, self._fixed_batch_size()
            ),
            None,
        )
        if chunk is None:
            checks.fail("`inputs` must not be empty", batches=0)
        if chunk.count < size:
            rule = "`inputs` must have at least `batch_size` samples"
            checks.fail(rule, samples=chunk.count, batch_size=size)
        return self._runner.raw_inputs(chunk.feed, signature)

    def _slots(self, signature=None):
        """Returns `(signature, input slots, output slots)`."""
        signature = self.default_signature if signature is None else signature
        inputs, outputs = (
            [
                _model_inputs.Slot.from_details(name, entry, self.dequantize)
                for name, entry in role[signature].items()
            ]
            for role in (self._runner.inputs, self._runner.outputs)
        )
        return signature, inputs, outputs

    def _fixed_batch_size(self):
        """The batch size that the artifact fixes, or None if it is free."""
        _, slots, _ = self._slots()
        sizes = {slot.shape[0] if slot.shape else 0 for slot in slots}
        if len(sizes) != 1 or 0 in sizes:
            shapes = {slot.name: slot.shape for slot in slots}
            rule = "All inputs must share a batch axis"
            fix = f"Use run({self.default_signature!r}, ...)."
            checks.fail(rule, fix=fix, shapes=shapes)
        return sizes.pop()

    def _predict_batches(
        self,
        x: Any,
        y: Any,
        weights: Any,
        scored: Sequence[_model_inputs.Slot],
        batch_size: int | None,
        verbose: str | int,
    ) -> Iterator[tuple[Any, Any, Any]]:
        """Yields `(outputs, targets, weights)` batch by batch."""
        checks.choice("verbose", verbose, ("auto", 0, 1, 2))
        size = checks.integer("batch_size", batch_size, low=1, optional=True)
        signature, slots, _ = self._slots()
        progress, num_batches = None, 0
        for chunk in _model_inputs.split_into_chunks(
            x, y, weights, slots, scored, size, self._fixed_batch_size()
        ):
            outputs = self._infer(chunk.feed, signature, chunk.size)
            if progress is None:
                progress = keras.utils.Progbar(
                    chunk.total,
                    verbose=1 if verbose == "auto" else verbose,
                    unit_name="batch",
                )
            num_batches += 1
            progress.update(num_batches)
            # The last batch may have been filled up.
            samples = {name: value[: chunk.count] for name, value in outputs.items()}
            yield samples, chunk.targets, chunk.weights
        if progress is None:
            checks.fail("`x` must not be empty", batches=0)
        if chunk.total is None:
            progress.update(num_batches, finalize=True)

    def _infer(self, feed, signature, batch=None):
        try:
            outputs = self._runner.run(feed, signature)
        except (RuntimeError, ValueError) as error:
            shapes = {name: value.shape for name, value in feed.items()}
            message = f"The artifact cannot run inputs of shape {shapes}: {error}"
            raise ExportError(message, "run", {"shapes": shapes}) from error
        wrong = {k: v.shape for k, v in outputs.items() if v.shape[:1] != (batch,)}
        if batch is not None and wrong:
            rule = f"Outputs must have one row for each of the {batch} samples"
            fix = f"Use run({signature!r}, ...)."
            checks.fail(rule, fix=fix, shapes=wrong)
        return outputs
