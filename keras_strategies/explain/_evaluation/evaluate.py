"""Measured faithfulness of explanations."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies.explain import _methods
from keras_strategies.explain._engine.explained import Explained
from keras_strategies.explain._evaluation import measures
from keras_strategies.explain._evaluation.faithfulness_report import (
    FaithfulnessReport,
)
from keras_strategies.explain._evaluation.judge import Judge

_METRICS = ("insertion", "deletion", "infidelity", "pointing_game", "randomization")


def evaluate(
    model: keras.Model,
    inputs: Any,
    target: Any = None,
    *,
    methods: str | Sequence[Any] | Mapping[str, Any] = (
        "saliency",
        "integrated_gradients",
    ),
    metrics: Sequence[str] | None = None,
    masks: Any = None,
    steps: int = 20,
    baseline: Any = 0.0,
    blur: float = 4.0,
    perturbations: int = 32,
    noise: float = 0.1,
    seed: int = 0,
    logits: bool = True,
    batch_size: int = 32,
) -> FaithfulnessReport:
    """How faithful explanations are to the model, measured: a report.

    A map that looks right may show what a human expects and not what the model does.
    Take the method that is best on your model and data, and believe none that is no
    better than random numbers, which are measured too.

    - Insertion: the most important positions are put into a blurred image step by
      step; the area below the output's curve. High: they suffice.
    - Deletion: they are replaced by the baseline step by step; the area. Low: they are
      needed.
    - Infidelity: how badly the attributions predict the change of the score under
      random noise, by the best factor for each sample, relative to the change.
    - Pointing game: how often the largest value lies in the mask of the object.
    - Randomization: Spearman's rank correlation of the absolute values with those of
      the map of the same model with shuffled weights. A map that stays the same does
      not depend on what was learned.

    Source: insertion and deletion Petsiuk et al. (2018),
    https://arxiv.org/abs/1806.07421; infidelity Yeh et al. (2019),
    https://arxiv.org/abs/1901.09392; pointing game Zhang et al. (2016),
    https://arxiv.org/abs/1608.00507; randomization Adebayo et al. (2018),
    https://arxiv.org/abs/1810.03292.

    Args:
        model: Any built Keras model with one input of floating-point numbers. Its
            weights are shuffled for randomization, and put back.
        inputs: Its inputs, samples first.
        target: What is explained, as for `saliency`. Defaults to `None`, the highest
            output of each sample.
        methods: Names of methods of this package, functions of a model, inputs and a
            target, or a dict of these, or of finished maps, by a name. Defaults to
            `("saliency", "integrated_gradients")`.
        metrics: Which of `"insertion"`, `"deletion"`, `"infidelity"`,
            `"pointing_game"` and `"randomization"`. Defaults to `None`, all; the
            pointing game with `masks`, randomization for methods that are functions.
        masks: Booleans `(samples, height, width)`, where the object is. Defaults to
            `None`.
        steps: Steps of the curves, at least 1. Defaults to `20`.
        baseline: What stands in place of what is deleted: a number or an array of a
            sample's or the inputs' shape. Defaults to `0.0`.
        blur: Standard deviation in pixels of the blur that insertion begins with, at
            least 0; for tables it begins with the baseline. Defaults to `4.0`.
        perturbations: Draws of noise for infidelity, at least 1. Defaults to `32`.
        noise: Its standard deviation as a fraction of the range of each sample.
            Defaults to `0.1`.
        seed: Seed of noise, weights and of the order of equal values. Defaults to `0`.
        logits: Whether the values before a last softmax or sigmoid are explained and
            compared for infidelity. The curves are of the outputs as they are. Defaults
            to `True`.
        batch_size: Samples that the model is run on at once. Defaults to `32`.

    Returns:
        A `FaithfulnessReport`: a table with a row for each method, `plot()` draws the
        curves.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If a map does not fit the inputs, or an argument is out of range.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import explain

    model = keras.Sequential([
        keras.Input((8, 8, 1)),
        keras.layers.Flatten(),
        keras.layers.Dense(3, activation="softmax"),
    ])
    x = np.random.default_rng(0).random((4, 8, 8, 1))
    print(explain.evaluate(model, x, methods=["saliency", "grad_times_input"]))
    ```
    """
    checks.integer("steps", steps, low=1)
    checks.integer("perturbations", perturbations, low=1)
    checks.real("blur", blur, low=0)
    checks.real("noise", noise, low=0, low_open=True)
    checks.integer("seed", seed, low=0)
    explained = Explained(model, inputs, target, logits=logits, batch_size=batch_size)
    explained.fix_target()
    explained.inputs.check_differentiable()
    judge = Judge(explained, inputs, target, masks, batch_size, seed, logits)
    filled, blurred = judge.filled(baseline), judge.blurred(blur, baseline)
    chosen = _named_methods(methods)
    wanted = _checked_metrics(metrics, masks)
    settings = {
        "insertion": lambda maps: judge.curve(maps, blurred, True, steps),
        "deletion": lambda maps: judge.curve(maps, filled, False, steps),
        "infidelity": lambda maps: judge.infidelity(maps, perturbations, noise),
        "pointing_game": judge.hits,
    }
    rows: list[dict[str, Any]] = []
    curves: dict[str, dict[str, np.ndarray]] = {
        kind: {} for kind in ("insertion", "deletion") if kind in wanted
    }
    for name, method in [*chosen.items(), ("random", None)]:
        maps = judge.maps(name, method)
        row: dict[str, Any] = {"method": name}
        for metric in wanted:
            if metric == "randomization":
                if callable(method):
                    row[metric] = judge.randomization(method, maps)
                continue
            found = settings[metric](maps)
            if metric in curves:
                curves[metric][name] = found.mean(axis=0)
                found = measures.area(found)
            row[metric] = float(found.mean())
        rows.append(row)
    return FaithfulnessReport(rows, curves)


def _named_methods(methods):
    if isinstance(methods, str) or callable(methods):
        methods = [methods]
    if isinstance(methods, Mapping):
        named = dict(methods)
    else:
        named = {_methods.name_of(item): item for item in methods}
    if not named or "random" in named:
        checks.fail(
            "`methods` must name at least one, and none `random`", methods=list(named)
        )
    return {
        name: _methods.method_of("methods", item)
        if isinstance(item, str) or callable(item)
        else np.asarray(item)
        for name, item in named.items()
    }


def _checked_metrics(metrics, masks):
    if metrics is None:
        return [m for m in _METRICS if m != "pointing_game" or masks is not None]
    wanted = [metrics] if isinstance(metrics, str) else list(metrics)
    for metric in wanted:
        checks.choice("metrics", metric, _METRICS)
    if not wanted or ("pointing_game" in wanted and masks is None):
        checks.fail(
            "`metrics` must name one, and the pointing game needs `masks`",
            metrics=wanted,
        )
    return [m for m in _METRICS if m in wanted]
