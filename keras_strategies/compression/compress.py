"""`compress`: sparsity, shared values and bits, found by search."""

import tempfile
import warnings

import keras

from keras_strategies._internal import checks, quantized
from keras_strategies._internal.select import Selection
from keras_strategies.compression import _prunable, _search_data
from keras_strategies.compression._search import SizeSearch
from keras_strategies.compression._search_bench import Bench, run
from keras_strategies.compression._search_latency import LatencySearch
from keras_strategies.compression._search_metric import Measure
from keras_strategies.compression._search_training import Tuner, outputs_of
from keras_strategies.compression.compression_result import CompressionResult


def compress(
    model,
    train_data,
    *,
    validation_data,
    test_data=None,
    budget=0.5,
    target="size",
    metric=None,
    mode="auto",
    epochs=3,
    batch_size=32,
    learning_rate=None,
    distill=False,
    temperature=4.0,
    alpha=0.5,
    max_candidates=16,
    max_seconds=None,
    seed=None,
    verbose=1,
):
    """Searches for the smallest (or fastest) int8 model that is still good enough.

    Use it on a trained model, instead of trying sparsities, numbers of shared values
    and quantizations by hand. Every candidate is fine-tuned, exported to `.tflite` and
    scored as that file: the figures are those of what runs on the device. The given
    model is not changed.

    `target="size"` looks for the fewest bytes after gzip, about what is downloaded:

    1. int8 of the model as it is; if that alone is over the budget, int8 with
       `quantize_aware` training (for each candidate), then `"dynamic"` and `"float16"`;
    2. sparsity by bisection of 0.5 ... 0.99, `prune(scope="global")` with
       fine-tuning, each going on from the sparsest model that kept to the budget,
       from where the next levels are tried once more;
    3. shared values by bisection of 64, 32, 16, 8, 4, `cluster` with fine-tuning of
       that model; and where none keeps to the budget, of the one before it;
    4. `quantize_aware` training of the candidate over the budget that lost least.

    `target="latency"` looks for the fewest operations: `prune_filters` by bisection of
    1/8 ... 7/8, with fine-tuning, then int8. Which one is taken is decided by counted
    operations, as measured times differ from run to run; `latency_ms` is measured.

    All this looks at the validation data again and again, so the loss there is a bit
    too rosy. What was really lost is therefore measured once, at the end, on data that
    the search has not seen: `test_data`, or else a random half of the validation data,
    which the search then does without. The result has both figures. Give a budget
    that the data can resolve: of 500 samples one is 0.2 points.

    A fine-tuning runs the compiled loss and a fresh optimizer of the compiled kind
    for `epochs`, its learning rate falling to 0 along a cosine (clustering at 0.3 of
    it, quantization-aware training at 0.1). With `distill=True` it also learns from the
    outputs of the given model, the teacher: the loss is
    `(1 - alpha) * loss + alpha * T**2 * KL(softmax(t / T), softmax(s / T))` with the
    logits `t` of the teacher and `s` of the candidate and the temperature `T`; for
    losses without classes, the mean squared difference of the outputs takes the place
    of the second term.

    If nothing keeps to the budget, the candidate that loses least is returned, with
    `met=False` and a warning.

    References: Han, Mao and Dally, "Deep compression" (2016),
    https://arxiv.org/abs/1510.00149; Hinton, Vinyals and Dean, "Distilling the
    knowledge in a neural network" (2015), https://arxiv.org/abs/1503.02531.

    Args:
        model: A built and compiled `keras.Model` with one output. Filters can be
            removed, and quantization-aware training is tried, only if it is
            Functional or Sequential. A subclassed model must be one that Keras can
            save and load.
        train_data: `(x, y)` or `(x, y, sample_weight)`, or a data set of batches with
            a known length (`tf.data.Dataset`, `keras.utils.PyDataset`, PyTorch
            `DataLoader`).
        validation_data: The same for scoring; it is read into memory.
        test_data: The same for the last word, or `None` to split it off. Defaults to
            `None`.
        budget: Points that may be lost, at least 0: hundredths of a metric to
            maximize (0.5 is half a point of accuracy), per cent of a metric to
            minimize. Defaults to 0.5.
        target: `"size"` or `"latency"`. Defaults to `"size"`.
        metric: A Keras metric, its name or function. Defaults to `None`, the first
            metric that the model is compiled with, or else its loss.
        mode: Whether the metric is better if larger, `"max"`, or smaller, `"min"`;
            `"auto"` tells by its name. Defaults to `"auto"`.
        epochs: Epochs of each fine-tuning, at least 1. Defaults to 3.
        batch_size: Batch size for arrays. Defaults to 32.
        learning_rate: Where each fine-tuning starts, greater than 0. Defaults to
            `None`, the model's own rate (the largest so far, if it is a schedule).
        distill: Whether the given model is the teacher. Defaults to `False`.
        temperature: Temperature of distillation, greater than 0. Defaults to 4.0.
        alpha: Share of distillation in the loss, in (0, 1]. Defaults to 0.5.
        max_candidates: Most models to try, at least 1. Defaults to 16.
        max_seconds: Time after which no other candidate is begun. Defaults to `None`,
            no limit.
        seed: Seed of the split and of every fine-tuning, set by
            `keras.utils.set_random_seed`. The same seed gives the same search, unless
            `max_seconds` ends it. Defaults to `None`.
        verbose: 0 is silent, 1 prints a line for each candidate. Defaults to 1.

    Returns:
        A `CompressionResult`: `.model`, `.table()`, `.plot()`, `.save(folder)`, `.met`.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is out of its range, if the model is not built, not
            compiled with a loss, has several outputs, nothing to prune or is
            quantization-aware already, or if the direction of the metric is unknown.
        ExportError: If the float model itself cannot be exported.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import compression

    x = np.random.default_rng(0).normal(size=(256, 8)).astype("float32")
    y = (x[:, 0] > 0).astype("int32")
    model = keras.Sequential([
        keras.Input((8,)),
        keras.layers.Dense(32, activation="relu"),
        keras.layers.Dense(2, activation="softmax"),
    ])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=10, verbose=0)

    result = compression.compress(
        model,
        (x[:128], y[:128]),
        validation_data=(x[128:], y[128:]),
        budget=5.0,
        max_candidates=2,
        seed=0,
    )
    print(result)
    print(result.ratio, result.met, result.held_out["drop"])
    ```
    """
    _check_options(
        budget=budget,
        target=target,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        distill=distill,
        temperature=temperature,
        alpha=alpha,
        max_candidates=max_candidates,
        max_seconds=max_seconds,
        seed=seed,
        verbose=verbose,
    )
    _check_model(model)
    measure = Measure(model, metric, mode)
    validation, held_out = _parts(validation_data, test_data, seed)
    if seed is not None:
        keras.utils.set_random_seed(seed)
    tuner = Tuner(
        model,
        train_data,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        distill=(temperature, alpha) if distill else None,
        seed=seed,
    )
    calibration = _search_data.calibration(train_data, seed)
    with tempfile.TemporaryDirectory(prefix="keras_strategies_") as folder:
        bench = Bench(
            model,
            measure,
            validation,
            calibration,
            budget=budget,
            target=target,
            folder=folder,
            limits=(max_candidates, max_seconds),
            verbose=verbose,
        )
        search = (SizeSearch if target == "size" else LatencySearch)(bench, tuner)
        search.run()
        return _result(bench, search, held_out)


def _check_options(**given):
    checks.real("budget", given["budget"], low=0)
    checks.choice("target", given["target"], ("size", "latency"))
    for name in ("epochs", "batch_size", "max_candidates"):
        checks.integer(name, given[name], low=1)
    for name in ("learning_rate", "max_seconds"):
        checks.real(name, given[name], low=0, low_open=True, optional=True)
    checks.boolean("distill", given["distill"])
    checks.real("temperature", given["temperature"], low=0, low_open=True)
    checks.real("alpha", given["alpha"], low=0, high=1, low_open=True)
    checks.integer("seed", given["seed"], low=0, optional=True)
    checks.choice("verbose", given["verbose"], (0, 1))


def _check_model(model):
    checks.instance("model", model, keras.Model)
    _prunable.check_built(model)
    if not model.compiled or model.loss is None:
        checks.fail(
            "`model` must be compiled with a loss: candidates are fine-tuned",
            fix="Call `model.compile(optimizer, loss, metrics=...)` first.",
            model=model.name,
        )
    _prunable.choose(model, Selection())
    if quantized.is_quantize_aware(model):
        checks.fail(
            "`model` must not be quantization-aware already",
            fix="Give the float model.",
            model=model.name,
        )


def _parts(validation_data, test_data, seed):
    if validation_data is None:
        checks.fail(
            "`validation_data` must be given: the budget is measured on it",
            fix="Give `(x, y)` that the model was not trained on.",
            validation_data=None,
        )
    validation = _search_data.samples("validation_data", validation_data)
    held_out = None
    if test_data is not None:
        held_out = _search_data.samples("test_data", test_data)
    return _search_data.split(validation, held_out, seed)


def _result(bench, search, held_out):
    best, measure = bench.best, bench.measure
    if best is None:
        raise bench.failure()
    if not best.met:
        warnings.warn(
            f"No candidate kept to the budget of {bench.budget:g} points; {best}, "
            f"which lost {best.drop:.2f}, is the one that lost least.",
            stacklevel=3,
        )
    path = bench.folder / "chosen.tflite"
    path.write_bytes(bench.content)
    before = measure.score(held_out, outputs_of(bench.model, held_out.x))
    after = measure.score(held_out, run(path, bench.model, held_out))
    rows = [one.row() for one in bench.candidates]
    names = ("bytes", "gzipped_bytes", "latency_ms")
    return CompressionResult(
        model=search.model(),
        content=bench.content,
        target=bench.target,
        budget=bench.budget,
        metric=measure.name,
        mode=measure.mode,
        candidates=rows,
        chosen=rows[bench.candidates.index(best)],
        baseline={name: getattr(bench.baseline, name) for name in names},
        validation={
            "samples": len(bench.validation),
            "float": bench.reference,
            "compressed": best.metric,
            "drop": best.drop,
        },
        held_out={
            "samples": len(held_out),
            "float": before,
            "compressed": after,
            "drop": measure.drop(after, before),
        },
    )
