"""`prune_filters`: structured pruning of whole filters and units."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.model_graph import compile_like
from keras_strategies._internal.select import Selection, Selector
from keras_strategies.compression.filters import _selection
from keras_strategies.compression.filters._analysis import (
    Analysis,
    LayerPlan,
    producers,
)
from keras_strategies.compression.filters._rebuild import Rebuild

# A smaller share of the weights removed is a reason to say why.
_LITTLE = 0.02


def prune_filters(
    model: keras.Model,
    fraction: float,
    *,
    include: Selector | None = None,
    exclude: Selector | None = None,
    criterion: Literal["l1", "l2", "bn_gamma"]
    | Callable[[np.ndarray], np.ndarray] = "l1",
    per_layer: Mapping[str, float] | None = None,
    round_to: int = 8,
) -> keras.Model:
    """Returns a smaller and faster model, with filters and units removed.

    Use it where latency matters. Zeros in a kernel (`prune`) make a file smaller, but
    few runtimes compute faster with them; a model with fewer filters is faster on
    every runtime. Prune a trained model, then train it for some more epochs at a low
    learning rate, which brings most of the accuracy back; several rounds with a
    small `fraction` cost less accuracy than one with a large one.

    Units of Dense, Conv1D/2D/3D, their transposed forms and SeparableConv1D/2D are
    removed, together with everything that depends on them: the parameters of
    BatchNormalization, PReLU and depthwise convolutions, the inputs of the next
    kernels, also after Flatten, Concatenate, Reshape such as (C,) to (1, 1, C) and
    nested models. Tensors that are added, multiplied, averaged, ... lose the same
    channels: their layers form one group, in which unit `i` is removed everywhere or
    nowhere. All calls of a shared layer count as one. Each unit of a layer gets a
    score, divided by the mean score of the layer; a group adds the scores of its
    layers and removes the units with the lowest sums (of equal ones, the first). The
    choice is deterministic.

    Of `n` units in a group, `ceil((n - floor(fraction * n)) / round_to) * round_to`
    stay (at most `n`). FLOPs fall by about `1 - (1 - fraction)**2`, as kernels
    shrink on both sides.

    Outputs of the model keep their size. So do channels that reach a layer that
    mixes them or is not supported: attention, recurrent layers, LayerNormalization,
    softmax, grouped convolutions, Lambda, custom layers, other reshapes.
    `filter_report` names these layers and the reason.

    Removed units no longer contribute to the next layer. If their outputs were zero
    (zero kernel and bias, then e.g. ReLU), the new model computes the same as the
    old one; otherwise outputs change, and the statistics of BatchNormalization layers
    that follow are adapted by the training afterwards.

    Reference: Li et al., "Pruning Filters for Efficient ConvNets" (2017),
    https://arxiv.org/abs/1608.08710; `"bn_gamma"`: Liu et al., "Learning Efficient
    Convolutional Networks through Network Slimming" (2017),
    https://arxiv.org/abs/1708.06519.

    Args:
        model: A built Functional or Sequential model, models nested in it included.
            It is not changed.
        fraction: The share of units to remove from each layer, in `[0, 1)`. With 0
            the result is a plain copy, unless `per_layer` says otherwise.
        include: Which layers to prune: a regular expression that is searched in the
            path of the layer (`"block_1_conv"`, or `"backbone/conv"` in a nested
            model), a layer or nested model, a function of the layer, or a list of
            these. A group is pruned only if all its layers are selected. Defaults to
            `None`, all layers.
        exclude: Which layers not to prune, given like `include`; it wins. Defaults to
            `None`.
        criterion: How units are scored: `"l1"` (sum of the absolute weights of the
            unit, the default), `"l2"` (root of the sum of squares), `"bn_gamma"`
            (absolute scale of the BatchNormalization that follows), or a function
            that takes a kernel as a NumPy array of shape `(..., inputs, units)` and
            returns one score for each unit; low scores are removed.
        per_layer: Other fractions for some layers: a dict of regular expression and
            fraction; the first that matches the path of a layer counts. A group
            takes the smallest fraction of its layers. Defaults to `None`.
        round_to: Units are kept in multiples of this, because kernels of most
            runtimes work on blocks of channels; 1 for exact fractions. Defaults to 8.

    Returns:
        A new model of the same class with the same layer names. If `model` is
        compiled, it is compiled alike, with a new optimizer: steps and moments start
        at zero. A schedule of `prune` is not carried over.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If the model is subclassed or not built, if an argument is out of
            range or matches no layer, or if nothing can be removed.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import compression

    model = keras.Sequential([
        keras.Input((8, 8, 1)),
        keras.layers.Conv2D(16, 3, use_bias=False),
        keras.layers.BatchNormalization(),
        keras.layers.ReLU(),
        keras.layers.Flatten(),
        keras.layers.Dense(4),
    ])
    model.compile("adam", "mse")
    x, y = np.random.rand(32, 8, 8, 1), np.random.rand(32, 4)
    model.fit(x, y, epochs=2, verbose=0)

    pruned = compression.prune_filters(model, 0.5)
    print(compression.filter_report(model, pruned))
    pruned.optimizer.learning_rate = 1e-4
    pruned.fit(x, y, epochs=2, verbose=0)
    ```
    """
    fraction = checks.real("fraction", fraction, low=0, high=1, high_open=True)
    round_to = checks.integer("round_to", round_to, low=1)
    if not callable(criterion):
        checks.choice(
            "criterion",
            criterion,
            _selection.CRITERIA,
            fix="Or a function.",
        )
    rules = _parse_rules(per_layer)
    selection = Selection(include, exclude)
    analysis = Analysis(model)
    plans = producers(analysis)
    selection.check_used([plan.target for plan in plans])
    for rule, value in rules:
        rule.check_used([plan.target for plan in plans])
        _check_removable(analysis, rule, value)

    # The first rule that matches counts, else `fraction`.
    def fraction_of(plan: LayerPlan) -> float:
        matching = (value for rule, value in rules if rule(plan.target))
        return next(matching, fraction)

    # Nothing to remove is a plain copy, not an error.
    removed: set[int] = set()
    if fraction or any(value for _, value in rules):
        groups = _selected_groups(analysis, selection)
        removed = _selection.select(analysis, groups, fraction_of, criterion, round_to)
        _check_removed(removed, groups, fraction, per_layer, round_to)
    pruned = Rebuild(analysis, removed).rebuild()
    if removed:
        _warn_of_little(analysis, selection, pruned)
    return compile_like(pruned, model)


def _warn_of_little(
    analysis: Analysis, selection: Selection, pruned: keras.Model
) -> None:
    """Says what stands in the way where next to nothing was removed."""
    before, after = analysis.model.count_params(), pruned.count_params()
    if after <= (1 - _LITTLE) * before:
        return
    selected = {plan.path for plan in producers(analysis) if selection(plan.target)}
    kept = [
        f"{path}: {reason}"
        for path, reason in _selection.frozen_reasons(analysis).items()
        if path in selected
    ]
    if kept:
        warnings.warn(
            f"Only {before - after:,} of {before:,} weights were removed. These layers "
            f"are kept whole: {'; '.join(kept)}.",
            stacklevel=3,
        )


def _parse_rules(per_layer: Any) -> list[tuple[Selection, float]]:
    """`[(selection, fraction)]` of `per_layer`."""
    checks.instance("per_layer", per_layer, Mapping, optional=True)
    rules = []
    for pattern, value in (per_layer or {}).items():
        checks.instance("per_layer", pattern, str, fix="Keys are regular expressions.")
        name = f"per_layer[{pattern!r}]"
        fraction = checks.real(name, value, low=0, high=1, high_open=True)
        rules.append((Selection(pattern, names=("per_layer", "exclude")), fraction))
    return rules


def _check_removable(analysis: Analysis, rule: Selection, fraction: float) -> None:
    """Refuses a fraction for layers that are all kept whole."""
    reasons = _selection.frozen_reasons(analysis)
    paths = [plan.path for plan in producers(analysis) if rule(plan.target)]
    if fraction and all(path in reasons for path in paths):
        checks.fail(
            "`per_layer` must give fractions to layers that can lose units",
            fix="Leave the pattern out.",
            per_layer=rule.received["per_layer"],
            kept={path: reasons[path] for path in paths},
        )


def _selected_groups(
    analysis: Analysis, selection: Selection
) -> list[_selection.Group]:
    """The selected groups, or an error that says why there are none."""
    groups = _selection.prunable_groups(analysis, lambda plan: selection(plan.target))
    if not groups:
        reasons = _selection.frozen_reasons(analysis)
        for plan in producers(analysis):
            reasons.setdefault(plan.path, "not chosen, or joined with one that is not")
        checks.fail(
            "`model` must have filters or units that can be removed",
            fix="Outputs and what reaches layers that are not followed are kept whole.",
            model=analysis.model.name,
            kept=reasons,
        )
    return groups


def _check_removed(
    removed: set[int],
    groups: Sequence[_selection.Group],
    fraction: float,
    per_layer: Any,
    round_to: int,
) -> None:
    if not removed:
        units = {g.plans[0].path: len(g.roots) for g in groups}
        checks.fail(
            "`fraction` must be large enough to remove a unit",
            fix="Units are kept in multiples of `round_to`; 1 removes exactly.",
            fraction=fraction,
            per_layer=per_layer,
            round_to=round_to,
            units=units,
        )
