"""Which units go: scores, groups and the choice within each group."""

from dataclasses import dataclass

import numpy as np
from keras import layers as kl

from keras_strategies._internal import checks
from keras_strategies.compression._filters_analysis import (
    kept_reason,
    producers,
    weight_values,
)

CRITERIA = ("l1", "l2", "bn_gamma")


@dataclass
class Group:
    """Groups of atoms made by the same layers: the choice is among its roots."""

    plans: list
    roots: np.ndarray


def groups(analysis, wanted):
    """All channels that can go, by the set of layers that make them together."""
    makers = {}
    plans = producers(analysis)
    for number, plan in enumerate(plans):
        for root in analysis.atoms.roots(plan.units):
            makers.setdefault(int(root), set()).add(number)
    found = {}
    for root in sorted(makers):
        if analysis.atoms.reason(root) is None:
            found.setdefault(tuple(sorted(makers[root])), []).append(root)
    result = []
    for numbers, roots in found.items():
        members = [plans[number] for number in numbers]
        if all(wanted(plan) for plan in members):
            result.append(Group(members, np.array(roots)))
    return result


def unit_scores(criterion, plan):
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


def root_scores(analysis, chosen, criterion):
    """`{root: score}`: sums over layers of scores divided by the layer's mean."""
    totals = {}
    if criterion == "bn_gamma":
        sources = list(_gammas(analysis))
    else:
        plans = {id(plan): plan for group in chosen for plan in group.plans}
        sources = [
            (plan.units, unit_scores(criterion, plan)) for plan in plans.values()
        ]
    for atoms, scores in sources:
        mean = np.abs(scores).mean()
        for root, score in zip(analysis.atoms.roots(atoms), scores, strict=True):
            totals[int(root)] = totals.get(int(root), 0.0) + score / (mean or 1.0)
    missing = [
        plan.path for g in chosen for plan in g.plans if int(g.roots[0]) not in totals
    ]
    if missing:
        checks.fail(
            "`criterion='bn_gamma'` needs a BatchNormalization with `scale=True` after "
            "every layer to prune",
            fix="Leave the layers out with `exclude`, or use 'l1'.",
            without=missing,
        )
    return totals


def _gammas(analysis):
    for plan in analysis.plans.values():
        if type(plan.layer) is kl.BatchNormalization and plan.layer.scale:
            gamma = [w is plan.layer.gamma for w in plan.layer.weights].index(True)
            yield plan.slices[gamma][0], np.abs(weight_values(plan.layer.gamma))


def kept_count(units, fraction, round_to):
    """How many of `units` stay: at least `1 - fraction` of them, rounded up.

    The result is a multiple of `round_to` or all units.
    """
    removed = int(units * fraction + 1e-9)
    whole = -(-max(units - removed, 1) // round_to) * round_to
    return min(whole, units)


def select(analysis, chosen, fraction_of, criterion, round_to):
    """The roots to remove: in every group those of the lowest scores."""
    scores = root_scores(analysis, chosen, criterion)
    removed = set()
    for group in chosen:
        fraction = min(fraction_of(plan) for plan in group.plans)
        kept = kept_count(len(group.roots), fraction, round_to)
        order = np.argsort([scores[int(root)] for root in group.roots], kind="stable")
        removed.update(int(root) for root in group.roots[order[: len(order) - kept]])
    return removed


def reasons(analysis):
    """`{path: why}` of the layers of which no unit can go."""
    found = {plan.path: kept_reason(analysis, plan) for plan in producers(analysis)}
    return {path: reason for path, reason in found.items() if reason is not None}
