"""The learning curve: what more data would give."""

import random
from collections.abc import Callable, Sequence
from typing import Any, Literal

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies.ablation._learning_curve import LearningCurve
from keras_strategies.ablation._preparation import inspected
from keras_strategies.ablation._progress import progress
from keras_strategies.ablation._runs import applying, splits
from keras_strategies.ablation._runs.programs import Programs
from keras_strategies.ablation._runs.samples import collect, joined
from keras_strategies.ablation._runs.training import Job, Setup, train

_SIZES = 6
_SMALLEST = 0.1
_TEST_PART = 0.3


def learning_curve(
    build_fn: Callable[[], keras.Model],
    data: Any,
    *,
    sizes: Sequence[int] | None = None,
    seeds: int = 3,
    epochs: int,
    test_data: Any = None,
    metric: str | None = None,
    batch_size: int = 32,
    seed: int | None = None,
    verbose: int = 1,
    mode: Literal["auto", "min", "max"] = "auto",
) -> LearningCurve:
    """Measures the score against the size of the training set, and extrapolates it.

    Before collecting more data, see what it would be worth. The model is trained on
    parts of the data, from a tenth to all of it, and a power law with an offset is
    fitted to the scores:

    ```
    score(n) = limit -+ factor * n ** -exponent
    ```

    Its value at twice and at four times the data is given with an interval, the hull
    of a bootstrap over sizes and seeds and of a parametric one. In simulation it had
    the truth in at least 94 of 100 cases where the truth is a power law; a curve that
    bends another way, such as one with a sudden rise, is missed more often. The fit
    without the largest size is checked against it.

    Small parts are trained for the same number of epochs, so for fewer steps: choose
    `epochs` so that the smallest part has learned what it can.

    Reference:

    - [Hestness et al., 2017, Deep Learning Scaling is Predictable,
      Empirically](https://arxiv.org/abs/1712.00409)

    Args:
        build_fn: Function without arguments that returns the compiled model.
        data: As in `study`.
        sizes: Numbers of training samples, at least 4 different ones. Defaults to
            `None`: six from a tenth of the training part to all of it.
        seeds: Trainings at each size, at least 2. Each has samples of its own; those
            of a smaller size are among those of a larger one. Defaults to `3`.
        epochs: Epochs of a training.
        test_data: Data for the test. Defaults to `None`: 30 % of `data`.
        metric: Name of a metric that the model is compiled with, or `"loss"`. Defaults
            to `None`: its first metric.
        batch_size: Samples in a batch. Defaults to `32`.
        seed: Seed of parts and trainings. Defaults to `None`, random.
        verbose: `0` is silent, `1` a bar, `2` also a line for each training. Defaults
            to `1`.
        mode: `"min"` or `"max"` where Keras does not know which is better. Defaults to
            `"auto"`.

    Returns:
        A `LearningCurve`.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is out of its range, the metric is unknown, or data
            are too few.
        RuntimeError: If a training fails.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import ablation

    def build():
        layers = [keras.Input((4,)), keras.layers.Dense(2, activation="softmax")]
        model = keras.Sequential(layers)
        loss = "sparse_categorical_crossentropy"
        model.compile(keras.optimizers.Adam(0.1), loss, metrics=["accuracy"])
        return model

    x = np.random.default_rng(0).normal(size=(300, 4)).astype("float32")
    y = (x[:, 0] > 0).astype("int32")
    curve = ablation.learning_curve(
        build, (x, y), sizes=[25, 50, 100, 200], seeds=2, epochs=2, seed=0, verbose=0
    )
    print(curve.predicted[2])  # (low, middle, high) with twice the data
    ```
    """
    _check(build_fn, seeds, epochs, batch_size, seed, verbose, mode, metric)
    seed = random.SystemRandom().randrange(2**31 - 1) if seed is None else seed
    setup, direction, classes = _prepared(
        build_fn, data, test_data, metric, epochs, batch_size, seed, mode
    )
    pool = setup.splits.of(0).training
    counts = _counts(sizes, len(pool))
    scores = np.empty((len(counts), seeds))
    programs = Programs()
    with progress(verbose, "learning curve", scores.size) as update:
        for run in range(seeds):
            order = _order(pool, classes, np.random.default_rng([seed, 4, run]))
            for row, count in enumerate(counts):
                rows = tuple(order[:count])
                record = train(setup, Job((), run, rows=rows), programs)
                update(record)
                if "error" in record:
                    raise RuntimeError(
                        f"A training on {count} samples failed: {record['error']}"
                    )
                scores[row, run] = record["value"]
    return LearningCurve(counts, scores, setup.metric, direction, seed)


def _check(build_fn, seeds, epochs, batch_size, seed, verbose, mode, metric):
    if not callable(build_fn) or isinstance(build_fn, keras.Model):
        checks.fail(
            "`build_fn` must be a function that returns a compiled model",
            error=TypeError,
            build_fn=build_fn,
        )
    checks.integer("seeds", seeds, low=2, high=1000)
    checks.integer("epochs", epochs, low=1)
    checks.integer("batch_size", batch_size, low=1)
    checks.integer("seed", seed, low=0, high=2**31 - 1, optional=True)
    checks.choice("verbose", verbose, (0, 1, 2))
    checks.choice("mode", mode, ("auto", "min", "max"))
    checks.instance("metric", metric, str, optional=True)


def _prepared(build_fn, data, test_data, metric, epochs, batch_size, seed, mode):
    """What the trainings share, the direction of the metric, and the classes."""
    samples = collect("data", data)
    settings = applying.current_settings()
    baseline = inspected(build_fn, samples, metric, mode, settings)
    stratify = baseline.is_classifier
    rng = np.random.default_rng([seed, 0])
    if test_data is None:
        classes = samples.classes() if stratify else None
        rows = np.arange(len(samples))
        pool, test = splits.divide(rows, classes, _TEST_PART, rng, "test")
    else:
        count, given = len(samples), collect("test_data", test_data)
        splits.check_like(samples, given)
        samples = joined(samples, given)
        classes = samples.classes() if stratify else None
        pool, test = np.arange(count), np.arange(count, len(samples))
        splits.check_classes(pool, test, classes)
    nothing = np.zeros(0, int)
    parts = splits.Splits(samples, [splits.Part(pool, nothing, test)], nothing)
    setup = Setup(
        build_fn, {}, parts, baseline.metric, epochs, batch_size, seed, settings
    )
    return setup, baseline.direction, classes


def _counts(sizes, available):
    if sizes is None:
        counts = np.geomspace(_SMALLEST * available, available, _SIZES)
        counts = np.unique(counts.round().astype(int))
    else:
        for size in sizes:
            checks.integer("sizes", size, low=2, high=available)
        counts = np.unique(np.asarray(sizes, int))
    if len(counts) < 4 or counts[0] < 2:
        checks.fail(
            "`sizes` must be at least 4 different numbers of training samples",
            sizes=counts.tolist(),
            training_samples=available,
        )
    return counts


def _order(pool, classes, rng):
    """The training samples in random order, classes in turns as far as they go.

    Every beginning of it then has the classes in nearly the proportions of all.
    """
    order = rng.permutation(pool)
    if classes is None:
        return order
    of_rows = classes[order]
    ranks = np.empty(len(order))
    for number in np.unique(of_rows):
        rows = np.flatnonzero(of_rows == number)
        ranks[rows] = (np.arange(len(rows)) + rng.random()) / len(rows)
    return order[np.argsort(ranks, kind="stable")]
