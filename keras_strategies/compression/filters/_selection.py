"""Selection of the units to remove: scores, groups and the choice in each group."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import layers as kl

from keras_strategies._internal import checks
from keras_strategies.compression.filters._analysis import (
    Analysis,
    LayerPlan,
    frozen_reason,
    producers,
    weight_values,
)

CRITERIA = ("l1", "l2", "bn_gamma")


@dataclass
class Group:
    """Channel groups made by the same layers: the choice is among their roots."""

    plans: list[LayerPlan]
    roots: np.ndarray


def prunable_groups(
    analysis: Analysis, is_selected: Callable[[LayerPlan], bool]
) -> list[Group]:
    """All channels that can be removed, by the set of layers that make them together.

    Args:
        analysis: The analysis of the model.
        is_selected: Function of a plan: whether its layer is to be pruned. A group is
            left out if one of its layers is not.
    """
    # In a group of two layers that are added, unit `i` of both has one root. Choosing
    # by the set of layers keeps the fraction the same for all layers of a group.
    plans = producers(analysis)
    makers: dict[int, set[int]] = {}  # root of a group -> numbers of plans
    for number, plan in enumerate(plans):
        for root in analysis.groups.roots(plan.units):
            makers.setdefault(int(root), set()).add(number)
    roots_of: dict[tuple[int, ...], list[int]] = {}
    for root in sorted(makers):
        if analysis.groups.frozen_reason(root) is None:
            roots_of.setdefault(tuple(sorted(makers[root])), []).append(root)
    groups = []
    for numbers, roots in roots_of.items():
        members = [plans[number] for number in numbers]
        if all(is_selected(plan) for plan in members):
            groups.append(Group(members, np.array(roots)))
    return groups


def unit_scores(criterion: Any, plan: LayerPlan) -> np.ndarray:
    """One score for each unit of a layer, from its kernel."""
    variable, axis = plan.kernel
    kernel = np.moveaxis(weight_values(variable), axis, -1)
    flat = kernel.reshape(-1, kernel.shape[-1])
    if criterion == "l1":
        return np.abs(flat).sum(axis=0)
    if criterion == "l2":
        return np.sqrt(np.square(flat).sum(axis=0))
    scores = np.asarray(criterion(kernel), dtype="float64")
    if scores.shape != (kernel.shape[-1],) or not np.isfinite(scores).all():
        checks.fail(
            "`criterion` must return one finite score for each unit, the last axis "
            "of the kernel",
            layer=plan.path,
            kernel_shape=kernel.shape,
            scores_shape=scores.shape,
        )
    return scores


def root_scores(
    analysis: Analysis, groups: Sequence[Group], criterion: Any
) -> dict[int, float]:
    """`{root: score}`: sums over layers of scores divided by the layer's mean.

    Without that division, the layer with the largest weights would decide alone.
    """
    if criterion == "bn_gamma":
        sources = list(_gammas(analysis))
    else:
        plans = {id(plan): plan for group in groups for plan in group.plans}
        sources = [
            (plan.units, unit_scores(criterion, plan)) for plan in plans.values()
        ]
    totals: dict[int, float] = {}
    for ids, scores in sources:
        mean = np.abs(scores).mean()
        for root, score in zip(analysis.groups.roots(ids), scores, strict=True):
            totals[int(root)] = totals.get(int(root), 0.0) + score / (mean or 1.0)
    missing = [
        plan.path for g in groups for plan in g.plans if int(g.roots[0]) not in totals
    ]
    if missing:
        checks.fail(
            "`criterion='bn_gamma'` needs a BatchNormalization with `scale=True` after "
            "every layer to prune",
            fix="Leave the layers out with `exclude`, or use 'l1'.",
            without=missing,
        )
    return totals


def _gammas(analysis: Analysis) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """`(channel ids, |gamma|)` of each BatchNormalization."""
    for plan in analysis.plans.values():
        if type(plan.layer) is kl.BatchNormalization and plan.layer.scale:
            index = [w is plan.layer.gamma for w in plan.layer.weights].index(True)
            # Liu et al. (2017) train with an L1 penalty on gamma to make these small.
            yield plan.slices[index][0], np.abs(weight_values(plan.layer.gamma))


def num_kept_units(units: int, fraction: float, round_to: int) -> int:
    """How many of `units` stay: at least `1 - fraction` of them, rounded up.

    The result is a multiple of `round_to` or all units.
    """
    # The margin is for products such as 100 * 0.29, which is 28.999999999999996.
    removed = int(units * fraction + 1e-9)
    multiple = -(-max(units - removed, 1) // round_to) * round_to
    return min(multiple, units)


def select(
    analysis: Analysis,
    groups: Sequence[Group],
    fraction_of: Callable[[LayerPlan], float],
    criterion: Any,
    round_to: int,
) -> set[int]:
    """The roots to remove: in every group those of the lowest scores."""
    scores = root_scores(analysis, groups, criterion)
    removed: set[int] = set()
    for group in groups:
        fraction = min(fraction_of(plan) for plan in group.plans)
        steps = [round_to if p.round_to is None else p.round_to for p in group.plans]
        num_kept = num_kept_units(len(group.roots), fraction, max(steps))
        # Stable, so that of equal scores the first units are removed each time.
        order = np.argsort([scores[int(root)] for root in group.roots], kind="stable")
        lowest = group.roots[order[: len(order) - num_kept]]
        removed.update(int(root) for root in lowest)
    return removed


def frozen_reasons(analysis: Analysis) -> dict[str, str]:
    """`{path: why}` of the layers of which no unit can be removed."""
    reasons = {plan.path: frozen_reason(analysis, plan) for plan in producers(analysis)}
    return {path: reason for path, reason in reasons.items() if reason is not None}
