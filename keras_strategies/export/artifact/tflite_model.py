"""`TFLiteModel`: use, score, time and look into a `.tflite` file from Python."""

import collections
import os
import pathlib

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies.export._common.export_error import ExportError
from keras_strategies.export._worker import sandbox
from keras_strategies.export.artifact import (
    _contents,
    _flatbuffer,
    _interpreter,
    _model_inputs,
    _scoring,
)
from keras_strategies.export.artifact.benchmark_result import BenchmarkResult

_PREFERRED = ("serving_default", "infer")


class TFLiteModel:
    """A `.tflite` file as a model: NumPy arrays in, NumPy arrays out.

    Use it to see what the phone will compute: the same `predict` and `evaluate` as
    on a Keras model, on any number of samples, with integer inputs and outputs
    converted by their scale `s` and zero point `z`, `real = s * (integer - z)`. It
    also times the file in a process of its own and lists what is inside.

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

    def __init__(self, path, *, threads=1, dequantize=True):
        self.threads = checks.integer("threads", threads, low=1, high=256)
        self.dequantize = checks.boolean("dequantize", dequantize)
        self.path, self._content = read_file(path)
        self._parsed = sandbox.check(self._content, self.path)
        with _flatbuffer.guarded():
            self._signatures = _flatbuffer.signatures(self._parsed)
        self._runner = _interpreter.Runner(
            self._content, threads=self.threads, dequantize=self.dequantize
        )

    @property
    def signatures(self):
        """Signature name -> `{"inputs": {name: {...}}, "outputs": {name: {...}}}`.

        Each tensor has `shape` (`None` for a free axis), `dtype`, and if quantized
        `scale` and `zero_point`. A file without signatures has one called `""`.
        """
        return self._signatures

    @property
    def default_signature(self):
        """Name of the signature that `predict` runs.

        `"serving_default"`, else `"infer"`, else the only one.
        """
        names = list(self._signatures)
        found = [name for name in _PREFERRED if name in names] or names
        if len(names) > 1 and found == names:
            rule = "The artifact must have a signature to predict with"
            fix = 'Use run("name", ...).'
            checks.fail(rule, fix=fix, signatures=names)
        return found[0]

    @property
    def metadata(self):
        """What `to_tflite(metadata=...)` wrote into the file, or `None`."""
        from keras_strategies.export.artifact import _metadata

        return _metadata.read(self._content)

    def __call__(self, inputs):
        """Returns the outputs for one batch of any number of samples."""
        return self.predict(inputs, batch_size=None, verbose=0)

    def predict(self, x, batch_size=32, verbose="auto"):
        """Returns the outputs for `x`: an array, or a dict if there are several.

        Args:
            x: An array, samples first; for several inputs a dict by name, or a list
                in the order of `signatures` if no two could be swapped unnoticed;
                or an iterable of batches (`tf.data.Dataset`,
                `keras.utils.PyDataset`) of inputs or `(inputs, targets, ...)`.
                Numbers are cast where nothing but digits of a float is lost.
            batch_size: Samples at once for an artifact of free batch size, at least
                1; `None` takes all of an array. Defaults to 32.
            verbose: 0 is silent, 1 and `"auto"` show a progress bar, 2 one line.
        """
        stream = self._outputs(x, None, None, (), batch_size, verbose)
        parts = [outputs for outputs, _, _ in stream]
        outputs = {key: np.concatenate([p[key] for p in parts]) for key in parts[0]}
        return next(iter(outputs.values())) if len(outputs) == 1 else outputs

    def evaluate(
        self,
        x,
        y=None,
        metrics=("accuracy",),
        batch_size=32,
        verbose="auto",
        sample_weight=None,
    ):
        """Returns `{metric name: float}` over all samples.

        Args:
            x: Inputs as for `predict`; batches are `(inputs, targets)` or
                `(inputs, targets, weights)`.
            y: Targets, samples first; for several outputs a dict by output name.
            metrics: A Keras metric, its name or function, or a list of these; for
                several outputs a dict by output name. `"accuracy"` is resolved by
                the shapes, as in `Model.compile`. Given objects are reset first.
            batch_size: As for `predict`.
            verbose: As for `predict`.
            sample_weight: One weight for each sample. Defaults to `None`.
        """
        _, _, slots = self._slots()
        scorer = _scoring.Scorer(metrics, [slot.name for slot in slots])
        scored = [slot for slot in slots if slot.name in scorer.names]
        stream = self._outputs(x, y, sample_weight, scored, batch_size, verbose)
        for outputs, targets, weights in stream:
            scorer.update(targets, outputs, weights)
        return scorer.result()

    def run(self, signature, /, **inputs):
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
        feed = _model_inputs.named("inputs", inputs, slots)
        feed = {
            slot.name: _model_inputs.fitted(
                "inputs", feed[slot.name], slot, batched=False
            )
            for slot in slots
        }
        return self._infer(feed, signature)

    def ops(self):
        """Returns a `collections.Counter` of operation names."""
        return collections.Counter(_flatbuffer.ops(self._parsed))

    def tensors(self):
        """Returns a list of dicts, one for each tensor of the file.

        Keys: `graph`, `name`, `dtype`, `shape`, `bytes` (of constant data),
        `scales` (more than one: quantized per channel) and `constant`.
        """
        return _contents.tensors(self._parsed)

    def sparsity(self):
        """Returns `{"total": fraction, "tensors": {name: fraction}}` of zeros.

        Of the constant float and quantized tensors with two axes or more; an
        integer is zero if it stands for 0. `total` is `None` if there are none.
        """
        return _contents.sparsity(self._parsed)

    def benchmark(
        self,
        runs=50,
        threads=1,
        xnnpack=True,
        warmup=10,
        batch_size=None,
        timeout=300.0,
    ):
        """Times the file in a fresh process and returns a `BenchmarkResult`.

        Inputs are made up; free axes but the batch get 16 entries.

        Args:
            runs: Timed inferences, in [1, 1e6]. Defaults to 50.
            threads: Threads of the interpreter, in [1, 256]. Defaults to 1.
            xnnpack: Use the XNNPACK kernels, as devices do. Defaults to `True`.
            warmup: Inferences before timing, in [0, 1e6]. Defaults to 10.
            batch_size: Samples in one inference, at least 1. Defaults to `None`:
                the artifact's own, or 1 if that is free.
            timeout: Seconds for the whole process, in (0, 1e6]. Defaults to 300.
        """
        threads = checks.integer("threads", threads, low=1, high=256)
        checks.boolean("xnnpack", xnnpack)
        fixed = self._fixed()
        size = checks.integer("batch_size", batch_size, low=1, optional=True)
        if fixed is not None and size not in (None, fixed):
            rule = f"`batch_size` must be {fixed} or None for this artifact"
            checks.fail(rule, batch_size=batch_size)
        asked = {
            "runs": checks.integer("runs", runs, low=1, high=10**6),
            "warmup": checks.integer("warmup", warmup, low=0, high=10**6),
            "threads": threads,
            "xnnpack": xnnpack,
            "batch_size": size or fixed or 1,
        }
        timeout = checks.real("timeout", timeout, low=0, high=1e6, low_open=True)
        signature = self.default_signature or None
        found = sandbox.benchmark(
            self._content, self.path, timeout, signature=signature, **asked
        )
        times = 1e3 * np.array(found["times"])
        del asked["warmup"]
        return BenchmarkResult(
            path=self.path,
            median_ms=float(np.median(times)),
            p90_ms=float(np.percentile(times, 90)),
            min_ms=float(times.min()),
            first_ms=1e3 * found["first"],
            peak_memory=found["peak_memory"],
            **asked,
        )

    def _slots(self, signature=None):
        """Returns `(signature, input slots, output slots)`."""
        signature = self.default_signature if signature is None else signature
        inputs, outputs = (
            [
                _model_inputs.Slot.of(name, entry, self.dequantize)
                for name, entry in role[signature].items()
            ]
            for role in (self._runner.inputs, self._runner.outputs)
        )
        return signature, inputs, outputs

    def _fixed(self):
        """The batch size that the artifact fixes, or None if it is free."""
        _, slots, _ = self._slots()
        sizes = {slot.shape[0] if slot.shape else 0 for slot in slots}
        if len(sizes) != 1 or 0 in sizes:
            shapes = {slot.name: slot.shape for slot in slots}
            rule = "All inputs must share a batch axis"
            fix = f"Use run({self.default_signature!r}, ...)."
            checks.fail(rule, fix=fix, shapes=shapes)
        return sizes.pop()

    def _outputs(self, x, y, weights, scored, batch_size, verbose):
        """Yields `(outputs, targets, weights)` batch by batch."""
        checks.choice("verbose", verbose, ("auto", 0, 1, 2))
        size = checks.integer("batch_size", batch_size, low=1, optional=True)
        signature, slots, _ = self._slots()
        bar, seen = None, 0
        for chunk in _model_inputs.chunks(
            x, y, weights, slots, scored, size, self._fixed()
        ):
            outputs = self._infer(chunk.feed, signature, chunk.size)
            if bar is None:
                shown = 1 if verbose == "auto" else verbose
                bar = keras.utils.Progbar(chunk.total, verbose=shown, unit_name="batch")
            seen += 1
            bar.update(seen)
            cut = {name: value[: chunk.count] for name, value in outputs.items()}
            yield cut, chunk.targets, chunk.weights
        if bar is None:
            checks.fail("`x` must not be empty", batches=0)
        if chunk.total is None:
            bar.update(seen, finalize=True)

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


def read_file(path):
    """Returns `(path as str, bytes)` of an existing file."""
    checks.instance("path", path, (str, os.PathLike))
    file = pathlib.Path(path)
    if not file.exists():
        rule = "`path` must be an existing .tflite file"
        raise FileNotFoundError(checks.message(rule, {"path": str(path)}))
    if file.is_dir():
        rule = "`path` must be a file, not a folder"
        raise IsADirectoryError(checks.message(rule, {"path": str(path)}))
    return str(path), file.read_bytes()
