"""The study: which strategies help, measured with the fewest trainings."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, Literal

import keras

from keras_strategies.ablation import _designs, _judging, _preparation
from keras_strategies.ablation._engine import SCREEN_REPLICATES, Engine
from keras_strategies.ablation._progress import progress
from keras_strategies.ablation._runs.execution import Runner
from keras_strategies.ablation._runs.log import Log
from keras_strategies.ablation._runs.training import arm_name
from keras_strategies.ablation._statistics.spending import looks_of
from keras_strategies.ablation._strategy import Strategy
from keras_strategies.ablation._strategy_result import StrategyResult
from keras_strategies.ablation._study_result import StudyResult

# Strategies that the screening leaves: a quarter, but at least this many.
_FEWEST_SURVIVORS = 3


def study(
    build_fn: Callable[[], keras.Model],
    data: Any,
    strategies: Mapping[str, Strategy] | Sequence[Strategy],
    *,
    metric: str,
    design: Literal["add_one", "leave_one_out", "screen", "factorial"] = "add_one",
    seeds: int = 5,
    max_seeds: int = 20,
    epochs: int,
    batch_size: int = 32,
    test_data: Any = None,
    splits: int | Sequence[Any] | None = None,
    executor: Executor | None = None,
    directory: str | os.PathLike[str] | None = None,
    time_limit: float | None = None,
    tolerance: float | None = None,
    workers: int = 1,
    validation_split: float = 0.2,
    seed: int | None = None,
    verbose: int = 1,
    save_weights: bool = False,
    mode: Literal["auto", "min", "max"] = "auto",
) -> StudyResult:
    """Measures which strategies help on this model and these data.

    One seed with a strategy and one without tell nothing: seeds differ by more than
    most strategies do. A study trains both several times, in pairs that share seed,
    initial weights, split and order of the data, and says of each strategy whether it
    helps, hurts, makes no difference or is not decided. Seeds are added where they are
    needed: a strategy that is clear after five pairs gets no more.

    A verdict is wrong with a probability of at most 5 % for all strategies together,
    although the study looks at its results again and again (alpha spending, Holm's
    procedure). The error of the seeds and that of the test samples are both in it.
    `docs/study.md` explains how to read the table.

    The designs:

    - `"add_one"`: each strategy alone against the baseline;
    - `"leave_one_out"`: all strategies together against all but one;
    - `"screen"`: many strategies at once in few trainings (Plackett and Burman); the
      best quarter of them, at least 3, then goes through `"add_one"` with new seeds;
    - `"factorial"`: all combinations, with the interactions of pairs; at most 6.

    The test part decides and chooses nothing else: callbacks see a validation part. A
    third of the test part is set aside first and only used by `StudyResult.best`.

    Reference:

    - [Lan and DeMets, 1983, Discrete sequential boundaries for clinical
      trials](https://doi.org/10.1093/biomet/70.3.659)
    - [Nadeau and Bengio, 2003, Inference for the Generalization
      Error](https://doi.org/10.1023/A:1024068626366)

    Args:
        build_fn: Function without arguments that returns the compiled baseline.
        data: `(x, y)` or `(x, y, sample_weight)` of arrays or nests of arrays, a
            `tf.data.Dataset` or a `PyDataset` of batches, which are read once.
        strategies: Dict from names to `Strategy`, such as `ablation.catalog()`, or a
            list of them.
        metric: Name of a metric that the baseline is compiled with, or `"loss"`; a
            leading `val_` is dropped.
        design: See above. Defaults to `"add_one"`.
        seeds: Pairs at the first look, at least 3. Defaults to `5`.
        max_seeds: Pairs at the last look. Defaults to `20`.
        epochs: Epochs of a training.
        batch_size: Samples in a batch. Defaults to `32`.
        test_data: Data for the test, as `data`. Defaults to `None`: 30 % of `data`,
            stratified by class.
        splits: `None`, the default, for one split; or a number of folds, or a pair of
            training and test positions for each run: every run then has a test part
            of its own, training sets overlap, and Nadeau and Bengio's correction is
            used.
        executor: A `concurrent.futures.Executor` that runs the trainings, such as
            Dask's `client.get_executor()`, or a pool with `apply_async`, such as
            `ray.util.multiprocessing.Pool`. Defaults to `None`.
        directory: Folder for every training as it ends. The same call goes on there
            after an interruption. Defaults to `None`: in memory.
        time_limit: Seconds after which no training begins, greater than 0. Defaults to
            `None`.
        tolerance: Difference, in units of the metric, that would not matter: smaller
            ones can then be shown to be "no difference". Defaults to `None`.
        workers: Processes of this machine to train in. Defaults to `1`, this one.
        validation_split: Part of the training data that callbacks see, in (0, 1).
            Defaults to `0.2`.
        seed: Seed of the study: the same one gives the same result. Defaults to
            `None`: drawn, or that of the study in `directory`.
        verbose: `0` is silent, `1` a bar, `2` also a line for each training. Defaults
            to `1`.
        save_weights: Whether each training leaves its weights in `directory`, for
            `load_weights` of an uncompiled model. Defaults to `False`.
        mode: `"min"` or `"max"` where Keras does not know which is better. Defaults to
            `"auto"`.

    Returns:
        A `StudyResult`.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is out of its range, the metric is unknown, data are
            too few for the parts, or `directory` has a study with other settings.
        RuntimeError: If the baseline cannot be trained, or an executor died. What has
            been trained is in `directory`.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import ablation

    def build():
        layers = [keras.Input((4,)), keras.layers.Dense(2, activation="softmax")]
        model = keras.Sequential(layers)
        loss = "sparse_categorical_crossentropy"
        model.compile(keras.optimizers.SGD(0.01), loss, metrics=["accuracy"])
        return model

    x = np.random.default_rng(0).normal(size=(200, 4)).astype("float32")
    y = (x[:, 0] > 0).astype("int32")
    strategies = {
        "Adam": ablation.Strategy(
            "Adam", optimizer=lambda old: keras.optimizers.Adam(0.1)
        ),
    }
    result = ablation.study(
        build, (x, y), strategies, metric="loss", seeds=3, max_seeds=3, epochs=2,
        seed=0, verbose=0,
    )
    print(result.strategies["Adam"].verdict)  # helps
    ```
    """
    begin = time.monotonic()
    request = _preparation.checked(**locals())
    with Log(directory) as log:
        prepared = _preparation.prepare(request, log)
        most = max(0, prepared.most_trainings - len(log))
        with progress(verbose, "study", most) as update:
            engine = _engine(request, prepared, log, begin, update)
            try:
                return _result(engine, request, prepared)
            finally:
                engine.runner.close()


def _engine(request, prepared, log, begin, update):
    deadline = None if request.time_limit is None else begin + request.time_limit
    runner = Runner(
        prepared.setup, log, request.executor, request.workers, deadline, update
    )
    looks = looks_of(request.seeds, request.max_seeds)
    sign = 1 if prepared.direction == "max" else -1
    tolerance, weights = request.tolerance, request.save_weights
    return Engine(prepared.setup, log, runner, looks, tolerance, sign, weights)


def _result(engine, request, prepared) -> StudyResult:
    """Runs the design; returns the result."""
    names, first_run = list(prepared.applicable), 0
    results: dict[str, StrategyResult] = {}
    effects = {}
    if request.design == "screen" and names:
        first_run = SCREEN_REPLICATES
        effects = engine.screen(names)
        survivors = _survivors(names, effects, engine.sign)
        for name in names:
            if name not in survivors:
                results[name] = _judging.screened_out(engine, name, effects)
        names = survivors
    kind = "add_one" if request.design == "screen" else request.design
    design = getattr(_designs, kind)(names)
    race = engine.race(design, names, first_run)
    for name in names:
        result = _judging.judged(engine, race, design, name, first_run)
        if effects:
            result = _judging.with_screening(result, effects)
        results[name] = result
    for name, reason in prepared.not_applicable.items():
        strategy = prepared.setup.strategies[name]
        results[name] = StrategyResult(
            name,
            "not applicable",
            reason=reason,
            why=strategy.why,
            source=strategy.source,
        )
    runs = range(first_run, first_run + engine.looks[-1])
    return StudyResult(
        engine,
        {name: results[name] for name in prepared.setup.strategies},
        design=request.design,
        direction=prepared.direction,
        reference=_judging.reference(engine, design.reference, runs),
        interactions=_judging.interactions(engine, design, race),
        warnings=_warnings(engine, design, runs, prepared),
    )


def _survivors(names, effects, sign):
    """Those with the best main effects; all where the screening says nothing."""
    if not effects:
        return list(names)
    count = max(_FEWEST_SURVIVORS, -(-len(names) // 4))
    best = sorted(names, key=lambda name: -sign * effects[name].effect)[:count]
    return [name for name in names if name in best]


def _warnings(engine, design, runs, prepared):
    lines = [*prepared.warnings, *engine.runner.notes]
    if engine.out_of_time:
        lines.append("The time limit ended the study: undecided may mean unfinished.")
    arms = dict.fromkeys(arm for item in design.effects.values() for arm in item)
    for run in runs:
        records = [r for arm in arms for r in engine.records(arm, [run])]
        begun = {r["initial"] for r in records if "initial" in r}
        if len(begun) > 1:
            lines.append(
                "`build_fn` gives other initial weights at the same seed (first in run "
                f"{run} of the {arm_name(design.reference)}), so pairs share less than "
                "they could: draw random numbers from Keras, Python or NumPy only."
            )
            break
    return lines
