"""`compress`: search for a smaller or faster model within a budget."""

import tempfile
import warnings
from typing import Any, Literal

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.select import Selection
from keras_strategies._internal.traversal import all_layers
from keras_strategies._internal.weights import quantized
from keras_strategies.compression._common import compressible_weights
from keras_strategies.compression.search import _budget_decision, _samples
from keras_strategies.compression.search._budget_metric import BudgetMetric
from keras_strategies.compression.search._candidate_evaluator import (
    CandidateEvaluator,
    SearchLimits,
    predict,
)
from keras_strategies.compression.search._fine_tuner import FineTuner, outputs_of
from keras_strategies.compression.search._latency_search import LatencySearch
from keras_strategies.compression.search._samples import Samples
from keras_strategies.compression.search._search_base import CompressionSearch
from keras_strategies.compression.search._size_search import SizeSearch
from keras_strategies.compression.search.compression_result import CompressionResult
from keras_strategies.export._common import model_state

_SEARCHES = {"size": SizeSearch, "latency": LatencySearch}


def compress(
    model: keras.Model,
    train_data: Any,
    *,
    validation_data: Any,
    test_data: Any = None,
    budget: float = 0.5,
    confidence: float = 0.95,
    target: Literal["size", "latency"] = "size",
    metric: Any = None,
    mode: Literal["auto", "min", "max"] = "auto",
    epochs: int = 3,
    batch_size: int = 32,
    learning_rate: float | None = None,
    distill: bool = False,
    temperature: float = 4.0,
    alpha: float = 0.5,
    max_candidates: int = 16,
    time_limit: float | None = None,
    seed: int | None = None,
    verbose: Literal[0, 1] = 1,
) -> CompressionResult:
    """Searches for the smallest (or fastest) int8 model that is still good enough.

    Use it on a trained model, instead of trying sparsities, numbers of shared values
    and quantizations by hand. Every candidate is fine-tuned, exported to `.tflite` and
    scored as that file: the figures are those of the file that runs on the device.
    The given model is not changed, its state (of stateful layers) included.

    `target="size"` minimizes the bytes after gzip, approximately what is downloaded:

    1. int8 of the given model; if that alone is over the budget, int8 with
       `quantize_aware` training (for each candidate), then `"dynamic"` and `"float16"`;
    2. sparsity by bisection of 0.5 ... 0.99, `prune(scope="global")` with
       fine-tuning, each continuing from the sparsest model within the budget, from
       which the next levels are tried once more;
    3. shared values by bisection of 64, 32, 16, 8, 4, `cluster` with fine-tuning of
       that model; and if none is within the budget, of the one before it;
    4. `quantize_aware` training of the candidate over the budget that lost least.

    `target="latency"` minimizes the operations: `prune_filters` by bisection of
    1/8 ... 7/8, with fine-tuning, then int8. Candidates are compared by counted
    operations, as measured times differ from run to run; `latency_ms` is measured.

    Candidates are chosen by their metric on the validation data, so the drop there is
    biased downward. The drop is therefore measured once more, at the end, on data that
    the search has not used: `test_data`, or else a random half of the validation data,
    which the search then does not use. The result has both figures.

    `result.met` is True only if the upper confidence bound of that drop is within the
    budget, on pairs of outputs for the same samples: Tango's score interval for
    accuracies (McNemar's test with a margin), Student's t for losses and other means
    of samples, the bootstrap for metrics such as AUC. `result.reason` says what was
    decided, or that it is undecided and how many samples would decide. A budget of 0.5
    points of accuracy takes at least 539 held-out samples, one of 2 points 133.

    A fine-tuning runs the compiled loss and a fresh optimizer of the compiled kind
    for `epochs`, its learning rate decaying to 0 along a cosine (times 0.3 for
    clustering, 0.1 for quantization-aware training). With `distill=True` the loss
    also compares with the outputs of the given model, the teacher: it is
    `(1 - alpha) * loss + alpha * T**2 * KL(softmax(t / T), softmax(s / T))` with the
    logits `t` of the teacher and `s` of the candidate and the temperature `T`; for
    losses without classes, the second term is the mean squared difference of the
    outputs.

    A file must also pass the verdict of `export.to_tflite` against its own Keras model,
    with a limit widened to the budget: a mean metric hides a rare class that is gone.

    If no candidate is within the budget, the one that loses least is returned, with
    `met=False` and a warning; so is one about which the held-out data cannot decide.

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
        validation_data: The same for scoring; it is read into memory. At least 40
            samples, or 20 with `test_data`.
        test_data: The same for the final measurement, at least 20 samples, or `None`
            to split it off the validation data. Defaults to `None`.
        budget: Allowed metric drop, at least 0: percentage points for maximized
            metrics (0.5 is an accuracy of 0.005), per cent (relative) for minimized
            ones. Defaults to 0.5.
        confidence: Confidence of the one-sided bound by which `met` is decided, in
            [0.5, 1). Defaults to 0.95.
        target: `"size"` or `"latency"`. Defaults to `"size"`.
        metric: A Keras metric, its name or function. Defaults to `None`, the first
            metric that the model is compiled with, or else its loss.
        mode: Whether the metric is better if larger, `"max"`, or smaller, `"min"`;
            `"auto"` takes the direction of the metric. Defaults to `"auto"`.
        epochs: Epochs of each fine-tuning, at least 1. Defaults to 3.
        batch_size: Batch size for arrays. Defaults to 32.
        learning_rate: Initial learning rate of each fine-tuning, greater than 0.
            Defaults to `None`, the model's own (the largest so far, if it is a
            schedule).
        distill: Whether the given model is the teacher. Defaults to `False`.
        temperature: Temperature of distillation, greater than 0. Defaults to 4.0.
        alpha: Weight of distillation in the loss, in (0, 1]. Defaults to 0.5.
        max_candidates: Largest number of models to try, at least 1. Defaults to 16.
        time_limit: Seconds after which no other candidate is begun, greater than 0.
            Defaults to `None`, no limit.
        seed: Seed of the split and of every fine-tuning, set by
            `keras.utils.set_random_seed`. The same seed gives the same search, unless
            `time_limit` ends it. Defaults to `None`.
        verbose: 0 is silent, 1 prints a line for each candidate. Defaults to 1.

    Returns:
        A `CompressionResult`: `.model`, `.met`, `.rows`, `.save(folder)`, and
        `.table()`, `.plot()`, `.save_report(path)`.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is out of its range, if the model is not built, not
            compiled with a loss, has several outputs, LoRA, nothing to prune that is
            trainable or is quantization-aware already, if there are too few samples,
            or if the direction of the metric is unknown.
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
        confidence=confidence,
        target=target,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        distill=distill,
        temperature=temperature,
        alpha=alpha,
        max_candidates=max_candidates,
        time_limit=time_limit,
        seed=seed,
        verbose=verbose,
    )
    _check_model(model)
    budget_metric = BudgetMetric(model, metric, mode)
    validation, held_out = _split_data(validation_data, test_data, seed)
    if seed is not None:
        keras.utils.set_random_seed(seed)
    fine_tuner = FineTuner(
        model,
        train_data,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        distill=(temperature, alpha) if distill else None,
        seed=seed,
    )
    limits = SearchLimits(budget, max_candidates, time_limit)
    _warn_of_few(budget_metric, held_out, budget, confidence)
    with (
        tempfile.TemporaryDirectory(prefix="keras_strategies_") as folder,
        # Its predictions would move the state of stateful layers.
        model_state.preserved_state(model),
    ):
        evaluator = CandidateEvaluator(
            model,
            budget_metric,
            validation,
            # From the training data: validation data have no part in the ranges.
            _samples.calibration_inputs(train_data, seed),
            limits=limits,
            target=target,
            folder=folder,
            verbose=verbose,
        )
        search = _SEARCHES[target](evaluator, fine_tuner)
        search.run()
        return _result(evaluator, search, held_out, confidence)


def _check_options(**options: Any) -> None:
    checks.real("budget", options["budget"], low=0)
    checks.real("confidence", options["confidence"], low=0.5, high=1, high_open=True)
    checks.choice("target", options["target"], ("size", "latency"))
    for name in ("epochs", "batch_size", "max_candidates"):
        checks.integer(name, options[name], low=1)
    for name in ("learning_rate", "time_limit"):
        checks.real(name, options[name], low=0, low_open=True, optional=True)
    checks.boolean("distill", options["distill"])
    checks.real("temperature", options["temperature"], low=0, low_open=True)
    checks.real("alpha", options["alpha"], low=0, high=1, low_open=True)
    checks.integer("seed", options["seed"], low=0, optional=True)
    checks.choice("verbose", options["verbose"], (0, 1))


def _check_model(model: Any) -> None:
    checks.instance("model", model, keras.Model)
    compressible_weights.check_built(model)
    if not model.compiled or model.loss is None:
        checks.fail(
            "`model` must be compiled with a loss: candidates are fine-tuned",
            fix="Call `model.compile(optimizer, loss, metrics=...)` first.",
            model=model.name,
        )
    outputs = len(model.outputs) if getattr(model, "outputs", None) else 1
    if max(outputs, len(keras.tree.flatten(model.loss))) > 1:
        checks.fail(
            "`model` must have one output: the budget is about one metric",
            fix="Compress a model with one of its outputs.",
            model=model.name,
            outputs=getattr(model, "output_names", outputs),
        )
    lora = [x.name for x in all_layers(model) if getattr(x, "lora_enabled", False)]
    if lora:
        checks.fail(
            "`model` must not have LoRA: what its layers compute with is a sum",
            fix="Merge LoRA first, as `training.fine_tune` does.",
            layers=lora,
        )
    compressible_weights.select_weights(model, Selection())
    if quantized.is_quantize_aware(model):
        checks.fail(
            "`model` must not be quantization-aware already",
            fix="Give the float model.",
            model=model.name,
        )


def _split_data(
    validation_data: Any, test_data: Any, seed: int | None
) -> tuple[Samples, Samples]:
    if validation_data is None:
        checks.fail(
            "`validation_data` must be given: the budget is measured on it",
            fix="Give `(x, y)` that the model was not trained on.",
            validation_data=None,
        )
    validation = _samples.samples("validation_data", validation_data)
    held_out = None
    if test_data is not None:
        held_out = _samples.samples("test_data", test_data)
    return _samples.split(validation, held_out, seed)


def _warn_of_few(
    metric: BudgetMetric, held_out: Samples, budget: float, confidence: float
) -> None:
    """Says before the search that the held-out data cannot decide an accuracy."""
    needed = _budget_decision.samples_to_decide(budget, confidence)
    is_accuracy = metric.mode == "max" and "acc" in metric.name
    if is_accuracy and needed is not None and len(held_out) < needed:
        warnings.warn(
            f"{len(held_out)} held-out samples cannot decide about a budget of "
            f"{budget:g} points: that takes at least {needed:,}, and more if samples "
            "change sides. `met` will be False. Give more `validation_data` or "
            "`test_data`, or a wider budget.",
            stacklevel=3,
        )


def _result(
    evaluator: CandidateEvaluator,
    search: CompressionSearch,
    held_out: Samples,
    confidence: float,
) -> CompressionResult:
    """Measures the best candidate on the held-out data."""
    best, metric, budget = evaluator.best, evaluator.metric, evaluator.limits.budget
    if best is None:
        raise evaluator.failure()
    if not best.met:
        warnings.warn(
            f"No candidate kept to the budget of {budget:g} points; {best}, "
            f"which lost {best.drop:.2f}, is the one that lost least.",
            stacklevel=3,
        )
    # The held-out data are used here for the first time, and once.
    path = evaluator.folder / "chosen.tflite"
    path.write_bytes(evaluator.content)
    outputs = (
        outputs_of(evaluator.model, held_out.x),
        predict(path, evaluator.model, held_out),
    )
    before, after = (metric.score(held_out, part) for part in outputs)
    decision = metric.decision(held_out, *outputs, budget, confidence)
    if best.met and not decision.met:
        warnings.warn(f"The budget is not met. {decision.reason}", stacklevel=3)
    rows = [candidate.row() for candidate in evaluator.candidates]
    names = ("bytes", "gzipped_bytes", "latency_ms")
    return CompressionResult(
        model=search.best_model(),
        content=evaluator.content,
        target=evaluator.target,
        budget=budget,
        metric=metric.name,
        mode=metric.mode,
        rows=rows,
        chosen=rows[evaluator.candidates.index(best)],
        baseline={name: getattr(evaluator.baseline, name) for name in names},
        validation={
            "samples": len(evaluator.validation),
            "float": evaluator.reference,
            "compressed": best.metric,
            "drop": best.drop,
        },
        held_out={
            "samples": len(held_out),
            "float": before,
            "compressed": after,
            "drop": metric.drop(after, before),
            "bound": decision.bound,
            "samples_needed": decision.samples_needed,
            "met": decision.met,
            "reason": decision.reason,
        },
        confidence=confidence,
    )
